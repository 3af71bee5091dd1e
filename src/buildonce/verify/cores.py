"""Which files of an image came out of a core. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from buildonce.assemble.entries import Entry, EntryType
from buildonce.assemble.resolution import resolve_path
from buildonce.assemble.tree import Tree
from buildonce.errors import AssemblyError
from buildonce.ship.late_copies import LateCopy

_WILD = frozenset("*?[\\")

Content = str
"""What a file holds: the digest of its bytes, or where a link leads."""


class CoreFile(Struct, frozen=True, kw_only=True):
    """A file of an image that came out of a core: ``source`` is what it was there, ``path`` what it is in the image."""

    core: str
    source: str
    path: str
    content: Content


def core_files(copy: LateCopy, layer: Sequence[Entry], below: Tree) -> tuple[CoreFile, ...]:
    """Return the files of a late copy: ``layer`` is what its layer holds, ``below`` the file system under that."""
    root = _root(copy, below)
    return tuple(
        CoreFile(core=copy.core, source=source_of(copy, root, path), path=path, content=content)
        for path, content in contents(layer).items()
    )


def contents(layer: Iterable[Entry]) -> Mapping[str, Content]:
    """Return what the files and links of a layer hold, by path; a second name holds what the first does."""
    found: dict[str, Content] = {}
    for entry in layer:
        if entry.hardlink is not None:
            if (first := found.get(entry.hardlink)) is not None:
                found[entry.path] = first
        elif entry.type is EntryType.FILE:
            found[entry.path] = entry.digest or ""
        elif entry.type is EntryType.SYMLINK:
            found[entry.path] = f"a link to {entry.link}"
    return found


def source_of(copy: LateCopy, root: str, path: str) -> str:
    """Return what a file of a late copy was in its core, in words that are the same for the same file.

    ``root`` is the destination as it really is in the image. Where a COPY does not tell which of its sources a file
    comes from, the words of all of them go before its name.
    """
    name = path.removeprefix(f"{root}/") if root else path
    if copy.parents:
        return f"/{name}"
    plain = [source for source in copy.sources if not _WILD & set(source)]
    if path == root and len(copy.sources) == 1:
        return copy.sources[0]
    for source in plain:
        if posixpath.basename(source) == name:
            return source
    if len(copy.sources) == 1 and plain:
        return posixpath.join(plain[0], name)
    return f"{' '.join(copy.sources)} {name}"


def _root(copy: LateCopy, below: Tree) -> str:
    """Return the real path of a copy's destination: links on the way are followed, as COPY does."""
    written = copy.destination.strip("/")
    try:
        return resolve_path(below.lstat, f"/{written}") if written else ""
    except AssemblyError:
        return written
