"""[io] The directories of a build context, each scanned once."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from buildonce.context import scanning
from buildonce.errors import ContextError

_MANY = 20_000
"""Entries from which on it pays to start processes that help to scan: they take 20 ms to start."""


class Listing(Struct, frozen=True, gc=False):
    """The entries of a directory as `scanning.scan` returns them."""

    names: bytes
    states: bytes

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the state of each entry, in byte order."""
        if self.states:
            size = scanning.SIZE
            for number, name in enumerate(os.fsdecode(self.names).split("\0")):
                yield name, self.states[number * size : (number + 1) * size]

    def digest(self) -> bytes:
        """Return the SHA-256 of all names and states."""
        total = hashlib.sha256(b"%d\0" % len(self.names))
        total.update(self.names)
        total.update(self.states)
        return total.digest()


class Listings:
    """What lies below ``root``; ``since`` is a time before the first look at it, in nanoseconds since the epoch."""

    def __init__(self, root: Path) -> None:
        self.since = time.time_ns()
        self._root = os.fspath(root)
        self._read: dict[str, Listing] = {}

    def place(self, path: str) -> str:
        """Return where a path of the context lies."""
        return f"{self._root}/{path}" if path else self._root

    def get(self, path: str) -> Listing:
        """Return the entries of a directory. Raises `ContextError`."""
        listing = self._read.get(path)
        if listing is None:
            try:
                listing = self._read[path] = Listing(*scanning.scan(self.place(path)))
            except OSError as error:
                raise unreadable(path, error) from error
        return listing

    def read_ahead(self, paths: Iterable[str], entries: int) -> None:
        """Scan directories that will be needed, if they are expected to hold so many entries that it pays."""
        places = {self.place(path): path for path in paths if path not in self._read}
        if entries >= _MANY and len(places) > 1:
            from buildonce.context.ahead import scan_many

            for place, scanned in scan_many(tuple(places)).items():
                self._read[places[place]] = Listing(*scanned)


def unreadable(path: str, error: OSError) -> ContextError:
    """Return the error to raise for what cannot be read."""
    return ContextError(f"cannot read `{path or '.'}` in the build context: {error.strerror}")
