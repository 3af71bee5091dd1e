"""A program and all that it brings into its process, as its loader brings it there, breadth first."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from buildonce.fit.search import Loaded, Loader, LoaderKind, candidates, is_part_of
from buildonce.fit.world import Found, World

_LIMIT = 20_000
"""How many needs of one program are looked into."""


class Missing(Struct, frozen=True, kw_only=True):
    """A library that is not found; ``unfit`` is one that was found on the way and has other machine code."""

    wanting: Loaded
    name: str
    unfit: Found | None = None


class TooOld(Struct, frozen=True, kw_only=True):
    """A library that is found and does not offer the versions that are needed."""

    wanting: Loaded
    name: str
    found: Found
    versions: tuple[str, ...]


class Process(Struct, frozen=True, kw_only=True):
    """What came of loading: the real paths of libraries that assembly added and that are found, and what is wrong."""

    reached: frozenset[str]
    missing: tuple[Missing, ...]
    too_old: tuple[TooOld, ...]


def load(world: World, loader: Loader, root: Loaded) -> Process:
    """Load a program, or a library into a process that has nothing else in it."""
    return _Loading(world, loader).run(root)


class _Loading:
    def __init__(self, world: World, loader: Loader) -> None:
        self.world = world
        self.loader = loader
        self.known: dict[str, Found | None] = {}
        self.waiting: deque[Loaded] = deque()
        self.done: list[Loaded] = []
        self.reached: set[str] = set()
        self.missing: list[Missing] = []

    def run(self, root: Loaded) -> Process:
        self.waiting.append(root)
        for name in (self.loader.file.soname, root.elf.soname):
            if name:
                self.known[name] = self.world.find(root.path) if name == root.elf.soname else self.loader.file
        left = _LIMIT
        while self.waiting and left > 0:
            wanting = self.waiting.popleft()
            self.done.append(wanting)
            for name in wanting.elf.needed:
                left -= 1
                if name not in self.known and not is_part_of(self.loader, name):
                    self.bring(wanting, name)
        too_old = self.check_versions() if self.loader.kind is LoaderKind.GLIBC else ()
        return Process(reached=frozenset(self.reached), missing=tuple(self.missing), too_old=too_old)

    def bring(self, wanting: Loaded, name: str) -> None:
        unfit: Found | None = None
        for path in candidates(self.world, self.loader, wanting, name):
            found = self.world.find(path)
            if found is None or found.abi is None:
                continue
            if not found.abi.works_with(self.loader.abi):
                unfit = unfit or found
                continue
            self.known[name] = found
            if found.soname:
                self.known.setdefault(found.soname, found)
            if found.elf is not None:
                self.reached.add(found.path)
                self.waiting.append(Loaded(path=path, elf=found.elf, parents=wanting.chain))
            return
        self.known[name] = None
        self.missing.append(Missing(wanting=wanting, name=name, unfit=unfit))

    def check_versions(self) -> tuple[TooOld, ...]:
        """Return where versions lack; a library that has none at all is taken as it is (dl-version.c)."""
        lacking = []
        for one in self.done:
            for name, versions in one.elf.versions_needed.items():
                found = self.known.get(name)
                if found is None or not found.versions:
                    continue
                lacks = tuple(version for version in versions if version not in found.versions)
                if lacks:
                    lacking.append(TooOld(wanting=one, name=name, found=found, versions=lacks))
        return tuple(lacking)
