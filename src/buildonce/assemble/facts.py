"""What assembly needs to know of a base, small enough to be kept: the base's layers are read once, for this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from buildonce.assemble.entries import Entry, EntryType, NotExpressible, name_of, prefixes, walk_order
from buildonce.assemble.owners import Passwd
from buildonce.assemble.resolution import NotADirectory, clean, resolve_path
from buildonce.assemble.tree import Scope, Tree
from buildonce.errors import AssemblyError
from buildonce.oci import Digest

FORMAT = 1
USER_FILES = ("passwd", "group")


class FileFact(msgspec.Struct, frozen=True, array_like=True):
    """One entry of the base, without its content."""

    path: str
    type: EntryType
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int = 0
    digest: Digest | None = None
    link: str | None = None
    capability: bytes | None = None
    device: tuple[int, int] | None = None


class Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of a base's file system that decides what COPY and WORKDIR do at given destinations.

    ``files`` has each component on the way, links included, and all that is below a destination that is a directory
    (``roots``). ``absent`` has the components that do not exist. ``passwd`` and ``group`` are the bytes of those files;
    ``problems`` says why one of them cannot be read.
    """

    files: tuple[FileFact, ...] = ()
    roots: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    passwd: bytes | None = None
    group: bytes | None = None
    problems: Mapping[str, str] = {}
    format: int = FORMAT

    def tree(self) -> Tree:
        """Return the base as far as it is known; a look elsewhere raises `NotExpressible`."""
        entries = {fact.path: _entry(fact) for fact in self.files}
        return Tree(entries, scope=Scope(roots=frozenset(self.roots), absent=frozenset(self.absent)))

    def users(self) -> Passwd:
        """Return what explains the names of users and groups."""
        return Passwd(passwd=self.passwd, group=self.group, problems=dict(self.problems))


def gather_facts(
    tree: Tree,
    destinations: Iterable[str],
    passwd: bytes | None = None,
    group: bytes | None = None,
    *,
    problems: Mapping[str, str] | None = None,
) -> Facts:
    """Return what `copy_entries` and `workdir_entries` can ask of ``tree`` for absolute ``destinations``.

    Raises `NotExpressible` for a name there that is not UTF-8, which facts cannot hold.
    """
    looked = _Looked(tree)
    roots: set[str] = set()
    for destination in destinations:
        resolved = looked.resolve(clean(destination))
        if resolved is not None and (not resolved or (resolved in tree and tree[resolved].is_directory)):
            roots.add(resolved)
    for root in roots:
        looked.found |= {entry.path: entry for entry in tree.walk(root)}
    ordered = sorted(looked.found, key=walk_order)
    return Facts(
        files=tuple(_fact(looked.found[path]) for path in ordered),
        roots=tuple(sorted(roots)),
        absent=tuple(sorted(looked.absent)),
        passwd=passwd,
        group=group,
        problems=dict(problems or {}),
    )


def wants_user_file(path: str) -> bool:
    """Say whether a file may turn out to be /etc/passwd or /etc/group: the ``keep`` of `scan_layer`."""
    return name_of(path) in USER_FILES


def read_users(tree: Tree, kept: Mapping[Digest, bytes]) -> Passwd:
    """Return /etc/passwd and /etc/group of ``tree``, links followed, from the contents that were kept."""
    contents: dict[str, bytes | None] = {}
    problems: dict[str, str] = {}
    for name in USER_FILES:
        contents[name] = entry = None
        try:
            entry = tree.lstat(resolve_path(tree.lstat, f"/etc/{name}"))
        except AssemblyError as error:
            problems[name] = f"/etc/{name} cannot be opened: {error.message}"
        if entry is None:
            continue
        if entry.type is not EntryType.FILE:
            problems[name] = f"/etc/{name} is not a regular file"
        elif entry.digest is None or entry.digest not in kept:
            problems[name] = f"the content of /etc/{name} was not kept"
        else:
            contents[name] = kept[entry.digest]
    return Passwd(passwd=contents["passwd"], group=contents["group"], problems=problems)


class _Looked:
    """A tree that notes what was looked up in it."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.found: dict[str, Entry] = {}
        self.absent: set[str] = set()

    def resolve(self, path: str) -> str | None:
        """Return the real path, None if there is none: a loop, or a file in the way. What is asked of it is noted."""
        try:
            resolved = resolve_path(self.lstat, path)
            for part in prefixes(resolved):
                self.lstat(part)
        except AssemblyError:
            return None
        return resolved

    def lstat(self, path: str) -> Entry | None:
        try:
            entry = self.tree.lstat(path)
        except NotADirectory:
            # The file in the way may be known by this alone: where a link leads through it, nobody asks for itself.
            self.found |= {part: self.tree[part] for part in prefixes(path) if part in self.tree}
            raise
        if entry is None:
            self.absent.add(path)
        else:
            self.found[path] = entry
        return entry


def _fact(entry: Entry) -> FileFact:
    try:
        f"{entry.path}{entry.link or ''}".encode()
    except UnicodeEncodeError as error:
        raise NotExpressible(f"the base has a name that is not UTF-8: {entry.path!a}") from error
    return FileFact(
        path=entry.path,
        type=entry.type,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        mtime=entry.mtime,
        size=entry.size,
        digest=entry.digest,
        link=entry.link,
        capability=entry.capability,
        device=entry.device,
    )


def _entry(fact: FileFact) -> Entry:
    return Entry(
        path=fact.path,
        type=fact.type,
        mode=fact.mode,
        uid=fact.uid,
        gid=fact.gid,
        mtime=fact.mtime,
        size=fact.size,
        digest=fact.digest,
        link=fact.link,
        capability=fact.capability,
        device=fact.device,
    )
