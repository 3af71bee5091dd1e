"""YAML documents as values: bounded in size, depth and what aliases stand for, without keys that stand twice.

Plain scalars have the types of yaml.v3, which Compose reads with: those of YAML 1.2, and octal numbers as in ``010``.
Values are built from the parser's events one after the other, so no document is too deep for the stack, and an alias
is the very value that it names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import isinf
from typing import TYPE_CHECKING

from msgspec import Struct, field

from buildonce.errors import ConfigurationError
from buildonce.project.findings import KeyPath, TooMuch
from buildonce.project.values import DEEPEST, Value, check_values, kind

if TYPE_CHECKING:
    from yaml.events import Event

LONGEST_YAML = 1 << 20
_MOST_VALUES = 100_000
_DEEPEST_LINE = 8
"""Deeper keys are not remembered with their lines: messages name the line of the nearest key around."""

_NULLS = ("", "~", "null", "Null", "NULL")
_BOOLEANS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0[bB][01]+|0[oO]?[0-7]+|0[xX][0-9a-fA-F]+|[1-9][0-9]*|0)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_STRING_TAGS = ("!", "tag:yaml.org,2002:str")


class YamlDocument(Struct, frozen=True):
    """A document's value, and the lines (from 1) of its keys and items."""

    value: Value
    lines: Mapping[KeyPath, int]


class _Open(Struct):
    """A mapping or list whose end was not reached yet; ``key`` is what the next value is for."""

    is_mapping: bool
    path: KeyPath
    anchor: str | None
    line: int
    mapping: dict[str, Value] = field(default_factory=dict)
    items: list[Value] = field(default_factory=list)
    merged: list[Mapping[str, Value]] = field(default_factory=list)
    key: str | None = None
    size: int = 1
    height: int = 1


class _Known(Struct, frozen=True):
    """A value with how many values it stands for and how deep it nests."""

    value: Value
    size: int = 1
    height: int = 1


def read_yaml(text: bytes, path: str) -> YamlDocument:
    """Return the only document of a YAML file; raise `ConfigurationError` when it is none, or no honest one."""
    if len(text) > LONGEST_YAML:
        raise ConfigurationError(
            f"{path} has {len(text)} bytes", notes=(f"a YAML file is read up to {LONGEST_YAML} bytes",)
        )
    import yaml

    loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder(path)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = (f"line {mark.line + 1}, column {mark.column + 1}",) if mark else ()
        raise ConfigurationError(f"{path} is not YAML: {error.problem or error.context}", notes=place) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    check_values(builder.value, path)
    return YamlDocument(builder.value, builder.lines)


