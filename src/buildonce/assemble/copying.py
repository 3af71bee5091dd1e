"""COPY and WORKDIR as pure functions: trees in, the layer that BuildKit would make out.

The rules are those of BuildKit's solver/llbsolver/file/backend.go and of tonistiigi/fsutil's copy package.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from typing import TypeAlias

from msgspec import Struct

from buildonce.assemble.entries import Entry, EntryType, NotExpressible, join, name_of, parent_of
from buildonce.assemble.modes import ModeChange, parse_mode
from buildonce.assemble.owners import Owner, Passwd, needs_names, resolve_owner
from buildonce.assemble.resolution import clean, resolve_path
from buildonce.assemble.sources import Source, compile_rules, find_source, is_link, plan_sources, refuse_keyless
from buildonce.assemble.tree import Tree
from buildonce.assemble.upper import NOW, Upper
from buildonce.dockerfile.ignore import IgnoreRules
from buildonce.errors import AssemblyError

DIRECTORY_MODE = 0o755

_KEY_NOTE = "BuildKit fails while it makes a cache key, but makes none for a stage's own base"

Matched: TypeAlias = tuple[bool, ...]
"""Which of a list of patterns match a path or a directory above it."""


class CopySpec(Struct, frozen=True, kw_only=True):
    """One COPY, its words expanded.

    ``workdir`` is the image's working directory at this point; relative sources start at the root of what is copied
    from, whatever its working directory is (BuildKit, convert_copy.go, `NormalizePath`). ``from_context`` says that the
    source is a build context, whose files belong to root.
    """

    sources: tuple[str, ...]
    destination: str
    workdir: str = "/"
    chown: str | None = None
    chmod: str | None = None
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()
    from_context: bool = False

    @property
    def is_linked(self) -> bool:
        """Whether the layer is made without regard to the base (`--link`, which BuildKit ignores with `--chmod`)."""
        return self.link and not self.chmod


def destination_path(spec: CopySpec) -> tuple[str, bool]:
    """Return the destination as an absolute clean path, and whether it is said to be a directory."""
    written = "./" if spec.destination in ("", ".") else spec.destination
    path = clean(posixpath.join("/", spec.workdir, written))
    return path, path == "/" or written.endswith(("/", "/."))


def copy_entries(
    spec: CopySpec, source: Tree, base: Tree, *, epoch: int | None, passwd: Passwd | None = None
) -> tuple[Entry, ...]:
    """Return the entries of the layer that ``spec`` makes above ``base``, in their order; none for an empty layer.

    Directories that are created or get a new name have the time ``epoch``, else that of the newest file copied.
    ``passwd`` explains names in --chown. Raises `AssemblyError` where BuildKit fails, and `NotExpressible` where only
    an engine can say what the result is.
    """
    upper = Upper(Tree() if spec.is_linked else base)
    copier = _Copier(spec, source, upper, owner=_owner(spec, passwd))
    for planned in plan_sources(spec.sources, parents=spec.parents):
        for found in find_source(source, planned):
            copier.copy_source(planned, found)
        if planned.required and (not copier.copied_any or is_link(source, planned.path)):
            raise NotExpressible(f'"{planned.required}": not found', notes=(_KEY_NOTE,))
    return upper.layer(copier.newest if epoch is None else epoch)


def workdir_entries(
    path: str, base: Tree, user: str | None, passwd: Passwd | None, epoch: int | None
) -> tuple[Entry, ...]:
    """Return the layer's entries of a WORKDIR to the absolute ``path``, as the current ``user``; none if it exists.

    BuildKit makes a layer even then, but none at all for ``/``.
    """
    upper = Upper(base)
    owner = _find_owner(user, passwd) if user else None
    upper.make_directories(resolve_path(upper.lstat, clean(path)), DIRECTORY_MODE, owner)
    return upper.layer(epoch or 0)


def _owner(spec: CopySpec, passwd: Passwd | None) -> Owner | None:
    if not spec.chown:
        return None
    if spec.is_linked and needs_names(spec.chown):
        raise AssemblyError(
            f"`--link` with the name in `--chown={spec.chown}`: there is no base to look it up in",
            help="write the number of the user, or leave out --link",
        )
    return _find_owner(spec.chown, passwd)


def _find_owner(text: str, passwd: Passwd | None) -> Owner:
    if passwd is None:
        if needs_names(text):
            raise NotExpressible(f"the name in `{text}` cannot be looked up: the base's users are not known")
        passwd = Passwd()
    return resolve_owner(text, passwd)


@dataclass(slots=True)
class _Parent:
    """A directory of the source on the way to what is being copied; made when something in it is."""

    entry: Entry
    target: str
    copied: bool


class _Copier:
    def __init__(self, spec: CopySpec, source: Tree, upper: Upper, *, owner: Owner | None) -> None:
        self.spec = spec
        self.source = source
        self.upper = upper
        self.owner = owner
        self.change = parse_mode(spec.chmod) if spec.chmod else None
        self.excludes = compile_rules(spec.exclude)
        self.includes: IgnoreRules | None = None
        self.parents: list[_Parent] = []
        self.names: dict[str, str] = {}
        self.copied_any = False
        self.newest_file: int | None = None
        self.newest_directory = 0

    @property
    def newest(self) -> int:
        """The time of the newest file copied; if none was, that of the newest directory."""
        return self.newest_directory if self.newest_file is None else self.newest_file

    def copy_source(self, planned: Source, found: str) -> None:
        """Copy one source, or one match of a wildcard, given as its path before links are followed."""
        self.includes = compile_rules(planned.include) if planned.include else None
        self.names = {}
        self.copied_any = False
        real = resolve_path(self.source.lstat, found)
        entry = self.source_entry(real, found)
        refuse_keyless(self.source, found)
        target = self.prepare_target(entry, name_of(clean(found)))
        self.copy(entry, "", target, (), ())

    def source_entry(self, path: str, written: str) -> Entry:
        entry = self.source.lstat(path) if path else Entry(path="", type=EntryType.DIRECTORY, mode=0o755, mtime=NOW)
        if entry is None:
            raise AssemblyError(f'"{clean(written)}": not found')
        return replace(entry, uid=0, gid=0) if self.spec.from_context else entry

    def prepare_target(self, entry: Entry, name: str) -> str:
        """Return where the source goes, its directory created."""
        destination, is_directory = destination_path(self.spec)
        lookup = self.upper.lstat
        holder = destination if is_directory else posixpath.dirname(destination)
        if self.spec.destination.endswith("/.") and destination != "/":
            # The dot stays here and is taken for a component: where a link led to a link, what that is, is made too.
            holder = f"{destination}/."
        self.make_directories(resolve_path(lookup, holder))
        target = resolve_path(lookup, destination)
        if not entry.is_directory and self.upper.is_directory(target):
            target = join(target, name)
        if entry.is_directory and target and self.upper.lstat(target) is None:
            self.make_directories(target)
        else:
            self.make_directories(parent_of(target))
        return target

    def make_directories(self, path: str) -> None:
        fixed = self.change.fixed if self.change else None
        self.upper.make_directories(path, DIRECTORY_MODE if fixed is None else fixed, self.owner)

    def copy(self, entry: Entry, inside: str, target: str, included: Matched, excluded: Matched) -> None:
        """Copy ``entry`` to ``target``; ``inside`` is its path below the source, empty for the source itself."""
        is_included, is_excluded = True, False
        if inside:
            if self.includes is not None:
                is_included, included = self.includes.enter(inside, included)
            is_excluded, excluded = self.excludes.enter(inside, excluded)
            is_included = is_included and not is_excluded
            self.copied_any |= is_included
        if not entry.is_directory:
            if is_included:
                self.refuse_dangling(entry, inside)
                self.create_parents()
                self.copy_file(entry, target)
            return
        self.newest_directory = max(self.newest_directory, entry.mtime)
        existing = self.upper.lstat(target) if target else None
        created = False
        if is_excluded:
            self.refuse_conflict(entry, target)
        if is_included:
            self.create_parents()
            created = self.copy_directory(entry, target, overwrite=bool(inside))
        if not is_excluded or self.excludes.has_exceptions:
            self.parents.append(_Parent(entry, target, copied=is_included))
            for name in self.source.children(entry.path):
                child = self.source_entry(join(entry.path, name), name)
                self.copy(child, join(inside, name), join(target, name), included, excluded)
            self.parents.pop()
        if is_included and (inside or created):
            self.set_info(entry, target)
        elif not inside and existing is not None:
            self.upper.copy_up(target, mtime=entry.mtime)

    def refuse_conflict(self, entry: Entry, target: str) -> None:
        """Refuse an excluded directory that meets a file: older engines look at the targets of what they leave out."""
        existing = self.upper.lstat(target) if target else None
        if existing is not None and not existing.is_directory:
            raise NotExpressible(f"`{entry.path}` is left out where `/{target}` is no directory: engines do not agree")
        if existing is not None or not target:
            for name in self.source.children(entry.path):
                child = self.source[join(entry.path, name)]
                if child.is_directory:
                    self.refuse_conflict(child, join(target, name))

    def refuse_dangling(self, entry: Entry, inside: str) -> None:
        """Refuse a dangling link in the root if that is the source and patterns select from it.

        BuildKit's cache key then follows the links there (cache/contenthash, `includedPaths`).
        """
        is_filtered = self.includes is not None or bool(self.excludes.patterns)
        if is_filtered and entry.type is EntryType.SYMLINK and inside == entry.path and "/" not in inside:
            try:
                real = resolve_path(self.source.lstat, f"/{entry.path}")
                is_dangling = bool(real) and self.source.lstat(real) is None
            except AssemblyError:
                is_dangling = True
            if is_dangling:
                raise NotExpressible(f'"/{entry.path}": not found', notes=(_KEY_NOTE,))

    def copy_directory(self, entry: Entry, target: str, *, overwrite: bool) -> bool:
        """Make sure that ``target`` is a directory, with the source's mode if ``overwrite``; say if it was created."""
        if not target:
            return False
        existing = self.upper.lstat(target)
        if existing is None:
            self.upper.put(replace(entry, path=target, mtime=NOW))
            return True
        if not existing.is_directory:
            raise AssemblyError(f"cannot copy to non-directory: /{target}")
        if overwrite:
            self.upper.update(replace(existing, mode=entry.mode))
        return False

    def create_parents(self) -> None:
        """Create the directories that lead here, of which an include pattern matched none yet."""
        for parent in self.parents:
            if not parent.copied:
                if self.copy_directory(parent.entry, parent.target, overwrite=True):
                    self.set_info(parent.entry, parent.target)
                parent.copied = True

    def set_info(self, entry: Entry, target: str) -> None:
        if target:
            self.upper.update(self.changed(entry, target))

    def copy_file(self, entry: Entry, target: str) -> None:
        existing = self.upper.lstat(target)
        if existing is not None and existing.is_directory:
            raise AssemblyError(f"cannot replace to directory /{target} with file")
        if entry.type is EntryType.CHAR and entry.device == (0, 0):
            raise NotExpressible(f"`{entry.path}` is a device that an overlay takes for a deleted file")
        if entry.type is EntryType.BLOCK:
            raise NotExpressible(f"`{entry.path}` is a block device, of which BuildKit makes a character device")
        self.newest_file = max(self.newest_file or 0, entry.mtime)
        head = entry.hardlink or entry.path
        first = self.names.setdefault(head, target) if entry.type is EntryType.FILE else target
        self.upper.put(self.changed(entry, target), same_file_as=None if first == target else first)

    def changed(self, entry: Entry, target: str) -> Entry:
        """Return ``entry`` as it is after the copy: --chown and --chmod applied."""
        uid, gid = (self.owner.uid, self.owner.gid) if self.owner else (entry.uid, entry.gid)
        return replace(entry, path=target, uid=uid, gid=gid, mode=_changed_mode(entry, self.change), hardlink=None)


def _changed_mode(entry: Entry, change: ModeChange | None) -> int:
    if entry.type is EntryType.SYMLINK:
        return 0o777
    return entry.mode if change is None else change.apply(entry.mode, is_directory=entry.is_directory)
