"""The variables of JSON bake files: defaults, values that files set, and the environment's, which win.

The rules are those of docker/buildx, bake/hclparser: a variable has the type of its default, and what the environment
says is read as that type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType

from buildonce.dockerfile.problems import did_you_mean
from buildonce.errors import UsageError
from buildonce.project.bake_templates import fill
from buildonce.project.findings import Budget, TooMuch
from buildonce.project.hcl_evaluation import Inner
from buildonce.project.hcl_functions import call_builtin
from buildonce.project.hcl_syntax import Expression, Items, Name
from buildonce.project.hcl_values import NEEDS_BUILDX
from buildonce.project.values import Value, kind

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_LONGEST_CHAIN = 64
_NO_FUNCTIONS: Mapping[str, Mapping[str, Value]] = MappingProxyType({})


class Variables:
    """The variables of a set of bake files, each evaluated when it is first asked for.

    ``declared`` has the bodies of `variable` blocks, ``functions`` those of `function` blocks, ``assigned`` what stands
    at the top of the files.
    """

    def __init__(
        self,
        declared: Mapping[str, Mapping[str, Value]],
        assigned: Mapping[str, Value],
        environment: Mapping[str, str],
        budget: Budget,
        functions: Mapping[str, Mapping[str, Value]] = _NO_FUNCTIONS,
    ) -> None:
        self._declared = declared
        self._assigned = assigned
        self._environment = environment
        self._budget = budget
        self._functions = functions
        self._known: dict[str, Value] = {}
        self._open: list[str] = []

    def look_up(self, name: str) -> Value:
        """Return a variable's value. Raises `UsageError` for an unknown one, and for a circle."""
        if name not in self._known:
            if name in self._open:
                raise UsageError(f"the variable `{name}` depends on itself: {' -> '.join((*self._open, name))}")
            if len(self._open) >= _LONGEST_CHAIN:
                raise TooMuch(f"variables depend on others in more than {_LONGEST_CHAIN} steps")
            self._open.append(name)
            try:
                self._known[name] = self._evaluate(name)
            finally:
                self._open.pop()
        return self._known[name]

    def call(self, name: str, arguments: Sequence[Value]) -> Value:
        """Return what a function of the files, or a built-in one, gives. Raises `UsageError`."""
        body = self._functions.get(name)
        if body is None:
            return call_builtin(name, arguments)
        parameters, rest = _names(body.get("params")), _name(body.get("variadic_params"))
        if len(arguments) < len(parameters) or (len(arguments) > len(parameters) and not rest):
            raise UsageError(f"the function `{name}` takes {len(parameters)} arguments, and gets {len(arguments)}")
        given: dict[str, Value] = dict(zip(parameters, arguments, strict=False))
        given |= {key: list(arguments[len(parameters) :]) for key in rest}
        return fill(body.get("result"), Inner(given, self), self._budget)

    def _evaluate(self, name: str) -> Value:
        if name not in self._declared and name not in self._assigned:
            raise self._unknown(name)
        body = self._declared.get(name, {})
        if too_rich := [key for key in ("type", "validation") if body.get(key)]:
            raise UsageError(f"the variable `{name}` has a `{too_rich[0]}`", help=NEEDS_BUILDX)
        has_default = name in self._assigned or "default" in body
        default = fill(self._assigned.get(name, body.get("default")), self, self._budget)
        given = self._given(name) if name in self._declared else None
        if given is None:
            return default if has_default else ""
        return read_as(name, given, default)

    def _given(self, name: str) -> str | None:
        """Return what the environment says; buildx also takes ``NAME_JSON``, and as a text if no type is declared."""
        also = f"{name}_JSON"
        return self._environment.get(name, None if also in self._declared else self._environment.get(also))

    def _unknown(self, name: str) -> UsageError:
        if name in ("target", "group"):
            return UsageError(f"values of another {name} are not read without buildx", help=NEEDS_BUILDX)
        if name.startswith("BAKE_"):
            return UsageError(f"`{name}` is set by buildx alone", help=NEEDS_BUILDX)
        known = [*self._declared, *self._assigned]
        return UsageError(
            f"there is no variable `{name}`",
            help=did_you_mean(name, known) or f'declare it: "variable": {{"{name}": {{"default": "..."}}}}',
        )


def _names(value: Value) -> tuple[str, ...]:
    """Return the names of a function's parameters: bare in HCL, texts in JSON."""
    if value is None:
        return ()
    if isinstance(value, Expression) and isinstance(value.node, Items):
        names = [one.name for one in value.node.items if isinstance(one, Name)]
        if len(names) == len(value.node.items):
            return tuple(names)
    elif isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(one, str) for one in value):
        return tuple(str(one) for one in value)
    raise UsageError("the parameters of a function are a list of names")


def _name(value: Value) -> tuple[str, ...]:
    """Return the name of the parameter that gets all further arguments, if there is one."""
    if isinstance(value, Expression) and isinstance(value.node, Name):
        return (value.node.name,)
    if isinstance(value, str):
        return (value,)
    if value is None:
        return ()
    raise UsageError("the further parameters of a function are one name")


def read_as(name: str, text: str, default: Value) -> Value:
    """Return what the environment gives for a variable, as the type of its default. Raises `UsageError`."""
    match default:
        case None | str():
            return text
        case bool():
            if text not in _TRUE + _FALSE:
                raise UsageError(f"the environment's {name}={text} is no boolean", help="write true or false")
            return text in _TRUE
        case Decimal():
            if not _NUMBER.fullmatch(text):
                raise UsageError(f"the environment's {name}={text} is no number, which the variable's default is")
            return Decimal(repr(float(text)))
        case _:
            raise UsageError(
                f"the environment cannot give {kind(default)}, which the default of the variable `{name}` is",
                help=f"unset {name}",
            )
