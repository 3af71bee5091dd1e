"""Shell words in a Dockerfile: quotes, escapes and variables.

The rules, oddities included, are those of BuildKit, frontend/dockerfile/shell/lex.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from buildonce.dockerfile.patterns import LONGEST, remove_prefix, remove_suffix, replace_all, replace_first
from buildonce.dockerfile.problems import Fault
from buildonce.dockerfile.runes import SPACES, replace_invalid

_SPECIAL_PARAMETERS = "@*#?-$!0"
_DEEPEST = 50
_SPACE = re.compile(f"[{SPACES}]")
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Expansion(Struct, frozen=True, kw_only=True):
    """A word after expansion, the names that it looked up and found, and those that it did not find."""

    text: str
    used: frozenset[str]
    unset: frozenset[str]


def expand(word: str, env: Mapping[str, str], *, escape: str = "\\", quotes: bool = True) -> Expansion:
    """Return ``word`` with variables replaced, and quotes and escapes removed.

    Without ``quotes``, quotation marks are ordinary characters (the rule inside heredocs). Raises `Fault` when the
    word cannot be read, or when ``${name:?message}`` demands what is not set.
    """
    lexer = _Lexer(word, env, escape=escape, quotes=quotes)
    text, _ = lexer.run()
    return Expansion(text=text, used=frozenset(lexer.used), unset=frozenset(lexer.unset))


def expand_words(word: str, env: Mapping[str, str], *, escape: str = "\\") -> tuple[str, ...]:
    """Return what ``word`` expands to, split at spaces that are not quoted; raise `Fault` as `expand` does."""
    return _Lexer(word, env, escape=escape).run()[1]


def split_words(text: str, *, raw_quotes: bool = False, raw_escapes: bool = False) -> tuple[str, ...]:
    """Return the words of ``text``, variables left as they are, quotes and escapes kept if asked."""
    lexer = _Lexer(text, _NOTHING, raw_quotes=raw_quotes, raw_escapes=raw_escapes, keep_unset=True)
    return lexer.run()[1]


class _Words:
    """Words in the making.

    BuildKit shares one buffer between a word and the ``${name:-word}`` inside it, so that such an expansion drops
    what stands before it in the same word; this shows only where words are split (EXPOSE, heredoc names).
    """

    def __init__(self, buffer: list[str]) -> None:
        buffer.clear()
        self.buffer = buffer
        self.words: list[str] = []
        self.in_word = False

    def add(self, text: str) -> None:
        for number, part in enumerate(_SPACE.split(text)):
            if number and self.in_word and self.buffer:
                self._end_word()
            if part:
                self.add_raw(part)

    def add_raw(self, text: str) -> None:
        if text:
            self.buffer.append(text)
        self.in_word = True

    def finish(self) -> tuple[str, ...]:
        if self.buffer:
            self._end_word()
        return tuple(self.words)

    def _end_word(self) -> None:
        self.words.append("".join(self.buffer))
        self.buffer.clear()
        self.in_word = False


class _Lexer:
    """One pass over one text."""

    def __init__(
        self,
        text: str,
        env: Mapping[str, str],
        *,
        escape: str = "\\",
        quotes: bool = True,
        raw_quotes: bool = False,
        raw_escapes: bool = False,
        keep_unset: bool = False,
    ) -> None:
        self.source = text
        self.text = replace_invalid(text).removeprefix("\ufeff")
        self.position = 0
        self.env = env
        self.escape = escape
        self.quotes = quotes
        self.raw_quotes = raw_quotes
        self.raw_escapes = raw_escapes
        self.keep_unset = keep_unset
        self.used: set[str] = set()
        self.unset: set[str] = set()
        self.buffer: list[str] = []
        self.depth = 0
        self.size = 0

    def run(self) -> tuple[str, tuple[str, ...]]:
        return self.read_until("", raw_escapes=self.raw_escapes)

    def peek(self) -> str:
        """Return the next character, or nothing at the end."""
        return self.text[self.position : self.position + 1]

    def take(self) -> str:
        character = self.peek()
        self.position += len(character)
        return character

    def fault(self, message: str) -> Fault:
        return Fault("DF013", message, needle=self.source)

    def read_until(self, stop: str, *, raw_escapes: bool) -> tuple[str, tuple[str, ...]]:
        """Return text and words up to ``stop``, which is consumed, or up to the end when it is empty."""
        outer, self.raw_escapes = self.raw_escapes, raw_escapes
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.fault(f"variables are nested more than {_DEEPEST} deep")
        try:
            return self._read_until(stop)
        finally:
            self.raw_escapes = outer
            self.depth -= 1

    def _read_until(self, stop: str) -> tuple[str, tuple[str, ...]]:
        parts: list[str] = []
        words = _Words(self.buffer)
        while character := self.peek():
            if character == stop:
                self.take()
                return "".join(parts), words.finish()
            if character in "$<" or (self.quotes and character in "'\""):
                text = self._special(character)
                parts.append(text)
                words.add(text) if character == "$" else words.add_raw(text)
            else:
                self._ordinary(parts, words)
        if stop:
            raise self.fault(f"the text ends before a `{stop}`")
        return "".join(parts), words.finish()

    def _ordinary(self, parts: list[str], words: _Words) -> None:
        character = self.take()
        if character != self.escape:
            words.add(character)
            parts.append(character)
            return
        if self.raw_escapes:
            words.add_raw(character)
            parts.append(character)
        escaped = self.take()
        if escaped:
            words.add_raw(escaped)
            parts.append(escaped)

    def _special(self, character: str) -> str:
        match character:
            case "$":
                return self._dollar()
            case "<":
                return self._less_than()
            case "'":
                return self._single_quoted()
            case _:
                return self._double_quoted()

    def _less_than(self) -> str:
        """Keep ``<<`` and the spaces after it in one word with the heredoc's name."""
        self.take()
        if self.peek() != "<":
            return "<"
        start = self.position - 1
        self.take()
        while self.peek() and self.peek() in "\t\r ":
            self.take()
        return self.text[start : self.position]

    def _single_quoted(self) -> str:
        quote = self.take()
        end = self.text.find(quote, self.position)
        if end < 0:
            raise self.fault("a single quote is never closed")
        inside, self.position = self.text[self.position : end], end + 1
        return f"'{inside}'" if self.raw_quotes else inside

    def _double_quoted(self) -> str:
        quote = self.take()
        parts = [quote] if self.raw_quotes else []
        while character := self.peek():
            if character == "$":
                parts.append(self._dollar())
                continue
            self.take()
            if character == '"':
                return "".join(parts + ([quote] if self.raw_quotes else []))
            if character == self.escape:
                if self.raw_escapes:
                    parts.append(character)
                if not self.peek():
                    continue
                if self.peek() in ('"', "$", self.escape):
                    character = self.take()
            parts.append(character)
        raise self.fault("a double quote is never closed")

    def _dollar(self) -> str:
        self.take()
        if self.peek() == "{":
            self.take()
            return self._braced()
        name = self._name()
        if not name:
            return "$"
        value = self._look_up(name)
        if value is None:
            return f"${name}" if self.keep_unset else ""
        return value

    def _braced(self) -> str:
        if not self.peek():
            raise self.fault("`${` lacks its `}`")
        if self.peek() in "{}:":
            raise self.fault("`${` is not followed by a name")
        name = self._name()
        operator = self.take()
        if operator == "}":
            value = self._look_up(name)
            if value is None:
                return f"${{{name}}}" if self.keep_unset else ""
            return value
        if operator == "/":
            return self._replacement(name)
        if operator == ":" or (operator and operator in "+-?#%"):
            return self._modified(name, operator)
        if not operator:
            raise self.fault("`${` lacks its `}`")
        raise self.fault(f"`{operator}` is not a modifier that `${{{name}...}}` knows")

    def _modified(self, name: str, operator: str) -> str:
        null_is_unset = operator == ":"
        kind = self.take() if null_is_unset else operator
        is_pattern = kind in ("#", "%")
        if null_is_unset and is_pattern:
            raise self.fault(f"`:{kind}` is not a modifier that `${{{name}...}}` knows")
        word = self._part("}", raw_escapes=is_pattern)
        value = self._look_up(name)
        if value is None and self.keep_unset:
            return f"${{{name}{':' if null_is_unset else ''}{kind}{word}}}"
        is_missing = value is None or (null_is_unset and not value)
        present = value or ""
        match kind:
            case "-":
                return word if is_missing else present
            case "+":
                return "" if is_missing else word
            case "?":
                if is_missing:
                    state = "unset" if value is None else "empty"
                    raise Fault(
                        "DF033",
                        f"{name}: {word or f'is not allowed to be {state}'}",
                        needle=self.source,
                        help=f"pass `--build-arg {name}=VALUE` if it is an ARG, or set it before",
                    )
                return present
            case "#" | "%":
                greedy = word.startswith(kind)
                remove = remove_prefix if kind == "#" else remove_suffix
                return remove(word[1:] if greedy else word, present, greedy=greedy)
        raise self.fault(f"`{operator}{kind}` is not a modifier that `${{{name}...}}` knows")

    def _replacement(self, name: str) -> str:
        is_global = self.peek() == "/"
        if is_global:
            self.take()
        pattern = self._part("/", raw_escapes=True)
        replacement = self._part("}", raw_escapes=True)
        value = self._look_up(name)
        if value is None and self.keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        return (replace_all if is_global else replace_first)(pattern, value or "", replacement)

    def _part(self, stop: str, *, raw_escapes: bool) -> str:
        return self.read_until(stop, raw_escapes=raw_escapes)[0]

    def _name(self) -> str:
        """Take a name; a special parameter such as ``$?`` and a number are names, too."""
        first = self.peek()
        start = self.position
        if first.isdecimal():
            while self.peek().isdecimal():
                self.take()
        elif first and first in _SPECIAL_PARAMETERS:
            self.take()
        else:
            while self.peek().isalpha() or self.peek().isdecimal() or self.peek() == "_":
                self.take()
        return self.text[start : self.position]

    def _look_up(self, name: str) -> str | None:
        value = self.env.get(name)
        (self.unset if value is None else self.used).add(name)
        self.size += len(value or "")
        if self.size > LONGEST:
            raise self.fault(f"variables bring more than {LONGEST} characters into one word")
        return value
