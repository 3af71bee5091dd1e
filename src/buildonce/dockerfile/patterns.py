"""The patterns of ``${name#pattern}`` and its kin: ``*``, ``?`` and literal characters, matched in linear time.

The rules are those of BuildKit, frontend/dockerfile/shell/lex.go, which makes Go regular expressions of them; so
neither wildcard matches a line feed.
"""

from __future__ import annotations

import re
from typing import Final

from buildonce.dockerfile.problems import Fault

_STAR: Final = "*"
_ANY: Final = "?"
_Token = tuple[str, bool]  # the character, and whether it is a wildcard

_TEMPLATE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")


def remove_prefix(pattern: str, value: str, *, greedy: bool) -> str:
    """Return ``value`` without the shortest, or longest, start that matches ``pattern``."""
    end = _match(_compile(pattern), value, 0, greedy=greedy, failed=set())
    return value if end is None else value[end:]


def remove_suffix(pattern: str, value: str, *, greedy: bool) -> str:
    """Return ``value`` without the shortest, or longest, end that matches ``pattern``."""
    return remove_prefix(_reverse(pattern), value[::-1], greedy=greedy)[::-1]


def replace_first(pattern: str, value: str, replacement: str) -> str:
    """Return ``value`` with the first match of ``pattern`` replaced."""
    found = _search(_compile(pattern), value, 0)
    return value if found is None else value[: found[0]] + replacement + value[found[1] :]


def replace_all(pattern: str, value: str, replacement: str) -> str:
    """Return ``value`` with every match replaced, as Go's ``Regexp.ReplaceAllString`` does it.

    There, an empty match right after a match does not count, and ``$0`` in the replacement means the match.
    """
    tokens, parts = _compile(pattern), []
    position = last = 0
    while position <= len(value):
        found = _search(tokens, value, position)
        if found is None:
            break
        start, end = found
        parts.append(value[last:start])
        if end > last or start == 0:
            parts.append(_fill(replacement, value[start:end]))
        last = end
        position = end if end > position else position + 1
    return "".join(parts) + value[last:]


def _fill(template: str, match: str) -> str:
    def fill(found: re.Match[str]) -> str:
        if found.group() == "$$":
            return "$"
        return match if (found.group(1) or found.group(2)) == "0" else ""

    return _TEMPLATE.sub(fill, template)


def _compile(pattern: str) -> tuple[_Token, ...]:
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


def _search(tokens: tuple[_Token, ...], value: str, position: int) -> tuple[int, int] | None:
    failed: set[tuple[int, int]] = set()
    for start in range(position, len(value) + 1):
        end = _match(tokens, value, start, greedy=True, failed=failed)
        if end is not None:
            return start, end
    return None


def _match(
    tokens: tuple[_Token, ...], value: str, start: int, *, greedy: bool, failed: set[tuple[int, int]]
) -> int | None:
    """Return where the preferred match that begins at ``start`` ends; ``failed`` remembers what cannot match."""
    pending = [(0, start)]
    while pending:
        state = pending.pop()
        if state in failed:
            continue
        failed.add(state)
        index, position = state
        if index == len(tokens):
            return position
        character, is_wildcard = tokens[index]
        here = value[position : position + 1]
        if is_wildcard and character == _STAR:
            more = [(index, position + 1)] if here not in ("", "\n") else []
            less = [(index + 1, position)]
            pending += less + more if greedy else more + less
        elif here and (here != "\n" if is_wildcard else here == character):
            pending.append((index + 1, position + 1))
    return None


def _reverse(pattern: str) -> str:
    """Return the pattern for reversed text: escapes stay in front of what they escape."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    return "".join(reversed(parts))
