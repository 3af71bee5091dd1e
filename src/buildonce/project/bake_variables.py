"""The variables of JSON bake files: defaults, values that files set, and the environment's, which win.

The rules are those of docker/buildx, bake/hclparser: a variable has the type of its default, and what the environment
says is read as that type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from buildonce.dockerfile.problems import did_you_mean
from buildonce.errors import UsageError
from buildonce.project.bake_templates import NEEDS_BUILDX, fill
from buildonce.project.findings import Budget, TooMuch
from buildonce.project.values import Value, kind

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_LONGEST_CHAIN = 64


class Variables:
    """The variables of a set of bake files, each evaluated when it is first asked for.

    ``declared`` has the bodies of `variable` blocks, ``assigned`` what stands at the top of the files.
    """

    def __init__(
        self,
        declared: Mapping[str, Mapping[str, Value]],
        assigned: Mapping[str, Value],
        environment: Mapping[str, str],
        budget: Budget,
    ) -> None:
        self._declared = declared
        self._assigned = assigned
        self._environment = environment
        self._budget = budget
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

    def _evaluate(self, name: str) -> Value:
        if name not in self._declared and name not in self._assigned:
            raise self._unknown(name)
        body = self._declared.get(name, {})
        if too_rich := [key for key in ("type", "validation") if body.get(key)]:
            raise UsageError(f"the variable `{name}` has a `{too_rich[0]}`", help=NEEDS_BUILDX)
        has_default = name in self._assigned or "default" in body
        default = fill(self._assigned.get(name, body.get("default")), self.look_up, self._budget)
        given = self._given(name) if name in self._declared else None
        if given is None:
            return default if has_default else ""
        return read_as(name, given, default)

    def _given(self, name: str) -> str | None:
        """Return what the environment says; buildx also takes ``NAME_JSON``, and as a text if no type is declared."""
        also = f"{name}_JSON"
        return self._environment.get(name, None if also in self._declared else self._environment.get(also))

    def _unknown(self, name: str) -> UsageError:
        if name.startswith("BAKE_"):
            return UsageError(f"`{name}` is set by buildx alone", help=NEEDS_BUILDX)
        known = [*self._declared, *self._assigned]
        return UsageError(
            f"there is no variable `{name}`",
            help=did_you_mean(name, known) or f'declare it: "variable": {{"{name}": {{"default": "..."}}}}',
        )


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
