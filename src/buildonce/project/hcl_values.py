"""HCL's values: what they are converted to, when they are equal, and of what type two of them are together."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from buildonce.errors import UsageError
from buildonce.project.values import Value, kind, number_text

NEEDS_BUILDX = "install Docker's buildx, which resolves every bake file; or write the value out"

_EXACT = decimal.Context(prec=40, traps=[decimal.Inexact, decimal.InvalidOperation, decimal.Overflow])
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def as_text(value: Value) -> str:
    """Return a value as HCL turns it into a string; raise `UsageError` for null, lists and mappings."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case Decimal():
            return number_text(value)
        case _:
            raise UsageError(f"{kind(value)} stands where a text is needed")


def as_number(value: Value) -> Decimal:
    """Return a value as HCL turns it into a number. Raises `UsageError`."""
    match value:
        case bool():
            pass
        case Decimal():
            return value
        case str():
            if value.isascii() and value.lstrip("-").isdecimal() and value.count("-") <= 1:
                return Decimal(value)
    raise UsageError(f"{kind(value)} stands where a number is needed")


def as_boolean(value: Value) -> bool:
    """Return a value as HCL turns it into a boolean. Raises `UsageError`."""
    match value:
        case bool():
            return value
        case str() if value in _BOOLEANS:
            return _BOOLEANS[value]
    raise UsageError(f"{kind(value)} stands where a boolean is needed")


def exact(operation: Callable[[], Decimal]) -> Decimal:
    """Return what an operation on numbers gives; raise `UsageError` where its digits would have to be rounded."""
    with decimal.localcontext(_EXACT):
        try:
            return operation()
        except decimal.DecimalException as error:
            raise UsageError("the result has too many digits", help=NEEDS_BUILDX) from error


def is_equal(left: Value, right: Value) -> bool:
    """Say whether two values are equal; those of two types are not. Raises `UsageError` for lists and mappings."""
    for value in (left, right):
        if not (value is None or isinstance(value, str | bool | Decimal)):
            raise UsageError(f"{kind(value)} is not compared without buildx", help=NEEDS_BUILDX)
    return kind(left) == kind(right) and left == right


def unify(left: Value, right: Value) -> tuple[Value, Value]:
    """Return two values as ones of one type, as the two sides of a conditional are. Raises `UsageError`."""
    if left is None or right is None or kind(left) == kind(right):
        if len(_kinds(left) | _kinds(right)) > 1:
            raise UsageError("its two sides have members of different types", help=NEEDS_BUILDX)
        return left, right
    if (
        isinstance(left, str | bool | Decimal)
        and isinstance(right, str | bool | Decimal)
        and "a text"
        in (
            kind(left),
            kind(right),
        )
    ):
        return as_text(left), as_text(right)
    raise UsageError(f"its two sides are {kind(left)} and {kind(right)}", help=NEEDS_BUILDX)


def member(of: Value, key: Value) -> Value:
    """Return a member of a list or a mapping. Raises `UsageError` where there is none."""
    match of:
        case Mapping():
            name = as_text(key)
            if name not in of:
                raise UsageError(f"there is no `{name}` in it")
            return of[name]
        case Sequence() if not isinstance(of, str):
            number = as_number(key)
            if number != int(number) or not 0 <= number < len(of):
                raise UsageError(f"there is no member {key} in a list of {len(of)}")
            return of[int(number)]
        case _:
            raise UsageError(f"{kind(of)} has no members")


def _kinds(value: Value) -> set[str]:
    """Return the types of the members of lists and mappings; a member that has members itself is of its own type."""
    match value:
        case Mapping():
            return {kind(one) for one in value.values()}
        case Sequence() if not isinstance(value, str):
            return {kind(one) for one in value}
        case _:
            return set()
