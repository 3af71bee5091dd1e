"""The values of JSON and YAML documents, and the bounds within which they are believed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from buildonce.errors import ConfigurationError, UsageError
from buildonce.project.hcl_syntax import Expression

Value = None | bool | Decimal | float | str | Expression | Sequence["Value"] | Mapping[str, "Value"]
"""What a document says; an expression, which only HCL has, until it is evaluated."""

LONGEST_DOCUMENT = 4 << 20
DEEPEST = 64
_DIGITS = 40


def check_size(text: bytes, path: str) -> None:
    """Raise `ConfigurationError` for a document that is too large."""
    if len(text) > LONGEST_DOCUMENT:
        raise ConfigurationError(
            f"{path} has {len(text)} bytes", notes=(f"a document is read up to {LONGEST_DOCUMENT} bytes",)
        )


def check_values(value: Value, path: str) -> None:
    """Raise `ConfigurationError` for values that nest too deep, and for texts that no program can be given."""
    waiting: list[Iterator[tuple[Value, int]]] = [iter([(value, 1)])]
    while waiting:
        for one, depth in waiting.pop():
            if depth > DEEPEST:
                raise ConfigurationError(f"{path} nests deeper than {DEEPEST} levels")
            match one:
                case str():
                    _check_text(one, path)
                case Mapping():
                    for key in one:
                        _check_text(key, path)
                    waiting.append(_within(one.values(), depth))
                case Sequence():
                    waiting.append(_within(one, depth))
                case _:
                    pass


def kind(value: Value) -> str:
    """Return what messages call a value of this type."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case Decimal() | float():
            return "a number"
        case str():
            return "a text"
        case Mapping():
            return "a mapping"
        case Expression():
            return "an expression"
        case _:
            return "a list"


def number_text(number: Decimal) -> str:
    """Return a number as HCL writes it: all digits, no exponent, no trailing zeros. Raises `UsageError` if huge."""
    if not number.is_finite() or abs(number.adjusted()) > _DIGITS or len(number.as_tuple().digits) > _DIGITS:
        raise UsageError("the number is out of all bounds", help="write it as a text, in quotes")
    if not number:
        return "-0" if number.is_signed() else "0"
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _within(values: Iterable[Value], depth: int) -> Iterator[tuple[Value, int]]:
    return ((one, depth + 1) for one in values)


def _check_text(text: str, path: str) -> None:
    if "\0" in text or (not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)):
        raise ConfigurationError(
            f"{path} has a text with a NUL or half a surrogate pair in it, which no program can be given"
        )
