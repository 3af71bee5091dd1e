"""Times as Go writes them: ``1m30s`` (Go, time.ParseDuration)."""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"([0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_LONGEST = (1 << 63) - 1
_DIGITS = 19  # of a number: more are too large before the point, and change nothing after it
_WHOLE = re.compile(rf"([+-]?)((?:{_PART.pattern})+)")


def parse_duration(text: str) -> int | None:
    """Return the nanoseconds that ``text`` means, or None when it is not a time."""
    if text in ("0", "+0", "-0"):
        return 0
    match = _WHOLE.fullmatch(text)
    if not match:
        return None
    total = sum(int(_number(number) * _UNITS[unit]) for number, unit in _PART.findall(match[2]))
    if total > _LONGEST:
        return None
    return -total if match[1] == "-" else total


def _number(text: str) -> Fraction:
    whole, _, part = text.partition(".")
    whole = whole.lstrip("0")
    if len(whole) > _DIGITS:
        return Fraction(_LONGEST + 1)
    return Fraction(f"{whole or '0'}.{part[:_DIGITS] or '0'}")
