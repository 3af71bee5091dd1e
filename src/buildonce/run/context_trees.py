"""Files of a build context as the tree that a COPY reads. Pure."""

from __future__ import annotations

from pathlib import Path

from buildonce.assemble.entries import Content, Entry, EntryType, parent_of
from buildonce.assemble.resolution import clean
from buildonce.assemble.tree import Tree
from buildonce.context import Selected

_TYPES = {"file": EntryType.FILE, "dir": EntryType.DIRECTORY, "symlink": EntryType.SYMLINK}


def context_tree(selected: tuple[Selected, ...], root: Path, epoch: int) -> Tree:
    """Return what was selected, owned by root, with the places of the contents below ``root``.

    All have ``epoch`` as their time: when a file was checked out is no input. Directories on the way are there too,
    and a source that was found through links is a link to where it is.
    """
    entries: dict[str, Entry] = {}
    for one in selected:
        found, path = clean(one.source)[1:], clean(one.path)[1:]
        if not one.relative and found != path:
            _add(entries, Entry(path=found, type=EntryType.SYMLINK, mode=0o777, link=f"/{path}"))
        if path:
            _add(entries, _entry(one, root, epoch))
    return Tree(entries)


def _entry(one: Selected, root: Path, epoch: int) -> Entry:
    kind = _TYPES[one.type]
    is_file = kind is EntryType.FILE
    return Entry(
        path=one.path,
        type=kind,
        mode=one.mode,
        size=one.size if is_file else 0,
        mtime=epoch,
        digest=one.digest,
        link=one.target,
        hardlink=one.hardlink,
        capability=one.capability,
        content=Content(path=root / one.path, offset=0, size=one.size) if is_file else None,
    )


def _add(entries: dict[str, Entry], entry: Entry) -> None:
    parent = parent_of(entry.path)
    while parent and parent not in entries:
        entries[parent] = Entry(path=parent, type=EntryType.DIRECTORY, mode=0o755)
        parent = parent_of(parent)
    entries[entry.path] = entry