class _Builder:
    """Values from events; ``value`` is the document's, null where there is none."""

    def __init__(self, path: str) -> None:
        self.value: Value = None
        self.lines: dict[KeyPath, int] = {}
        self._path = path
        self._open: list[_Open] = []
        self._anchors: dict[str, _Known] = {}
        self._documents = 0
        self._events = 0

    def take(self, event: Event) -> None:
        """Go on with the next event. Raises `ConfigurationError`."""
        from yaml import events

        line = event.start_mark.line + 1 if event.start_mark else 0
        self._events += 1
        if self._events > _MOST_VALUES:
            raise TooMuch(f"{self._path} has more than {_MOST_VALUES} values")
        match event:
            case events.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise self._error(line, "a second document begins", "keep one document in the file")
            case events.MappingStartEvent() | events.SequenceStartEvent():
                self._check_tag(event.tag, ("map", "seq"), line)
                self._begin(isinstance(event, events.MappingStartEvent), event.anchor, line)
            case events.MappingEndEvent() | events.SequenceEndEvent():
                self._end()
            case events.ScalarEvent():
                self._scalar(event.value, event.anchor, event.tag, is_plain=event.implicit[0], line=line)
            case events.AliasEvent():
                if event.anchor not in self._anchors:
                    raise self._error(line, f"the alias `*{event.anchor}` names nothing before it")
                self._add(self._anchors[event.anchor], line)
            case _:
                pass

    def _begin(self, is_mapping: bool, anchor: str | None, line: int) -> None:
        if self._open and self._open[-1].is_mapping and self._open[-1].key is None:
            raise self._error(line, "a mapping or list stands where a key is needed")
        if len(self._open) >= DEEPEST:
            raise TooMuch(f"{self._path} nests deeper than {DEEPEST} levels")
        self._open.append(_Open(is_mapping, self._place(), anchor, line))

    def _end(self) -> None:
        ended = self._open.pop()
        value: Value = ended.items
        if ended.is_mapping:
            value = dict(ended.mapping)
            for merged in ended.merged:
                for key, one in merged.items():
                    value.setdefault(key, one)
        known = _Known(value, ended.size, ended.height)
        if ended.anchor:
            self._anchors[ended.anchor] = known
        self._add(known, ended.line)

    def _scalar(self, text: str, anchor: str | None, tag: str | None, *, is_plain: bool, line: int) -> None:
        self._check_tag(tag, ("str", "int", "float", "bool", "null"), line)
        is_text = not is_plain if tag is None else tag in _STRING_TAGS
        if self._open and self._open[-1].is_mapping and self._open[-1].key is None:
            self._key(text, line)
            return
        known = _Known(text if is_text else plain_value(text))
        if anchor:
            self._anchors[anchor] = known
        self._add(known, line)

    def _key(self, text: str, line: int) -> None:
        top = self._open[-1]
        if text in top.mapping or (text == "<<" and top.merged):
            raise self._error(line, f"the key `{text}` stands twice in one mapping")
        top.key = text
        self._note((*top.path, text), line)

    def _add(self, known: _Known, line: int) -> None:
        if not self._open:
            self.value = known.value
            return
        top = self._open[-1]
        top.size += known.size
        top.height = max(top.height, known.height + 1)
        if top.size > _MOST_VALUES or top.height > DEEPEST:
            raise TooMuch(f"{self._path} grows out of all bounds when its aliases are written out")
        if not top.is_mapping:
            self._note((*top.path, str(len(top.items))), line)
            top.items.append(known.value)
        elif top.key == "<<":
            top.merged = self._merged(known.value, line)
            top.key = None
        elif top.key is None:
            raise self._error(line, "an alias stands where a key is needed")
        else:
            top.mapping[top.key] = known.value
            top.key = None

    def _merged(self, value: Value, line: int) -> list[Mapping[str, Value]]:
        values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        found = [one for one in values if isinstance(one, Mapping)]
        if len(found) < len(values):
            wrong = next(one for one in values if not isinstance(one, Mapping))
            raise self._error(line, f"`<<` has {kind(wrong)}, and only a mapping can be merged")
        return found

    def _note(self, path: KeyPath, line: int) -> None:
        if len(path) <= _DEEPEST_LINE:
            self.lines[path] = line

    def _place(self) -> KeyPath:
        if not self._open:
            return ()
        top = self._open[-1]
        return (*top.path, str(len(top.items)) if top.key is None else top.key)

    def _check_tag(self, tag: str | None, names: Sequence[str], line: int) -> None:
        if tag and tag not in ("!", *(f"tag:yaml.org,2002:{name}" for name in names)):
            raise self._error(line, f"the tag `{tag}` is not read", "write the value without a tag")

    def _error(self, line: int, message: str, help_text: str | None = None) -> ConfigurationError:
        return ConfigurationError(message, notes=(f"{self._path}:{line}",), help=help_text)


def plain_value(text: str) -> Value:
    """Return what a scalar without quotes is."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    digits = text.replace("_", "") if text[0] in "+-.0123456789" else text
    if len(digits) <= 40 and _INTEGER.fullmatch(digits) and (number := _integer(digits)).bit_length() <= 63:
        return Decimal(number)
    if _FLOAT.fullmatch(digits) and not isinf(found := float(digits)):
        return found
    return text


def _integer(digits: str) -> int:
    sign, rest = (digits[0], digits[1:]) if digits[0] in "+-" else ("", digits)
    is_octal = len(rest) > 1 and rest[0] == "0" and rest[1].isdigit()
    return int(f"{sign}0o{rest[1:]}" if is_octal else f"{sign}{rest}", 0)
