"""What late copies bring into the middle of a base, and what is left of it when contents do not count. Pure."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from msgspec import Struct

from buildonce.assemble.entries import Entry, name_of, parent_of
from buildonce.assemble.tree import Tree, apply_layers
from buildonce.dockerfile.runes import encode_json

_FORMAT = 3
"""Version of shapes; it rises with what a proof looks at, so that proofs which looked at less are made again."""

_UNITS = (1000**2, 1024**2, 1000**3, 1024**3)
_ROUND_SIZES = sorted({digit * tens * unit for digit in (1, 2, 5) for tens in (1, 10, 100) for unit in _UNITS})


class Brought(Struct, frozen=True, kw_only=True):
    """The layers of late copies, each with the number of the base's layers that are below it, in their order."""

    layers: tuple[tuple[int, tuple[Entry, ...]], ...]

    def files(self) -> frozenset[str]:
        """Return the absolute paths of all that is no directory."""
        return frozenset(f"/{entry.path}" for entry in self._entries() if not entry.is_directory)

    def programs(self, folders: Iterable[str]) -> frozenset[str]:
        """Return the names of the files in absolute ``folders`` that can be run, links included."""
        inside = {folder.strip("/") for folder in folders}
        files = (entry for entry in self._entries() if not entry.is_directory and entry.mode & 0o111)
        return frozenset(name_of(entry.path) for entry in files if parent_of(entry.path) in inside)

    def shape(self, *, with_sizes: bool) -> str:
        """Return a digest of what later instructions can see without reading: names, types, modes, owners, links.

        Times do not count. ``with_sizes`` says whether it does that a file grows or shrinks past a round size.
        """
        bare = [
            (
                below,
                [
                    replace(one, content=None, digest=None, size=size_class(one.size) * with_sizes, mtime=0)
                    for one in entries
                ],
            )
            for below, entries in self.layers
        ]
        return hashlib.sha256(b"%d\n%s" % (_FORMAT, encode_json(bare))).hexdigest()[:32]

    def onto(self, base: Sequence[Sequence[Entry]]) -> Tree:
        """Return the file system of a base, given by its layers, with these layers in their places."""
        return apply_layers(self._in_place(base))

    def _in_place(self, base: Sequence[Sequence[Entry]]) -> Iterator[Sequence[Entry]]:
        for number in range(len(base) + 1):
            yield from (entries for below, entries in self.layers if below == number)
            yield from base[number : number + 1]

    def _entries(self) -> Iterator[Entry]:
        return (entry for _, entries in self.layers for entry in entries)


def size_class(size: int) -> int:
    """Return between which round sizes, such as 50 MB or 1 GiB, a size lies; an empty file is alone in its class."""
    return 0 if not size else 1 + bisect_right(_ROUND_SIZES, size)
