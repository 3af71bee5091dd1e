"""Characters as Go sees them, where its idea of a character or a space differs from Python's.

A Dockerfile's bytes are decoded as UTF-8 with ``surrogateescape``, so that any file survives a round trip.
"""

from __future__ import annotations

import json
import re

import msgspec

SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What Go's ``unicode.IsSpace`` calls a space (Python's ``str.isspace`` also has the separators U+001C to U+001F)."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def decode(content: bytes) -> str:
    """Return ``content`` as text; bytes that are not UTF-8 become lone surrogates."""
    return content.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """Return the bytes that `decode` took ``text`` from."""
    return text.encode("utf-8", "surrogateescape")


def escape_invalid(text: str) -> str:
    """Return ``text`` as it can be kept and shown anywhere: each byte that is not UTF-8 becomes ``\\xNN``."""
    return encode(text).decode("utf-8", "backslashreplace")


def has_invalid(text: str) -> bool:
    """Say whether ``text`` holds bytes that are not UTF-8."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def encode_json(value: object) -> bytes:
    """Return ``value`` as JSON with sorted keys; in strings, a byte that is not UTF-8 is an escape (``\\udcNN``)."""
    try:
        return msgspec.json.encode(value, order="sorted")
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(value, order="sorted")
        text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def replace_invalid(text: str) -> str:
    """Return ``text`` as Go writes it rune by rune: each byte that is not UTF-8 becomes U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)
