"""The patterns of ``${name#pattern}`` and its kin: ``*``, ``?`` and literal characters, matched in linear time.

The rules are those of BuildKit, frontend/dockerfile/shell/lex.go, which makes Go regular expressions of them; so
neither wildcard matches a line feed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from buildonce.dockerfile.positions import extend, find_positions, highest, lowest
from buildonce.dockerfile.problems import Fault

_STAR: Final = "*"
_ANY: Final = "?"
LONGEST: Final = 1 << 18  # characters that an expansion may come to; Linux takes no variable of more than 128 KiB
_Token = tuple[str, bool]  # the character, and whether it is a wildcard

_TEMPLATE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")


def remove_prefix(pattern: str, value: str, *, greedy: bool) -> str:
    """Return ``value`` without the shortest, or longest, start that matches ``pattern``."""
    ends = _Matcher(_compile(pattern), value).ends(1)
    if not ends:
        return value
    return value[highest(ends) if greedy else lowest(ends) :]


def remove_suffix(pattern: str, value: str, *, greedy: bool) -> str:
    """Return ``value`` without the shortest, or longest, end that matches ``pattern``."""
    return remove_prefix(_reverse(pattern), value[::-1], greedy=greedy)[::-1]


def replace_first(pattern: str, value: str, replacement: str) -> str:
    """Return ``value`` with the first match of ``pattern`` replaced."""
    start, end = next(_matches(pattern, value), (len(value), -1))
    return value if end < 0 else value[:start] + replacement + value[end:]


def replace_all(pattern: str, value: str, replacement: str) -> str:
    """Return ``value`` with every match replaced, as Go's ``Regexp.ReplaceAllString`` does it.

    There, an empty match right after a match does not count, and ``$0`` in the replacement means the match.
    """
    parts: list[str] = []
    last = size = 0
    for start, end in _matches(pattern, value):
        parts.append(value[last:start])
        if end > last or start == 0:
            parts.append(_fill(replacement, value[start:end]))
            size += len(parts[-1])
        if size > LONGEST:
            raise Fault("DF013", f"the replacement makes more than {LONGEST} characters", needle=pattern)
        last = end
    return "".join(parts) + value[last:]


def _matches(pattern: str, value: str) -> Iterator[tuple[int, int]]:
    """Yield where matches begin and end, each as long as it can be, from left to right."""
    tokens = _compile(pattern)
    matcher = _Matcher(tokens, value)
    starts = _Matcher(tokens[::-1], value[::-1]).ends((2 << len(value)) - 1)  # counted from the end
    position = 0
    while starts := starts & ((2 << len(value) - position) - 1):
        start = len(value) - highest(starts)
        end = highest(matcher.ends(1 << start))
        yield start, end
        position = max(end, start + 1)
        if position > len(value):
            return


def _fill(template: str, match: str) -> str:
    def fill(found: re.Match[str]) -> str:
        if found.group() == "$$":
            return "$"
        return match if (found.group(1) or found.group(2)) == "0" else ""

    return _TEMPLATE.sub(fill, template)


def _compile(pattern: str) -> tuple[_Token, ...]:
    if "\\" not in pattern:
        return tuple(zip(pattern, map((_STAR + _ANY).__contains__, pattern), strict=True))
    tokens: list[_Token] = []
    characters = iter(range(len(pattern)))
    for index in characters:
        character = pattern[index]
        if character != "\\":
            tokens.append((character, character in (_STAR, _ANY)))
            continue
        following = pattern[index + 1 : index + 2]
        if following in ("}", "/"):
            continue
        if following not in ("*", "?", "\\"):
            raise Fault("DF013", f"`\\{following}` is not an escape in a pattern", needle=pattern)
        tokens.append((following, False))
        next(characters)
    return tuple(tokens)


class _Matcher:
    """A pattern against one text; sets of positions are those of `buildonce.dockerfile.positions`."""

    def __init__(self, tokens: tuple[_Token, ...], text: str) -> None:
        self.tokens = tokens
        self.plain = find_positions(text, lambda character: character != "\n")
        literals = {character for character, is_wildcard in tokens if not is_wildcard} & set(text)
        self.literals = {one: find_positions(text, one.__eq__) for one in literals}

    def ends(self, positions: int) -> int:
        """Return where matches that begin at one of ``positions`` can end."""
        for character, is_wildcard in self.tokens:
            if is_wildcard and character == _STAR:
                positions = extend(positions, self.plain)
            elif is_wildcard:
                positions = (positions & self.plain) << 1
            else:
                positions = (positions & self.literals.get(character, 0)) << 1
            if not positions:
                break
        return positions


def _reverse(pattern: str) -> str:
    """Return the pattern for reversed text: escapes stay in front of what they escape."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    return "".join(reversed(parts))
