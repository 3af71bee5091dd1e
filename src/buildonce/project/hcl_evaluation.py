"""HCL's expressions, evaluated as hashicorp/hcl does it (hclsyntax/spec.md); what is not surely the same is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from buildonce.errors import UsageError
from buildonce.project.findings import Budget, TooMuch
from buildonce.project.hcl_syntax import (
    Binary,
    Call,
    Conditional,
    Expression,
    For,
    Index,
    Items,
    Literal,
    Name,
    Node,
    Pairs,
    Source,
    Template,
    Unary,
)
from buildonce.project.hcl_values import NEEDS_BUILDX, as_boolean, as_number, as_text, exact, is_equal, member, unify
from buildonce.project.values import Value, kind

_VALUE = 64
"""What a value costs beside its characters, so that the whole budget is a second or two."""


class Scope(Protocol):
    """What expressions refer to."""

    def look_up(self, name: str) -> Value:
        """Return the value of a variable; raise `UsageError` when there is none."""
        ...

    def call(self, name: str, arguments: Sequence[Value]) -> Value:
        """Return what a function gives; raise `UsageError` when there is none, or when it fails."""
        ...


class WrongExpression(UsageError):
    """An expression that has no value; the message says where it stands."""


def evaluate(expression: Expression, scope: Scope, budget: Budget) -> Value:
    """Return the value of an expression. Raises `WrongExpression`, at the innermost place that is wrong."""
    return _Evaluation(expression.source, budget).value(expression.node, scope)


class Inner:
    """A scope with some names more."""

    def __init__(self, names: Mapping[str, Value], outer: Scope) -> None:
        self._names = names
        self._outer = outer

    def look_up(self, name: str) -> Value:
        """Return the value of one of the names, or of a variable."""
        return self._names[name] if name in self._names else self._outer.look_up(name)

    def call(self, name: str, arguments: Sequence[Value]) -> Value:
        """Return what a function gives."""
        return self._outer.call(name, arguments)


class _Evaluation:
    def __init__(self, source: Source, budget: Budget) -> None:
        self._source = source
        self._budget = budget

    def value(self, node: Node, scope: Scope) -> Value:
        self._budget.spend(_VALUE)
        try:
            found = self._value(node, scope)
        except (TooMuch, WrongExpression):
            raise
        except UsageError as error:
            raise WrongExpression(
                f"{self._source.show(node)}: {error.message}", help=error.help or NEEDS_BUILDX
            ) from error
        if isinstance(found, str):
            self._budget.spend(len(found))
        return found

    def _value(self, node: Node, scope: Scope) -> Value:
        match node:
            case Literal(value=value):
                return value
            case Template(parts=(only,)):
                return self.value(only, scope)
            case Template(parts=parts):
                return "".join(as_text(self.value(part, scope)) for part in parts)
            case Name(name=name):
                return scope.look_up(name)
            case Index(of=of, key=key):
                return member(self.value(of, scope), self.value(key, scope))
            case Call(name=name, arguments=arguments, expands=expands):
                values: list[Value] = [self.value(one, scope) for one in arguments]
                if expands:
                    values = [*values[:-1], *_list(values[-1], "what `...` expands")]
                return scope.call(name, values)
            case Unary(operator=operator, operand=operand):
                inner = self.value(operand, scope)
                return not as_boolean(inner) if operator == "!" else -as_number(inner)
            case Binary(operator=operator, left=left, right=right):
                return _OPERATORS[operator](self.value(left, scope), self.value(right, scope))
            case Conditional(condition=condition, yes=yes, no=no):
                choice = as_boolean(self.value(condition, scope))
                first, second = unify(self.value(yes, scope), self.value(no, scope))
                return first if choice else second
            case Items(items=items):
                return [self.value(one, scope) for one in items]
            case Pairs(pairs=pairs):
                return {as_text(self.value(key, scope)): self.value(one, scope) for key, one in pairs}
            case For():
                return self._for(node, scope)

    def _for(self, node: For, scope: Scope) -> Value:
        results: list[Value] = []
        mapping: dict[str, Value] = {}
        for key, value in _members(self.value(node.of, scope)):
            both: tuple[Value, ...] = (key, value)
            inner = Inner(dict(zip(node.names, both[-len(node.names) :], strict=True)), scope)
            if node.condition and not as_boolean(self.value(node.condition, inner)):
                continue
            if node.result_key is None:
                results.append(self.value(node.result, inner))
                continue
            name = as_text(self.value(node.result_key, inner))
            if name in mapping:
                raise UsageError(f"two members of the mapping are called `{name}`")
            mapping[name] = self.value(node.result, inner)
        return results if node.result_key is None else mapping


def _members(of: Value) -> Sequence[tuple[Value, Value]]:
    match of:
        case Mapping():
            return [(key, of[key]) for key in sorted(of)]
        case Sequence() if not isinstance(of, str):
            return [(Decimal(number), value) for number, value in enumerate(of)]
        case _:
            raise UsageError(f"{kind(of)} has no members to go through")


def _list(value: Value, what: str) -> Sequence[Value]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
    raise UsageError(f"{what} is {kind(value)}, not a list")


def _divide(left: Value, right: Value) -> Value:
    if as_number(right) == 0:
        raise UsageError("a division by zero", help=NEEDS_BUILDX)
    return exact(lambda: as_number(left) / as_number(right))


def _remainder(left: Value, right: Value) -> Value:
    if as_number(right) == 0:
        raise UsageError("a division by zero", help=NEEDS_BUILDX)
    return exact(lambda: as_number(left) % as_number(right) or Decimal(0))  # never -0


_OPERATORS: Mapping[str, Callable[[Value, Value], Value]] = {
    "||": lambda left, right: as_boolean(left) | as_boolean(right),
    "&&": lambda left, right: as_boolean(left) & as_boolean(right),
    "==": is_equal,
    "!=": lambda left, right: not is_equal(left, right),
    "<": lambda left, right: as_number(left) < as_number(right),
    "<=": lambda left, right: as_number(left) <= as_number(right),
    ">": lambda left, right: as_number(left) > as_number(right),
    ">=": lambda left, right: as_number(left) >= as_number(right),
    "+": lambda left, right: exact(lambda: as_number(left) + as_number(right)),
    "-": lambda left, right: exact(lambda: as_number(left) - as_number(right)),
    "*": lambda left, right: exact(lambda: as_number(left) * as_number(right)),
    "/": _divide,
    "%": _remainder,
}
