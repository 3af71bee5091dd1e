"""What ``.dockerignore`` excludes from a build context, and ``--exclude`` from a copy.

The rules are those of moby/patternmatcher (patternmatcher.go and ignorefile/ignorefile.go): not those of .gitignore.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import Struct

from buildonce.dockerfile.globs import compile_glob
from buildonce.dockerfile.paths import clean_path
from buildonce.dockerfile.problems import Fault
from buildonce.dockerfile.runes import SPACES

_ESCAPED = frozenset(".+()|{}$")
_CLASSES = frozenset("dDwW")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One rule; ``text`` is its cleaned pattern, ``is_exception`` that it began with ``!``."""

    text: str
    is_exception: bool
    expression: re.Pattern[str] = field(compare=False, repr=False)

    def matches(self, path: str) -> bool:
        """Say whether the pattern matches this very path."""
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
        compiled.append(Pattern(text=text, is_exception=is_exception, expression=_compile(text)))
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


def _compile(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern; the odd corners are the original's."""
    if not set(pattern) & set("*?[]\\"):
        return re.compile(re.escape(pattern), re.DOTALL)
    if pattern.startswith("**") and not set(pattern[2:]) & set("*?[]\\"):
        return _compile_suffix(pattern[2:])
    if pattern.endswith("**") and not set(pattern[:-2]) & set("*?[]\\"):
        return re.compile(re.escape(pattern[:-2]) + ".*", re.DOTALL)
    try:
        return re.compile(_translate(pattern))
    except re.error as error:
        raise Fault("DF034", f"`{pattern}` is not a pattern: {error.msg}", needle=pattern) from error


def _compile_suffix(suffix: str) -> re.Pattern[str]:
    """``**/name`` is any path that ends so, and ``name`` itself; but ``**name`` asks for no ``/`` before it."""
    alone = f"|{re.escape(suffix[1:])}" if suffix.startswith("/") else ""
    return re.compile(f".*{re.escape(suffix)}{alone}", re.DOTALL)


def _translate(pattern: str) -> str:
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if pattern.startswith("**", position):
            position += 2
            position += pattern.startswith("/", position)
            parts.append("(?:.*/)?" if position < len(pattern) else ".*")
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
    return "".join(parts)


def _translate_character(character: str) -> str:
    match character:
        case "*":
            return "[^/]*"
        case "?":
            return "[^/]"
        case "^":
            return r"\A"  # left as it is in the original, where it then means the beginning
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
