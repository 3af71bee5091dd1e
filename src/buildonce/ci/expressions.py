"""The part of GitHub's expressions that our workflows use: names, texts, comparisons, logic, `fromJSON`. Pure.

Rules are those of docs.github.com, "Evaluate expressions in workflows and actions": texts compare without regard to
case, what is not there is an empty text, and `&&` and `||` give one of their sides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from buildonce.errors import UsageError

_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<sign>==|!=|&&|\|\||[!()])|(?P<name>[A-Za-z_][A-Za-z0-9_.-]*))")
_WHOLE = re.compile(r"\$\{\{(?P<inside>(?:[^}]|\}(?!\}))*)\}\}")

Functions = Mapping[str, Callable[..., object]]


def evaluate(text: str, context: Mapping[str, object], functions: Functions | None = None) -> object:
    """Return the value of an expression, with or without ``${{ }}`` around it. Raises `UsageError` for another form."""
    whole = _WHOLE.fullmatch(text.strip())
    parser = _Parser(whole["inside"] if whole else text, context, {"fromJSON": _from_json, **(functions or {})})
    return parser.parse()


def interpolate(text: str, context: Mapping[str, object]) -> str:
    """Return a text with the values of the expressions in it."""
    return _WHOLE.sub(lambda found: as_text(evaluate(found["inside"], context)), text)


def as_text(value: object) -> str:
    """Return a value as it stands in a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def is_true(value: object) -> bool:
    """Say whether a value counts as true: everything but nothing, an empty text, zero and false."""
    return bool(value)


def _from_json(text: object) -> object:
    return json.loads(as_text(text))


class _Parser:
    """Reads one expression by recursive descent, and evaluates it on the way."""

    def __init__(self, text: str, context: Mapping[str, object], functions: Functions) -> None:
        self._text = text
        self._context = context
        self._functions = functions
        self._tokens = list(self._split())
        self._at = 0

    def parse(self) -> object:
        value = self._either()
        if self._at != len(self._tokens):
            raise self._wrong()
        return value

    def _split(self) -> list[str]:
        tokens, at = [], 0
        while self._text[at:].strip():
            found = _TOKEN.match(self._text, at)
            if found is None:
                raise self._wrong()
            tokens.append(found[0].strip())
            at = found.end()
        return tokens

    def _either(self) -> object:
        value = self._both()
        while self._take("||"):
            other = self._both()
            value = value if is_true(value) else other
        return value

    def _both(self) -> object:
        value = self._comparison()
        while self._take("&&"):
            other = self._comparison()
            value = other if is_true(value) else value
        return value

    def _comparison(self) -> object:
        value = self._single()
        for sign in ("==", "!="):
            if self._take(sign):
                return _is_equal(value, self._single()) == (sign == "==")
        return value

    def _single(self) -> object:
        if self._take("!"):
            return not is_true(self._single())
        if self._take("("):
            value = self._either()
            self._need(")")
            return value
        if self._at == len(self._tokens):
            raise self._wrong()
        token = self._tokens[self._at]
        self._at += 1
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if self._take("("):
            return self._call(token)
        return self._look_up(token)

    def _call(self, name: str) -> object:
        if name not in self._functions:
            raise self._wrong()
        if self._take(")"):
            return self._functions[name]()
        value = self._either()
        self._need(")")
        return self._functions[name](value)

    def _look_up(self, name: str) -> object:
        if name in ("true", "false"):
            return name == "true"
        value: object = self._context
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return "" if value is None else value

    def _take(self, token: str) -> bool:
        is_next = self._at < len(self._tokens) and self._tokens[self._at] == token
        self._at += is_next
        return is_next

    def _need(self, token: str) -> None:
        if not self._take(token):
            raise self._wrong()

    def _wrong(self) -> UsageError:
        return UsageError(f"`{self._text.strip()[:200]}` is no expression that is known here")


def _is_equal(one: object, other: object) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    return one == other
