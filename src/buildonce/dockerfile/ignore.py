"""What ``.dockerignore`` excludes from a build context, and ``--exclude`` from a copy.

The rules are those of moby/patternmatcher (patternmatcher.go and ignorefile/ignorefile.go): not those of .gitignore.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import Struct

from buildonce.dockerfile.globs import compile_glob
from buildonce.dockerfile.paths import clean_path
from buildonce.dockerfile.positions import extend, find_positions
from buildonce.dockerfile.problems import Fault
from buildonce.dockerfile.runes import SPACES

_ESCAPED = frozenset(".+()|{}$")
_CLASSES = frozenset("dDwW")
_NAME = "[^/]*"
_ANYTHING = ".*"
_DIRECTORIES = "(?:.*/)?"
_BEGINNING = r"\A"
_WILDCARDS = frozenset((_NAME, _ANYTHING, _DIRECTORIES))
_WAYS = 100_000
_LONGEST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One rule; ``text`` is its cleaned pattern, ``is_exception`` that it began with ``!``."""

    text: str
    is_exception: bool
    expression: re.Pattern[str] = field(compare=False, repr=False)
    parts: tuple[str, ...] = field(default=(), compare=False, repr=False)
    longest: int = field(default=0, compare=False, repr=False)

    def matches(self, path: str) -> bool:
        """Say whether the pattern matches this very path.

        The regular expression tries every way to divide a path among the wildcards. For a path that is longer than
        ``longest`` these are too many; it is matched part by part.
        """
        if self.parts and len(path) > self.longest:
            return _match_parts(self.parts, path)
        return self.expression.fullmatch(path) is not None


class IgnoreRules(Struct, frozen=True, kw_only=True):
    """Rules in their order, of which the last one that matches a path or a parent of it decides."""

    patterns: tuple[Pattern, ...] = ()

    @property
    def has_exceptions(self) -> bool:
        """Whether a file can be taken back from an excluded directory."""
        return any(pattern.is_exception for pattern in self.patterns)

    def excludes(self, path: str) -> bool:
        """Say whether ``path``, relative and with ``/``, is excluded, by itself or with a parent."""
        return self.deciding(path) is not None

    def deciding(self, path: str) -> Pattern | None:
        """Return the pattern that excludes ``path``, or None when it is not excluded."""
        paths = [path, *_parents(path)]
        decision: Pattern | None = None
        for pattern in self.patterns:
            if pattern.is_exception == (decision is not None) and any(pattern.matches(one) for one in paths):
                decision = None if pattern.is_exception else pattern
        return decision

    def enter(self, path: str, parent: tuple[bool, ...] = ()) -> tuple[bool, tuple[bool, ...]]:
        """Return whether ``path`` is excluded, and what each pattern matched, to be passed on for its children.

        ``parent`` is what this returned for the directory of ``path``; nothing at the top.
        """
        excluded = False
        matched: list[bool] = []
        for number, pattern in enumerate(self.patterns):
            is_match = bool(parent) and parent[number]
            if not is_match and pattern.is_exception == excluded:
                is_match = pattern.matches(path)
            matched.append(is_match)
            if is_match:
                excluded = not pattern.is_exception
        return excluded, tuple(matched)


def compile_ignore(text: str) -> IgnoreRules:
    """Return the rules of an ignore file; raise `Fault` for a malformed pattern."""
    lines = text.removeprefix("\ufeff").split("\n")
    return compile_patterns(pattern for line in lines if (pattern := _read_line(line)))


def compile_patterns(patterns: Iterable[str]) -> IgnoreRules:
    """Return the rules that patterns make, as in ``--exclude``; raise `Fault` for a malformed one."""
    compiled: list[Pattern] = []
    for raw in patterns:
        text = raw.strip(SPACES)
        if not text:
            continue
        text = clean_path(text)
        is_exception = text.startswith("!")
        if text == "!":
            raise Fault("DF034", "the pattern `!` takes nothing back", needle="!")
        text = text.removeprefix("!") if is_exception else text
        compile_glob(text)  # only to refuse what Go's filepath.Match refuses
        compiled.append(_compile(text, is_exception=is_exception))
    return IgnoreRules(patterns=tuple(compiled))


