"""What one COPY or WORKDIR writes above a base: an overlay's upper directory, and the layer that BuildKit makes of it.

The layer's rules are those of BuildKit's util/overlay `Changes` and `sameDirent` and of containerd's `ChangeWriter`.
"""

from __future__ import annotations

from dataclasses import replace

from buildonce.assemble.entries import Entry, EntryType, NotExpressible, name_of, parent_of, prefixes, walk_order
from buildonce.assemble.modes import SETGID
from buildonce.assemble.owners import Owner
from buildonce.assemble.resolution import NotADirectory
from buildonce.assemble.tree import WHITEOUT, Tree
from buildonce.errors import AssemblyError

NOW = -1
"""The time of a directory that BuildKit would give the time of the build."""


class Upper:
    """A base with changes above it."""

    def __init__(self, base: Tree) -> None:
        self.base = base
        self.changed: dict[str, Entry] = {}
        self.files: dict[str, int] = {}
        self._next_file = 0

    def lstat(self, path: str) -> Entry | None:
        """Return what is under ``path``, links not followed; raise `NotADirectory` below a file."""
        entry = self.changed.get(path)
        if entry is not None or not path:
            return entry
        parent = parent_of(path)
        while parent and parent not in self.changed:
            parent = parent_of(parent)
        if parent and not self.changed[parent].is_directory:
            raise NotADirectory(f"`/{parent}` is not a directory")
        return self.base.lstat(path)

    def is_directory(self, path: str) -> bool:
        entry = self.lstat(path)
        return not path or (entry is not None and entry.is_directory)

    def make_directories(self, path: str, mode: int, owner: Owner | None) -> None:
        """Create ``path`` (resolved) and what is missing above it; raise `NotADirectory` where a file is in the way."""
        missing: list[str] = []
        while path and (entry := self.lstat(path)) is None:
            missing.append(path)
            path = parent_of(path)
        if path and entry is not None and not entry.is_directory:
            raise NotADirectory(f"mkdir /{path}: not a directory")
        for one in reversed(missing):
            self.create_directory(one, mode, owner)

    def create_directory(self, path: str, mode: int, owner: Owner | None) -> None:
        """Create one directory; the setgid bit of the one that holds it is inherited with its group (mkdir(2))."""
        parent = self.lstat(parent_of(path))
        uid, gid, inherited = 0, 0, 0
        if parent is not None and parent.mode & SETGID:
            gid, inherited = parent.gid, SETGID
        if owner:
            uid, gid = owner.uid, owner.gid
        mode = mode & 0o777 | inherited
        self.put(Entry(path=path, type=EntryType.DIRECTORY, mode=mode, uid=uid, gid=gid, mtime=NOW))

    def put(self, entry: Entry, *, same_file_as: str | None = None) -> None:
        """Add ``entry`` or replace what is no directory by it; ``same_file_as`` makes it a second name of a file."""
        if name_of(entry.path).startswith(WHITEOUT):
            raise NotExpressible(f"`{entry.path}` cannot be in a layer: its name means that another file is deleted")
        self.copy_up(parent_of(entry.path), mtime=NOW)
        self.changed[entry.path] = entry
        if same_file_as is None:
            self._next_file += 1
            self.files[entry.path] = self._next_file
        else:
            self.files[entry.path] = self.files[same_file_as]

    def update(self, entry: Entry) -> None:
        """Change the facts of an existing directory."""
        self.copy_up(entry.path)
        self.changed[entry.path] = entry

    def copy_up(self, directory: str, *, mtime: int | None = None) -> None:
        """Bring a directory and those above it into the upper one, with a new time if one is given."""
        path = directory
        while path:
            if path not in self.changed:
                entry = self.lstat(path)
                if entry is None or not entry.is_directory:
                    raise AssemblyError(f"`/{path}` is not a directory")
                self.changed[path] = entry
            path = parent_of(path)
        if directory and mtime is not None:
            self.changed[directory] = replace(self.changed[directory], mtime=mtime)

    def layer(self, now: int) -> tuple[Entry, ...]:
        """Return the layer's entries in their order, with ``now`` as the time of the build."""
        emitted: set[str] = set()
        for path, entry in self.changed.items():
            if not _is_same(_base_entry(self.base, path), entry):
                emitted |= set(prefixes(path))
        firsts: dict[int, str] = {}
        layer: list[Entry] = []
        for path in sorted(emitted, key=walk_order):
            entry = self.changed[path]
            entry = replace(entry, path=path, hardlink=None, mtime=now if entry.mtime == NOW else entry.mtime)
            file = self.files.get(path)
            if file is not None and entry.type is EntryType.FILE:
                first = firsts.setdefault(file, path)
                if first != path:
                    entry = replace(entry, hardlink=first, size=0, digest=None, content=None)
            layer.append(entry)
        return tuple(layer)


def _base_entry(base: Tree, path: str) -> Entry | None:
    try:
        return base.lstat(path)
    except NotADirectory:
        return None


def _is_same(old: Entry | None, new: Entry) -> bool:
    """Say whether BuildKit takes ``new`` for unchanged and leaves it out of the layer."""
    if old is None:
        return False
    if (old.type, old.mode, old.uid, old.gid, old.device, old.capability) != (
        new.type,
        new.mode,
        new.uid,
        new.gid,
        new.device,
        new.capability,
    ):
        return False
    if new.is_directory:
        return True
    if (old.size, old.mtime, old.link) != (new.size, new.mtime, new.link):
        return False
    if new.type is not EntryType.FILE or not new.size:
        return True
    if old.digest is None or new.digest is None:
        raise NotExpressible(f"`{new.path}` may be the same file as in the base: its content was not hashed")
    return old.digest == new.digest
