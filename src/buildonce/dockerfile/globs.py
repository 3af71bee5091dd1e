"""Go's file name patterns: ``*`` and ``?`` without ``/``, ``[a-z]``, ``[^a-z]``, and ``\\`` before any character.

They are translated to Python's regular expressions. As in Go (path/filepath, Match), each ``*`` but the last takes as
little as it can and is never reconsidered; so a match takes no more than quadratic time.
"""

from __future__ import annotations

import re
from functools import lru_cache

from buildonce.dockerfile.problems import Fault

_WILDCARD = re.compile(r"\\.|([*?\[])", re.DOTALL)


def has_wildcard(path: str) -> bool:
    """Say whether ``path`` has a wildcard that is not escaped."""
    return any(match[1] for match in _WILDCARD.finditer(path))


def match_glob(pattern: str, path: str) -> bool:
    """Say whether all of ``path`` matches; raise `Fault` when the pattern is malformed."""
    return compile_glob(pattern).fullmatch(path) is not None


@lru_cache(maxsize=1024)
def compile_glob(pattern: str) -> re.Pattern[str]:
    """Return the regular expression whose full match is a match of ``pattern``; raise `Fault` if malformed."""
    first, *chunks = _chunks(pattern)
    parts = [first]
    for number, chunk in enumerate(chunks, start=1):
        is_last = number == len(chunks)
        if not chunk and not is_last:
            continue
        parts.append(f"[^/]*?{chunk}" if is_last else f"(?>[^/]*?{chunk})")
    return re.compile("".join(parts), re.DOTALL)


def character_class(pattern: str, position: int) -> tuple[str, int]:
    """Return the regular expression of the class that begins at ``position`` with ``[``, and where it ends.

    Raises `Fault` when it is malformed.
    """
    start = position
    position += 1
    negation = "^" if pattern[position : position + 1] == "^" else ""
    position += len(negation)
    ranges: list[str] = []
    while pattern[position : position + 1] != "]" or not ranges:
        low, position = _class_character(pattern, position, start)
        high = low
        if pattern[position : position + 1] == "-":
            high, position = _class_character(pattern, position + 1, start)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            ranges.append("")  # an empty range matches nothing, but counts
    members = "".join(ranges)
    if not members:
        return (".", position + 1) if negation else ("(?!)", position + 1)
    return f"[{negation}{members}]", position + 1


def _class_character(pattern: str, position: int, start: int) -> tuple[str, int]:
    character = pattern[position : position + 1]
    if character == "\\":
        position += 1
        character = pattern[position : position + 1]
    elif character in ("", "-", "]"):
        raise _malformed(pattern, start)
    if position + 1 >= len(pattern):
        raise _malformed(pattern, start)
    return character, position + 1


def _chunks(pattern: str) -> list[str]:
    """Return the regular expressions between the pattern's stars."""
    chunks = [""]
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "*":
            chunks.append("")
        elif character == "?":
            chunks[-1] += "[^/]"
        elif character == "[":
            text, position = character_class(pattern, position)
            chunks[-1] += text
            continue
        else:
            if character == "\\":
                position += 1
                if position == len(pattern):
                    raise _malformed(pattern, position - 1)
            chunks[-1] += re.escape(pattern[position])
        position += 1
    return chunks


def _malformed(pattern: str, position: int) -> Fault:
    return Fault("DF034", f"`{pattern}` is not a pattern", needle=pattern[position:], help="write `\\[` for a bracket")
