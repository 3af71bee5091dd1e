"""Values of bake files, filled in: the expressions of HCL, and the strings of JSON, which are templates of HCL's.

A string that is one ``${...}`` has the value's own type (hcl/v2, json/spec.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from buildonce.project.findings import Budget
from buildonce.project.hcl_evaluation import Scope, evaluate
from buildonce.project.hcl_parsing import parse_template
from buildonce.project.hcl_syntax import Expression
from buildonce.project.hcl_values import as_text
from buildonce.project.values import Value

_OPENING = re.compile(r"\$\$\{|%%\{|\$\{|%\{")
_HOLE = re.compile(r"\$\{\s*([A-Za-z_][A-Za-z0-9_-]*)\s*\}")
_VALUE = 64
"""What a value costs beside its characters, so that the whole budget is a second or two."""

_CONSTANTS = ("true", "false", "null")


def fill(value: Value, scope: Scope, budget: Budget) -> Value:
    """Return a value with the templates in its strings and keys filled in. Raises `UsageError`."""
    budget.spend(_VALUE)
    match value:
        case Expression():
            return evaluate(value, scope, budget)
        case str():
            return _fill_text(value, scope, budget)
        case Mapping():
            return {as_text(_fill_text(key, scope, budget)): fill(one, scope, budget) for key, one in value.items()}
        case Sequence():
            return [fill(one, scope, budget) for one in value]
        case _:
            return value


def _fill_text(text: str, scope: Scope, budget: Budget) -> Value:
    parts: list[str] = []
    position = 0
    while opening := _OPENING.search(text, position):
        parts.append(text[position : opening.start()])
        if len(opening.group()) > 2:
            parts.append(opening.group()[1:])
            position = opening.end()
            continue
        hole = _HOLE.match(text, opening.start())
        if hole is None or hole.group(1) in _CONSTANTS:
            return evaluate(parse_template(text), scope, budget)
        value = scope.look_up(hole.group(1))
        if hole.group() == text:
            return value
        parts.append(as_text(value))
        budget.spend(_VALUE + len(parts[-1]))
        position = hole.end()
    parts.append(text[position:])
    return "".join(parts)
