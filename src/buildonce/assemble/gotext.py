"""Values as Go writes them: JSON, quoted strings, durations."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from buildonce.dockerfile.runes import replace_invalid

_ESCAPES: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_JSON: Final = str.maketrans(_ESCAPES)
_QUOTED: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}
_MICROSECOND, _MILLISECOND, _SECOND = 1_000, 1_000_000, 1_000_000_000


def encode_go_json(value: object) -> bytes:
    """Return ``value`` as encoding/json's ``Marshal`` writes it: compact, with ``<``, ``>`` and ``&`` escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return replace_invalid(text).translate(_JSON).encode()


def quote(text: str) -> str:
    """Return ``text`` as ``%q`` prints it (strconv.Quote)."""
    return '"' + "".join(_quote_character(character) for character in text) + '"'


def quote_list(texts: Iterable[str]) -> str:
    """Return a list of strings as ``%q`` prints it."""
    return f"[{' '.join(quote(text) for text in texts)}]"


def plain_list(texts: Iterable[str]) -> str:
    """Return a list of strings as ``%v`` prints it."""
    return f"[{' '.join(texts)}]"


def duration(nanoseconds: int) -> str:
    """Return a time as ``time.Duration.String`` prints it: ``1m30s``, ``1.5s``, ``300ms``, ``0s``."""
    if nanoseconds < 0:
        return f"-{duration(-nanoseconds)}"
    if nanoseconds == 0:
        return "0s"
    for unit, size, limit in (
        ("ns", 1, _MICROSECOND),
        ("µs", _MICROSECOND, _MILLISECOND),
        ("ms", _MILLISECOND, _SECOND),
    ):
        if nanoseconds < limit:
            return _decimal(nanoseconds, size) + unit
    minutes, rest = divmod(nanoseconds, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    seconds = _decimal(rest, _SECOND) + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _decimal(number: int, unit: int) -> str:
    whole, fraction = divmod(number, unit)
    digits = str(fraction).rjust(len(str(unit)) - 1, "0").rstrip("0") if fraction else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _quote_character(character: str) -> str:
    code = ord(character)
    if character in _QUOTED:
        return _QUOTED[character]
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
