"""The strings of JSON bake files: HCL templates, of which variables in ``${...}`` are read.

A string that is one ``${...}`` has the value's own type (hcl/v2, json/spec.md). Functions, operators and directives
(``%{if ...}``) are HCL's whole language: they need buildx.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from buildonce.errors import UsageError
from buildonce.project.findings import Budget
from buildonce.project.values import Value, kind, number_text

Lookup = Callable[[str], Value]
"""Gives the value of a variable; raises `UsageError` when there is none."""

NEEDS_BUILDX = "install Docker's buildx, which resolves every bake file; or write the value out"

_OPENING = re.compile(r"\$\$\{|%%\{|\$\{|%\{")
_HOLE = re.compile(r"\$\{\s*([A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)*)\s*\}")
_VALUE = 64
"""What a value costs beside its characters, so that the whole budget is a second or two."""

_KEYWORDS = ("true", "false", "null")
_BLOCKS = ("target", "group")


def fill(value: Value, lookup: Lookup, budget: Budget) -> Value:
    """Return a value with the templates in its strings and keys filled in. Raises `UsageError`."""
    budget.spend(_VALUE)
    match value:
        case str():
            return _fill_text(value, lookup, budget)
        case Mapping():
            return {as_text(_fill_text(key, lookup, budget)): fill(one, lookup, budget) for key, one in value.items()}
        case Sequence():
            return [fill(one, lookup, budget) for one in value]
        case _:
            return value


def as_text(value: Value) -> str:
    """Return a value as HCL turns it into a string; raise `UsageError` for null, lists and mappings."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case Decimal():
            return number_text(value)
        case _:
            raise UsageError(f"{kind(value)} stands where a text is needed")


def _fill_text(text: str, lookup: Lookup, budget: Budget) -> Value:
    parts: list[str] = []
    position = 0
    while opening := _OPENING.search(text, position):
        parts.append(text[position : opening.start()])
        if len(opening.group()) > 2:
            parts.append(opening.group()[1:])
            position = opening.end()
            continue
        hole = _HOLE.match(text, opening.start())
        if hole is None:
            raise _too_rich(text[opening.start() :])
        value = _look_up(hole.group(1), lookup)
        if hole.group() == text:
            return value
        parts.append(as_text(value))
        budget.spend(_VALUE + len(parts[-1]))
        position = hole.end()
    parts.append(text[position:])
    return "".join(parts)


def _look_up(name: str, lookup: Lookup) -> Value:
    first, *attributes = name.split(".")
    if first in _KEYWORDS or (first in _BLOCKS and attributes):
        raise _too_rich(f"${{{name}}}")
    value = lookup(first)
    for attribute in attributes:
        if not isinstance(value, Mapping) or attribute not in value:
            raise UsageError(f"`${{{name}}}`: there is no `{attribute}` in it")
        value = value[attribute]
    return value


def _too_rich(text: str) -> UsageError:
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return UsageError(
        f"`{shown}` is more than the name of a variable, and is not read without buildx", help=NEEDS_BUILDX
    )