def _read_line(line: str) -> str:
    """Return the pattern of one line, nothing for a comment or a blank line."""
    if line.startswith("#"):
        return ""
    text = line.strip(SPACES)
    is_exception = text.startswith("!")
    if is_exception:
        text = text[1:].strip(SPACES)
    if text:
        text = clean_path(text)
        text = text[1:] if len(text) > 1 and text.startswith("/") else text
    return f"!{text}" if is_exception else text


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def _compile(text: str, *, is_exception: bool) -> Pattern:
    """Return the rule that a pattern makes; the odd corners are the original's."""
    simple = _compile_simple(text)
    if simple:
        return Pattern(text=text, is_exception=is_exception, expression=simple)
    parts = tuple(_translate(text))
    try:
        expression = re.compile("".join(parts))
    except re.error as error:
        raise Fault("DF034", f"`{text}` is not a pattern: {error.msg}", needle=text) from error
    wildcards = sum(part in _WILDCARDS for part in parts)
    longest = bisect_right(range(_LONGEST), _WAYS, key=lambda length: math.comb(length + wildcards, wildcards)) - 1
    return Pattern(text=text, is_exception=is_exception, expression=expression, parts=parts, longest=longest)


def _compile_simple(pattern: str) -> re.Pattern[str] | None:
    """Return the expression of a pattern that has no wildcard but ``**`` at one end; None for any other."""
    if not set(pattern) & set("*?[]\\"):
        return re.compile(re.escape(pattern), re.DOTALL)
    if pattern.startswith("**") and not set(pattern[2:]) & set("*?[]\\"):
        return _compile_suffix(pattern[2:])
    if pattern.endswith("**") and not set(pattern[:-2]) & set("*?[]\\"):
        return re.compile(re.escape(pattern[:-2]) + ".*", re.DOTALL)
    return None


def _compile_suffix(suffix: str) -> re.Pattern[str]:
    """``**/name`` is any path that ends so, and ``name`` itself; but ``**name`` asks for no ``/`` before it."""
    alone = f"|{re.escape(suffix[1:])}" if suffix.startswith("/") else ""
    return re.compile(f".*{re.escape(suffix)}{alone}", re.DOTALL)


def _translate(pattern: str) -> list[str]:
    """Return a regular expression in its parts: wildcards, and what matches one character."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if pattern.startswith("**", position):
            position += 2
            position += pattern.startswith("/", position)
            parts.append(_DIRECTORIES if position < len(pattern) else _ANYTHING)
            continue
        if character == "[":
            text, position = _translate_class(pattern, position)
            parts.append(text)
            continue
        if character == "\\":
            position += 1
            parts.append(_translate_escape(pattern, position))
        else:
            parts.append(_translate_character(character))
        position += 1
    return parts


def _match_parts(parts: tuple[str, ...], path: str) -> bool:
    """Say whether the whole path matches, in a time that is proportional to its length."""
    within_line = find_positions(path, "\n".__ne__)
    within_name = find_positions(path, "/".__ne__)
    slashes = find_positions(path, "/".__eq__)
    single = {part: find_positions(path, re.compile(part).fullmatch) for part in {*parts} - _WILDCARDS - {_BEGINNING}}
    positions = 1
    for part in parts:
        if part == _BEGINNING:
            positions &= 1
        elif part == _NAME:
            positions = extend(positions, within_name)
        elif part == _ANYTHING:
            positions = extend(positions, within_line)
        elif part == _DIRECTORIES:
            positions |= (extend(positions, within_line) & slashes) << 1
        else:
            positions = (positions & single[part]) << 1
    return bool(positions >> len(path))


def _translate_character(character: str) -> str:
    match character:
        case "*":
            return _NAME
        case "?":
            return "[^/]"
        case "^":
            return _BEGINNING  # left as it is in the original, where it then means the beginning
        case _:
            return re.escape(character)


def _translate_escape(pattern: str, position: int) -> str:
    character = pattern[position : position + 1]
    if character in _CLASSES and character:
        return f"(?a:\\{character})"
    if character.isascii() and character.isalnum():
        raise Fault("DF034", f"`\\{character}` is not an escape in `{pattern}`", needle=pattern)
    return re.escape(character or "\\")


def _translate_class(pattern: str, position: int) -> tuple[str, int]:
    """Return a class; the original lets wildcards inside one through to its regular expression, this refuses them."""
    end = position + 1
    end += pattern.startswith("^", end)
    members: list[str] = []
    while end < len(pattern) and (pattern[end] != "]" or not members):
        character = pattern[end]
        if character in "*?[":
            raise Fault("DF034", f"`{character}` inside `[...]` has no clear meaning in `{pattern}`", needle=pattern)
        if character == "\\":
            end += 1
            members.append(_translate_escape(pattern, end))
        else:
            members.append("-" if character == "-" else re.escape(character))
        end += 1
    negation = "^" if pattern.startswith("^", position + 1) else ""
    return f"[{negation}{''.join(members)}]", end + 1
