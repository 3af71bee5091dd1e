"""A file system as a value, and the layers that make it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from msgspec import Struct

from buildonce.assemble import limits
from buildonce.assemble.entries import Entry, EntryType, NotExpressible, join, name_of, parent_of, walk_order
from buildonce.assemble.limits import Budget
from buildonce.assemble.resolution import NotADirectory, resolve_path
from buildonce.errors import ArchiveError

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_META = ".wh..wh."
_NO_DEVICE = (0, 0)


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
        pending = [join(directory, name) for name in reversed(self.children(directory))]
        while pending:
            entry = self._entries[pending.pop()]
            yield entry
            if entry.is_directory:
                pending += (join(entry.path, name) for name in reversed(self.children(entry.path)))

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


def apply_layers(layers: Iterable[Iterable[Entry]], *, onto: Tree | None = None, budget: Budget | None = None) -> Tree:
    """Return the file system that ``layers`` make, the lowest first.

    The rules are those of image-spec's layer.md as containerd's overlay differ applies them: whiteouts touch only what
    lies below the layer, a directory over a directory keeps its content, anything else replaces what was there, and
    missing parents are 0755, owned by root. Raises `ArchiveError` for a layer that cannot be applied, `NotExpressible`
    when the tree takes more memory than ``budget`` has left.
    """
    builder = _Builder(onto or Tree(), budget or Budget())
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


class _File:
    """A file with several names while layers are applied, and what a layer says of it by one of them."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = set(names)
        self.said: Entry | None = None

    def facts(self, entry: Entry) -> Entry:
        """Return one of its names as it is after all."""
        if self.said is None:
            return entry
        mode = 0o777 if entry.type is EntryType.SYMLINK else self.said.mode
        said = self.said
        return replace(
            entry, mode=mode, uid=said.uid, gid=said.gid, mtime=said.mtime, capability=said.capability or None
        )


