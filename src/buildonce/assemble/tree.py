"""A file system as a value, and the layers that make it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from msgspec import Struct

from buildonce.assemble.entries import Entry, EntryType, NotExpressible, join, name_of, parent_of, walk_order
from buildonce.assemble.resolution import NotADirectory, resolve_path
from buildonce.errors import ArchiveError

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_META = ".wh..wh."


class Scope(Struct, frozen=True, kw_only=True):
    """What is known of a tree that was recorded in part: all below ``roots``, and that ``absent`` do not exist."""

    roots: frozenset[str]
    absent: frozenset[str]

    def covers(self, path: str) -> bool:
        """Say whether it is known that ``path``, which has no entry, does not exist."""
        while path:
            if path in self.absent or path in self.roots:
                return True
            path = parent_of(path)
        return "" in self.roots


class Tree(Mapping[str, Entry]):
    """An immutable file system: paths to entries, the root left out.

    Every name of a hard-linked file has all of its facts; ``hardlink`` is None in the first of them, in the walk's
    order, and that name in the others.
    """

    __slots__ = ("_children", "_entries", "scope")

    def __init__(self, entries: Mapping[str, Entry] | None = None, *, scope: Scope | None = None) -> None:
        self._entries: Mapping[str, Entry] = {} if entries is None else entries
        self.scope = scope
        self._children: dict[str, list[str]] | None = None

    def __getitem__(self, path: str) -> Entry:
        return self._entries[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: object) -> bool:
        return path in self._entries

    def lstat(self, path: str) -> Entry | None:
        """Return the entry under ``path`` without following links.

        Raises `NotADirectory` below a file, and `NotExpressible` outside of what is known of the tree.
        """
        entry = self._entries.get(path)
        if entry is None and path:
            _refuse_below_a_file(self._entries, path)
            if self.scope is not None and not self.scope.covers(path):
                raise NotExpressible(f"it was not recorded what the base has under `/{path}`")
        return entry

    def children(self, directory: str) -> tuple[str, ...]:
        """Return the names in ``directory`` in the order of their bytes."""
        if self._children is None:
            children: dict[str, list[str]] = {}
            for path in self._entries:
                parent, _, name = path.rpartition("/")
                children.setdefault(parent, []).append(name)
            self._children = children
        return tuple(sorted(self._children.get(directory, ()), key=walk_order))

    def walk(self, directory: str = "") -> Iterator[Entry]:
        """Yield what is below ``directory``, parents first, each directory in the order of its names' bytes."""
        for name in self.children(directory):
            entry = self._entries[join(directory, name)]
            yield entry
            if entry.is_directory:
                yield from self.walk(entry.path)

    def entries(self) -> tuple[Entry, ...]:
        """Return the whole file system as one layer: in the walk's order, a second name of a file without its data."""
        ordered = (self._entries[path] for path in sorted(self._entries, key=walk_order))
        return tuple(_second_name(entry) if entry.hardlink else entry for entry in ordered)


def resolve(tree: Tree, path: str) -> str:
    """Return the real path of ``path`` in ``tree``; see `resolve_path`."""
    return resolve_path(tree.lstat, path)


def apply_layer(tree: Tree, entries: Iterable[Entry]) -> Tree:
    """Return ``tree`` with one layer applied; see `apply_layers`."""
    return apply_layers((entries,), onto=tree)


def apply_layers(layers: Iterable[Iterable[Entry]], *, onto: Tree | None = None) -> Tree:
    """Return the file system that ``layers`` make, the lowest first.

    The rules are those of image-spec's layer.md as containerd's overlay differ applies them: whiteouts touch only what
    lies below the layer, a directory over a directory keeps its content, anything else replaces what was there, and
    missing parents are 0755, owned by root. Raises `ArchiveError` for a layer that cannot be applied.
    """
    builder = _Builder(onto or Tree())
    for layer in layers:
        builder.apply(tuple(layer))
    return builder.finish()


def _is_whiteout(entry: Entry) -> bool:
    return WHITEOUT in entry.path and name_of(entry.path).startswith(WHITEOUT)


def _second_name(entry: Entry) -> Entry:
    return replace(entry, type=EntryType.FILE, size=0, digest=None, link=None, device=None, content=None)


def _refuse_below_a_file(entries: Mapping[str, Entry], path: str) -> None:
    parent = parent_of(path)
    while parent:
        entry = entries.get(parent)
        if entry is not None:
            if not entry.is_directory and entry.type is not EntryType.SYMLINK:
                raise NotADirectory(f"`/{parent}` is not a directory")
            return
        parent = parent_of(parent)


