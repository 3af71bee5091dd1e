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
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_WHOLE = re.compile(rf"([+-]?)((?:{_PART.pattern})+)")


def parse_duration(text: str) -> int | None:
    """Return the nanoseconds that ``text`` means, or None when it is not a time."""
    if text in ("0", "+0", "-0"):
        return 0
    match = _WHOLE.fullmatch(text)
    if not match:
        return None
    total = sum(int(Fraction(number.rstrip(".")) * _UNITS[unit]) for number, unit in _PART.findall(match[2]))
    if total > (1 << 63) - 1:
        return None
    return -total if match[1] == "-" else total
