"""Files of variables, such as the .env beside a Compose file, read as Compose reads them (compose-go, dotenv)."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping

from buildonce.errors import ConfigurationError, UsageError
from buildonce.project.compose_interpolation import interpolate
from buildonce.project.findings import Budget
from buildonce.project.values import check_size

_SKIPPED = re.compile(r"(?:\s+|#[^\n]*)*")
_NAME = re.compile(r"(?:export[ \t]+)?(?P<name>[\w.\-\[\]]+)[ \t\r]*(?P<assigned>[=:])?[ \t]*")
_SINGLE = re.compile(r"'(?P<value>(?:[^'\\]|\\.)*)'", re.DOTALL)
_DOUBLE = re.compile(r'"(?P<value>(?:[^"\\]|\\.)*)"', re.DOTALL)
_PLAIN = re.compile(r"[^\n]*")
_AFTER = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?:\n|$)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_OCTAL = re.compile(r"(?:^|[^\\])(?:\\\\)*\\0")
_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    '"': '"',
    "\\": "\\",
    "$": "$$",
}


def read_dotenv(text: bytes, *, path: str, environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables of a file; those of ``environment`` fill in values before those of the file do.

    Raises `ConfigurationError` at the first line that cannot be read.
    """
    check_size(text, path)
    try:
        rest = text.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8", notes=(f"byte {error.start} cannot be read",)) from error
    if "\0" in rest:
        raise ConfigurationError(f"{path} has a NUL in it, which no variable can have")
    found: dict[str, str] = {}
    known = ChainMap[str, str](dict(environment), found)
    budget = Budget(path)
    position = _skip(rest, 0)
    while position < len(rest):
        name = _NAME.match(rest, position)
        if name is None or (not name["assigned"] and not _AFTER.match(rest, name.end())):
            raise _unreadable(rest, position, path)
        position = name.end()
        if name["assigned"]:
            position, template = _value(rest, position, path)
            try:
                found[name["name"]] = interpolate(template, known, budget)
            except UsageError as error:
                raise ConfigurationError(
                    error.message, notes=(_place(rest, position, path),), help=error.help
                ) from error
        position = _skip(rest, position)
    return found


def _value(text: str, position: int, path: str) -> tuple[int, str]:
    """Return where a value ends, and what is to be filled in for it."""
    if text[position : position + 1] not in ("'", '"'):
        plain = _PLAIN.match(text, position)
        assert plain is not None  # noqa: S101  it matches anything
        return plain.end(), plain.group().partition(" #")[0].rstrip()
    quoted = (_SINGLE if text[position] == "'" else _DOUBLE).match(text, position)
    if quoted is None or not _AFTER.match(text, quoted.end()):
        raise _unreadable(text, position, path)
    if text[position] == "'":
        return quoted.end(), quoted["value"].replace("\\'", "'").replace("$", "$$")
    if _OCTAL.search(quoted["value"]):
        raise _unreadable(text, position, path)
    return quoted.end(), _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[0]), quoted["value"])


def _skip(text: str, position: int) -> int:
    found = _SKIPPED.match(text, position)
    return found.end() if found else position


def _unreadable(text: str, position: int, path: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} has a line that is no variable",
        notes=(_place(text, position, path),),
        help="write NAME=value, with the value in single quotes if it is more than a word",
    )


def _place(text: str, position: int, path: str) -> str:
    return f"{path}:{text.count(chr(10), 0, position) + 1}"
