"""Variables in Compose files and .env files: ``$VAR``, ``${VAR:-default}`` and the like, and ``$$`` for a dollar.

The rules are those of compose-spec, interpolation.md: a dollar before anything else stands for itself, an unset
variable is empty, and what follows an operator is filled in too when it counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from buildonce.errors import UsageError
from buildonce.project.findings import Budget, TooMuch

_NAME = r"[_a-zA-Z][_a-zA-Z0-9]*"
_DOLLAR = re.compile(rf"\$(?:(?P<escaped>\$)|(?P<named>{_NAME})|(?P<braced>\{{))", re.ASCII)
_BRACED = re.compile(rf"(?P<name>{_NAME})(?:(?P<operator>:?[-+?])(?P<word>.*))?", re.ASCII)
_DEEPEST = 32


def interpolate(text: str, variables: Mapping[str, str], budget: Budget, *, depth: int = 0) -> str:
    """Return the text with its variables filled in. Raises `UsageError` for one that must be set, or is none."""
    if depth > _DEEPEST:
        raise TooMuch(f"variables stand in each other's defaults more than {_DEEPEST} levels deep")
    parts: list[str] = []
    position = 0
    while found := _DOLLAR.search(text, position):
        parts.append(text[position : found.start()])
        position = found.end()
        if found["escaped"]:
            parts.append("$")
        elif found["named"]:
            parts.append(variables.get(found["named"], ""))
        else:
            end = _closing(text, position)
            parts.append(_braced(text[position:end], text, variables, budget, depth))
            position = end + 1
        budget.spend(1 + len(parts[-1]))
    parts.append(text[position:])
    return "".join(parts)


def _braced(inner: str, text: str, variables: Mapping[str, str], budget: Budget, depth: int) -> str:
    """Return what ``${inner}`` stands for."""
    found = _BRACED.fullmatch(inner)
    if found is None:
        raise _invalid(text)
    name, operator, word = found["name"], found["operator"] or "", found["word"] or ""
    value = variables.get(name)
    is_there = bool(value) if operator.startswith(":") else value is not None
    match operator[-1:]:
        case "-" if not is_there:
            return interpolate(word, variables, budget, depth=depth + 1)
        case "+" if is_there:
            return interpolate(word, variables, budget, depth=depth + 1)
        case "?" if not is_there:
            reason = interpolate(word, variables, budget, depth=depth + 1)
            raise UsageError(
                f"the variable `{name}` has to be set" + (f": {reason}" if reason else ""),
                help=f"set it in the environment or in the file .env beside: {name}=...",
            )
        case _:
            return value or ""


def _closing(text: str, start: int) -> int:
    """Return where the brace ends that was opened before ``start``."""
    opened = 1
    for place in range(start, len(text)):
        opened += (text[place] == "{") - (text[place] == "}")
        if not opened:
            return place
    raise _invalid(text)


def _invalid(text: str) -> UsageError:
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return UsageError(f"the variable in `{shown}` cannot be read", help="write ${NAME}, or $$ for a dollar that stays")
