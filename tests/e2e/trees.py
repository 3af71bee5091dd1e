"""The file system that layers make, by the rules of the image specification (layer.md), and nothing of buildonce's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NewType

from tests.e2e.images import Layer, TarEntry

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_DIRECTORY, _HARD_LINK = "5", "1"
_REGULAR = ("0", "\0", "7")

File = NewType("File", int)
"""What two names have in common that are one file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What a name in a file system stands for; ``names`` are all those of the same file."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    digest: str
    link: str
    device: tuple[int, int]
    xattrs: tuple[tuple[str, str], ...]
    names: frozenset[str]
    mtime: float


Tree = Mapping[str, Node]


def build_tree(layers: Iterable[Layer]) -> Tree:
    """Return the file system of layers, the lowest first, by path without a leading slash."""
    entries: dict[str, TarEntry] = {}
    files: dict[str, File] = {}
    number = 0
    for layer in layers:
        _remove_hidden(layer, entries, files)
        for entry in layer.entries:
            if _name(entry.path).startswith(_WHITEOUT) or entry.path in ("", "."):
                continue
            number += 1
            _add(entry, File(number), entries, files)
    names: dict[File, set[str]] = {}
    for path, file in files.items():
        names.setdefault(file, set()).add(path)
    return {path: _node(entry, frozenset(names[files[path]])) for path, entry in entries.items()}


def _remove_hidden(layer: Layer, entries: dict[str, TarEntry], files: dict[str, File]) -> None:
    """Remove what the layer hides of those below it; what it brings itself is not meant."""
    for entry in layer.entries:
        folder, _, name = entry.path.rpartition("/")
        if name == _OPAQUE:
            _remove_below(folder, entries, files)
        elif name.startswith(_WHITEOUT):
            hidden = f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/")
            _remove_below(hidden, entries, files)
            entries.pop(hidden, None)
            files.pop(hidden, None)


def _remove_below(folder: str, entries: dict[str, TarEntry], files: dict[str, File]) -> None:
    for path in [path for path in entries if path.startswith(f"{folder}/")]:
        del entries[path], files[path]


def _add(entry: TarEntry, file: File, entries: dict[str, TarEntry], files: dict[str, File]) -> None:
    folder = entry.path.rpartition("/")[0]
    assert not folder or entries[folder].kind == _DIRECTORY, f"{entry.path} is put into what is no directory"
    if entry.kind == _HARD_LINK:
        target = entry.link.strip("/")
        entries[entry.path], files[entry.path] = entries[target], files[target]
        return
    before = entries.get(entry.path)
    if before is not None and before.kind == _DIRECTORY and entry.kind != _DIRECTORY:
        _remove_below(entry.path, entries, files)
    entries[entry.path], files[entry.path] = entry, file


def _node(entry: TarEntry, names: frozenset[str]) -> Node:
    return Node(
        kind="0" if entry.kind in _REGULAR else entry.kind,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        size=entry.size,
        digest=entry.digest,
        link=entry.link,
        device=entry.device if entry.kind in "34" else (0, 0),
        xattrs=entry.xattrs,
        names=names,
        mtime=entry.mtime,
    )


def _name(path: str) -> str:
    return path.rpartition("/")[2]