class _Builder:
    """A file system while layers are applied to it."""

    def __init__(self, tree: Tree) -> None:
        self.entries: dict[str, Entry] = dict(tree)
        self.scope = tree.scope
        self.children: dict[str, set[str]] = {}
        self.linked: dict[str, set[str]] = {}
        self.mine: set[str] = set()  # the paths of the layer that is being applied
        for path, entry in self.entries.items():
            parent, _, name = path.rpartition("/")
            self.children.setdefault(parent, set()).add(name)
            if entry.hardlink:
                self.linked.setdefault(entry.hardlink, {entry.hardlink}).add(path)

    def apply(self, layer: tuple[Entry, ...]) -> None:
        whiteouts = [entry for entry in layer if _is_whiteout(entry)]
        for entry in whiteouts:
            self.hide(entry)
        self.mine = set()
        for entry in whiteouts:
            self.make_directory(parent_of(entry.path))
        others = [entry for entry in layer if not _is_whiteout(entry)] if whiteouts else layer
        for entry in others:
            placed = self.place(entry)
            self.put_linked(placed) if placed.hardlink else self.put(placed)
            self.mine.add(placed.path)

    def hide(self, whiteout: Entry) -> None:
        directory, name = parent_of(whiteout.path), name_of(whiteout.path)
        if name == OPAQUE:
            for child in tuple(self.children.get(directory, ())):
                self.remove(join(directory, child))
        elif not name.startswith(_META):
            hidden = name.removeprefix(WHITEOUT)
            if hidden in ("", ".", ".."):
                raise ArchiveError(f"`{whiteout.path}` is no valid whiteout")
            self.remove(join(directory, hidden))

    def place(self, entry: Entry) -> Entry:
        """Return ``entry`` with its directory resolved inside the layer and created where it is missing."""
        written = parent_of(entry.path)
        if not written or (written in self.mine and self.entries[written].is_directory):
            return entry
        directory = self.real_directory(written)
        self.make_directory(directory)
        return entry if directory == written else replace(entry, path=join(directory, name_of(entry.path)))

    def real_directory(self, directory: str) -> str:
        return resolve_path(lambda path: self.entries[path] if path in self.mine else None, directory)

    def make_directory(self, directory: str) -> None:
        """Make sure that ``directory`` is one; below this layer a link or a file in its place gives way."""
        missing: list[str] = []
        while directory and not (directory in self.mine and self.entries[directory].is_directory):
            missing.append(directory)
            directory = parent_of(directory)
        for path in reversed(missing):
            entry = self.entries.get(path)
            if entry is None or not entry.is_directory:
                self.put(Entry(path=path, type=EntryType.DIRECTORY, mode=0o755))
            self.mine.add(path)

    def put(self, entry: Entry) -> None:
        old = self.entries.get(entry.path)
        if old is not None and not old.is_directory:
            if entry.is_directory and entry.path in self.mine:
                raise ArchiveError(f"the layer has `{entry.path}` first as a file and then as a directory")
            self.unlink(old)
        elif old is not None and not entry.is_directory:
            self.remove(entry.path)
            old = None
        if entry.type is EntryType.SYMLINK and entry.mode != 0o777:
            entry = replace(entry, mode=0o777)
        self.entries[entry.path] = entry
        if old is None:
            parent, _, name = entry.path.rpartition("/")
            self.children.setdefault(parent, set()).add(name)

    def put_linked(self, entry: Entry) -> None:
        """Add a second name; the file takes the mode, owner and time that come with it (containerd's createTarFile)."""
        target = entry.hardlink or ""
        first_path = join(self.real_directory(parent_of(target)), name_of(target))
        first = self.entries.get(first_path)
        if first is None or first.is_directory or first_path == entry.path:
            raise ArchiveError(f"`{entry.path}` is a hard link to `{target}`, which is no file")
        self.put(replace(first, path=entry.path, hardlink=None))
        head = self.entries[first_path].hardlink or first_path
        group = self.linked.setdefault(head, {head})
        group.add(entry.path)
        for name in group:
            self.entries[name] = replace(
                self.entries[name],
                mode=0o777 if first.type is EntryType.SYMLINK else entry.mode,
                uid=entry.uid,
                gid=entry.gid,
                mtime=entry.mtime,
                capability=entry.capability or first.capability,
                hardlink=None if name == head else head,
            )

    def remove(self, path: str) -> None:
        """Remove ``path`` and what is below it."""
        doomed = [path]
        while doomed:
            current = doomed.pop()
            doomed += (join(current, name) for name in self.children.pop(current, ()))
            entry = self.entries.pop(current, None)
            if entry is not None:
                self.children.get(parent_of(current), set()).discard(name_of(current))
                self.unlink(entry)

    def unlink(self, entry: Entry) -> None:
        head = entry.hardlink or entry.path
        group = self.linked.pop(head, None)
        if group is not None:
            group.discard(entry.path)
            self.regroup(group)

    def regroup(self, group: set[str]) -> None:
        """Let the first name in the walk's order stand for the file."""
        head = min(group, key=walk_order)
        if len(group) > 1:
            self.linked[head] = group
        for name in group:
            hardlink = None if name == head else head
            if self.entries[name].hardlink != hardlink:
                self.entries[name] = replace(self.entries[name], hardlink=hardlink)

    def finish(self) -> Tree:
        groups = tuple(self.linked.values())
        self.linked.clear()
        for group in groups:
            self.regroup(group)
        return Tree(self.entries, scope=self.scope)