class _Builder:
    """A file system while layers are applied to it."""

    def __init__(self, tree: Tree, budget: Budget) -> None:
        self.entries: dict[str, Entry] = dict(tree)
        self.scope = tree.scope
        self.budget = budget
        self.lookups = 0
        self.children: dict[str, set[str]] = {}
        self.linked: dict[str, _File] = {}
        # Of the layer that is being applied: its paths, those that it removes, and the directories that it hid.
        self.mine: set[str] = set()
        self.hidden: set[str] = set()
        self.replaced: dict[str, Entry] = {}
        for path, entry in self.entries.items():
            parent, _, name = path.rpartition("/")
            self.children.setdefault(parent, set()).add(name)
            if entry.hardlink:
                file = self.linked.setdefault(entry.hardlink, _File({entry.hardlink}))
                file.names.add(path)
                self.linked[path] = file

    def apply(self, layer: tuple[Entry, ...]) -> None:
        self.mine, self.hidden, self.replaced = set(), set(), {}
        for entry in layer:
            if _is_whiteout(entry):
                self.hide(entry)
                continue
            placed = self.place(entry)
            if placed.is_directory:
                self.check_kept(placed.path)
            elif placed.device == _NO_DEVICE and placed.type is EntryType.CHAR:
                raise NotExpressible(f"a layer has the device `/{placed.path}`, by which overlays mark what is removed")
            self.put_linked(placed) if placed.hardlink else self.put(placed)
            self.mine.add(placed.path)

    def hide(self, whiteout: Entry) -> None:
        """Remove what a whiteout stands for; its directory is found, and made, as that of any other entry."""
        placed = self.place(whiteout)
        directory, name = parent_of(placed.path), name_of(placed.path)
        if name == OPAQUE and not directory:
            raise NotExpressible("a layer hides all that is below it: not every engine does so")
        if name == OPAQUE:
            self.hide_content(directory)
        elif not name.startswith(_META):
            hidden = name.removeprefix(WHITEOUT)
            if hidden in ("", ".", ".."):
                raise ArchiveError(f"`{whiteout.path}` is no valid whiteout")
            path = join(directory, hidden)
            if path in self.mine or path in self.hidden:
                raise NotExpressible(f"a layer has or removes `/{path}` and then removes it: not every engine takes it")
            self.hidden.add(path)
            self.remove(path)

    def hide_content(self, directory: str) -> None:
        """Remove what lower layers have in a directory; this layer's own directories there are made like theirs."""
        pending = [directory]
        while pending:
            current = pending.pop()
            for path in [join(current, name) for name in self.children.get(current, ())]:
                if path in self.mine:
                    pending.append(path)
                else:
                    self.replaced |= {entry.path: entry for entry in self.below(path) if entry.is_directory}
                    self.remove(path)

    def below(self, path: str) -> Iterator[Entry]:
        """Yield what is under ``path`` and below it."""
        pending = [path]
        while pending:
            current = pending.pop()
            yield self.entries[current]
            pending += (join(current, name) for name in self.children.get(current, ()))

    def place(self, entry: Entry) -> Entry:
        """Return ``entry`` with its directory resolved inside the layer and created where it is missing."""
        written = parent_of(entry.path)
        if not written or (written in self.mine and self.entries[written].is_directory):
            return entry
        directory = self.real_directory(written)
        self.make_directory(directory)
        return entry if directory == written else replace(entry, path=join(directory, name_of(entry.path)))

    def real_directory(self, directory: str) -> str:
        real = resolve_path(self.lookup, directory)
        if real.count("/") >= limits.DEPTH:
            raise ArchiveError(f"a layer has directories more than {limits.DEPTH} deep: `{real[:100]}`...")
        return real

    def lookup(self, path: str) -> Entry | None:
        self.lookups += 1
        if self.lookups > limits.LOOKUPS:
            raise ArchiveError("the names in a layer lead through its symbolic links too often")
        return self.entries[path] if path in self.mine else None

    def make_directory(self, directory: str) -> None:
        """Make sure that ``directory`` is one; below this layer a file in its place gives way."""
        missing: list[str] = []
        while directory and not (directory in self.mine and self.entries[directory].is_directory):
            missing.append(directory)
            directory = parent_of(directory)
        for path in reversed(missing):
            self.check_kept(path)
            entry = self.entries.get(path)
            if entry is not None and entry.type is EntryType.SYMLINK:
                raise NotExpressible(f"a layer has files below `/{path}`, a link of a lower one: engines do not agree")
            if entry is None or not entry.is_directory:
                self.budget.take(limits.ENTRY + len(path))
                self.put(self.replaced.get(path) or Entry(path=path, type=EntryType.DIRECTORY, mode=0o755))
            self.mine.add(path)

    def check_kept(self, directory: str) -> None:
        """Raise `NotExpressible` if this layer removed what was where it has a directory."""
        if directory in self.hidden:
            raise NotExpressible(f"a layer removes `/{directory}` and has it: engines do not agree on what is in it")

    def put(self, entry: Entry) -> None:
        old = self.entries.get(entry.path)
        if old is not None and not old.is_directory:
            if entry.is_directory and entry.path in self.mine:
                raise ArchiveError(f"the layer has `{entry.path}` first as a file and then as a directory")
            self.unlink(entry.path)
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
        if first is None or first.is_directory or first_path == entry.path or first_path not in self.mine:
            raise ArchiveError(f"`{entry.path}` is a hard link to `{target}`, which is no file of its layer")
        self.put(replace(first, path=entry.path, hardlink=None))
        file = self.linked.setdefault(first_path, _File({first_path}))
        file.names.add(entry.path)
        self.linked[entry.path] = file
        before = first if file.said is None else file.said
        file.said = replace(entry, capability=entry.capability or before.capability)

    def remove(self, path: str) -> None:
        """Remove ``path`` and what is below it."""
        doomed = [path]
        while doomed:
            current = doomed.pop()
            doomed += (join(current, name) for name in self.children.pop(current, ()))
            self.mine.discard(current)
            if self.entries.pop(current, None) is not None:
                self.children.get(parent_of(current), set()).discard(name_of(current))
                self.unlink(current)

    def unlink(self, path: str) -> None:
        file = self.linked.pop(path, None)
        if file is not None:
            file.names.discard(path)

    def finish(self) -> Tree:
        """Return the tree; of each file's names, the first in the walk's order stands for it."""
        for file in {id(file): file for file in self.linked.values()}.values():
            head = min(file.names, key=walk_order)
            for name in file.names:
                entry = replace(self.entries[name], hardlink=None if name == head else head)
                self.entries[name] = file.facts(entry)
        return Tree(self.entries, scope=self.scope)
