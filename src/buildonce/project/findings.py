"""What is wrong with a document, collected with the key paths where it stands, and raised together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn

from buildonce.errors import ConfigurationError, UsageError

KeyPath = tuple[str, ...]
"""Where a value stands in a document: the keys on the way to it."""

_SHOWN = 20
_MOST = 1000


class TooMuch(ConfigurationError):
    """A document asks for more work or memory than any honest one; nothing more is looked at."""


class Budget:
    """What filling in a document's variables may still cost, in characters; ``what`` is what messages call it."""

    def __init__(self, what: str, limit: int = 32 << 20) -> None:
        self._what = what
        self._left = limit

    def spend(self, cost: int) -> None:
        """Raise `TooMuch` when there is nothing left."""
        self._left -= cost
        if self._left < 0:
            raise TooMuch(f"{self._what} grows out of all bounds when its variables are filled in")


class Findings:
    """The faults of one document so far; ``path`` names it, ``lines`` has the lines (from 1) that are known."""

    def __init__(self, path: str, lines: Mapping[KeyPath, int] | None = None) -> None:
        self._path = path
        self._lines = lines or {}
        self._found: list[tuple[str, UsageError]] = []
        self._count = 0

    def add(self, place: KeyPath, message: str, help: str | None = None) -> None:  # noqa: A002
        """Add a fault at a place; of many, the first are kept and the others counted; of very many, all is said."""
        self._count += 1
        if self._count == _MOST:
            self._close(TooMuch)
        if len(self._found) < _SHOWN:
            self._found.append((self._name(place), UsageError(message, help=help)))

    @contextmanager
    def at(self, place: KeyPath) -> Iterator[None]:
        """Take a `UsageError` of the body as a fault at this place, but for `TooMuch`."""
        try:
            yield
        except TooMuch:
            raise
        except UsageError as error:
            self.add(place, error.message, error.help)

    def close(self) -> None:
        """Raise a `ConfigurationError` with all that was found, if anything was."""
        if self._count == 1:
            ((place, fault),) = self._found
            raise ConfigurationError(fault.message, notes=(place,), help=fault.help)
        if self._count:
            self._close(ConfigurationError)

    def _close(self, kind: type[ConfigurationError]) -> NoReturn:
        notes = [f"{place}: {_one_line(fault)}" for place, fault in self._found]
        if self._count > _SHOWN:
            notes.append(f"and {self._count - _SHOWN} more")
        raise kind(f"{self._count} things are wrong in {self._path}", notes=tuple(notes))

    def _name(self, place: KeyPath) -> str:
        line = next((self._lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in self._lines), None)
        file = f"{self._path}:{line}" if line else self._path
        return f"{file}, {'.'.join(place)}" if place else file


def _one_line(fault: UsageError) -> str:
    return f"{fault.message} (help: {fault.help})" if fault.help else fault.message
