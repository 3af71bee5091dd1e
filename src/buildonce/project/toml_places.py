"""Where each key and value of a TOML text stands, for messages that point at it.

`tomllib` says what a text means and not where. This goes over the same text, and relies on it being valid TOML; of any
other text it gives what stands before the first place that it cannot read. Line ends are ``\\n``.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from msgspec import Struct

from buildonce.dockerfile.syntax import Place

KeyPath = tuple[str | int, ...]
"""The keys that lead to a value from the top of the file; a number for a place in an array."""

_BLANK = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(r'"""(?:\\[\s\S]|[^\\])*?"{3,5}|' + r"'''[\s\S]*?'{3,5}|" + r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'")
_OTHER = re.compile(r"[^,\]}#\n]+")


class Entry(Struct, frozen=True, kw_only=True):
    """A key with its value, the header of a table, or an item of an array, whose key is its value.

    ``defines`` is False for what only leads to something: `a` in ``[a.b]`` and in ``a.b = 1``.
    """

    path: KeyPath
    key: Place
    value: Place
    defines: bool = True


def scan_places(text: str) -> tuple[Entry, ...]:
    """Return every key, header and array item of a TOML text, in its order."""
    scanner = _Scanner(text)
    with suppress(_Unreadable, RecursionError):
        scanner.scan()
    return tuple(scanner.entries)


def index_places(entries: Sequence[Entry]) -> Mapping[KeyPath, Entry]:
    """Return the entries by their paths; of several with one path that which defines it, else the first."""
    found: dict[KeyPath, Entry] = {}
    for entry in entries:
        known = found.get(entry.path)
        if known is None or (entry.defines and not known.defines):
            found[entry.path] = entry
    return MappingProxyType(found)


def find_double(entries: Sequence[Entry]) -> tuple[Entry, Entry] | None:
    """Return the first entry that defines what an earlier one has defined, after that one."""
    defined: dict[KeyPath, Entry] = {}
    for entry in entries:
        if entry.defines and entry.path in defined:
            return defined[entry.path], entry
        if entry.defines:
            defined[entry.path] = entry
    return None


class _Unreadable(Exception):
    """The text is not valid TOML from here on."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.entries: list[Entry] = []
        self._text = text
        self._at = 0
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._arrays: dict[KeyPath, int] = {}

    def scan(self) -> None:
        table: KeyPath = ()
        self._skip(_GAP)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_GAP)

    def _header(self) -> KeyPath:
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        *outer, (last, place) = self._keys()
        self._expect("]]" if is_array else "]")
        path: KeyPath = ()
        for name, where in outer:
            path = self._resolved((*path, name))
            self._add(path, where, where, defines=False)
        path = (*path, last)
        if is_array:
            self._add(path, place, place, defines=False)
            self._arrays[path] = self._arrays.get(path, -1) + 1
            path = self._resolved(path)
        self._add(path, place, place)
        return path

    def _resolved(self, path: KeyPath) -> KeyPath:
        """Return the path of a table that may be the last one of an array of tables."""
        return (*path, self._arrays[path]) if path in self._arrays else path

    def _pair(self, table: KeyPath) -> None:
        *outer, (last, place) = self._keys()
        self._expect("=")
        path = table
        for name, where in outer:
            path = (*path, name)
            self._add(path, where, where, defines=False)
        path = (*path, last)
        number = len(self.entries)
        value = self._value(path)
        self.entries.insert(number, Entry(path=path, key=place, value=value))

    def _value(self, path: KeyPath) -> Place:
        self._skip(_BLANK)
        start = self._at
        match self._text[start : start + 1]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._skip(_STRING)
            case _:
                self._skip(_OTHER)
                self._at = start + len(self._text[start : self._at].rstrip())
        if self._at == start:
            raise _Unreadable
        return self._place(start)

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        number = 0
        while not self._ends("]"):
            place = len(self.entries)
            value = self._value((*path, number))
            self.entries.insert(place, Entry(path=(*path, number), key=value, value=value))
            number += 1
            self._comma("]")

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while not self._ends("}"):
            self._pair(path)
            self._comma("}")

    def _ends(self, closing: str) -> bool:
        self._skip(_GAP)
        if self._text.startswith(closing, self._at):
            self._at += 1
            return True
        return False

    def _comma(self, closing: str) -> None:
        self._skip(_GAP)
        if self._text.startswith(",", self._at):
            self._at += 1
        elif not self._text.startswith(closing, self._at):
            raise _Unreadable

    def _keys(self) -> list[tuple[str, Place]]:
        """Read a key with its dots, and the blanks around it."""
        found = []
        while True:
            self._skip(_BLANK)
            start = self._at
            is_quoted = self._text[start : start + 1] in ('"', "'")
            self._skip(_STRING if is_quoted else _BARE_KEY)
            raw = self._text[start : self._at]
            if not raw:
                raise _Unreadable
            found.append((_unquote(raw) if is_quoted else raw, self._place(start)))
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return found
            self._at += 1

    def _expect(self, mark: str) -> None:
        if not self._text.startswith(mark, self._at):
            raise _Unreadable
        self._at += len(mark)

    def _skip(self, what: re.Pattern[str]) -> None:
        if found := what.match(self._text, self._at):
            self._at = found.end()

    def _place(self, start: int) -> Place:
        """Return where the text from ``start`` to here stands; of several lines the part on the first."""
        line = bisect_right(self._starts, start)
        end = self._text.find("\n", start, self._at)
        return Place(
            line=line,
            column=start - self._starts[line - 1] + 1,
            width=max(1, (end if end >= 0 else self._at) - start),
        )

    def _add(self, path: KeyPath, key: Place, value: Place, *, defines: bool = True) -> None:
        self.entries.append(Entry(path=path, key=key, value=value, defines=defines))


def _unquote(raw: str) -> str:
    try:
        (name,) = tomllib.loads(f"{raw} = 0")
    except tomllib.TOMLDecodeError as error:
        raise _Unreadable from error
    return str(name)
