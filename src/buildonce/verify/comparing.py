"""The same file in every variant? Compared for one platform at a time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from buildonce.assemble.entries import Entry, EntryType, join
from buildonce.assemble.tree import Tree, resolve
from buildonce.errors import AssemblyError
from buildonce.verify.cores import Content, CoreFile
from buildonce.verify.findings import Kind, Place
from buildonce.verify.ledger import Ledger

_MOST_SHOWN = 5
_MOST_NAMED = 8


class Variant(Struct, frozen=True, kw_only=True):
    """What is compared of one image.

    ``core_files`` is None where nothing says which files are a core's; ``copied`` are then the files that some COPY or
    ADD made, by path: what can be guessed from. ``asked`` are the files at the paths that the user named.
    """

    place: Place
    core_files: tuple[CoreFile, ...] | None
    copied: Mapping[str, Content]
    asked: Mapping[str, Mapping[str, Content]]


@dataclass(slots=True)
class _Shared:
    """A file that several variants should have alike, and who has what."""

    name: str
    holders: dict[Content, list[Place]] = field(default_factory=dict)

    def add(self, content: Content, place: Place, path: str) -> None:
        self.holders.setdefault(content, []).append(place.at("", f"/{path}"))

    @property
    def is_compared(self) -> bool:
        return sum(map(len, self.holders.values())) > 1

    @property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        """Who has the same as whom; the fewest first."""
        parts = (tuple(sorted(place.reference for place in places)) for places in self.holders.values())
        return tuple(sorted(parts, key=lambda part: (len(part), part)))


def by_platform(variants: Iterable[Variant]) -> tuple[tuple[Variant, ...], ...]:
    """Return the variants that can be compared with each other: those for one platform."""
    found: dict[str, list[Variant]] = {}
    for variant in variants:
        found.setdefault(variant.place.platform, []).append(variant)
    return tuple(tuple(group) for group in found.values())


def compare_cores(variants: Sequence[Variant], ledger: Ledger) -> int:
    """Report where variants for one platform differ in files of a core; return how many files were compared.

    An image whose index says nothing of cores is held against its siblings by the paths of their files. Where no index
    does, differences are remarked on.
    """
    if all(variant.core_files is None for variant in variants):
        return _guess(variants, ledger)
    shared: dict[tuple[str, str], _Shared] = {}
    at: dict[str, set[tuple[str, str]]] = {}
    for variant in variants:
        for file in variant.core_files or ():
            key = (file.core, file.source)
            name = f"`{file.source}` of the core `{file.core}`"
            shared.setdefault(key, _Shared(name)).add(file.content, variant.place, file.path)
            at.setdefault(file.path, set()).add(key)
    for variant in variants:
        if variant.core_files is None:
            for path in at.keys() & variant.copied.keys():
                if len(at[path]) == 1:
                    shared[next(iter(at[path]))].add(variant.copied[path], variant.place, path)
    for core in dict.fromkeys(core for core, _ in shared):
        _report([one for key, one in shared.items() if key[0] == core], ledger)
    return sum(one.is_compared for one in shared.values())


def compare_path(path: str, variants: Sequence[Variant], ledger: Ledger) -> int:
    """Report where files at ``path``, or below, differ between variants for one platform; return how many there are."""
    shared: dict[str, _Shared] = {}
    lacking = []
    for variant in variants:
        files = variant.asked[path]
        if not files:
            lacking.append(variant.place)
        for name, content in files.items():
            shared.setdefault(name, _Shared(f"`/{name}`")).add(content, variant.place, name)
    if shared and lacking:
        ledger.remark(f"`{path}` is not in {_names(lacking)}", lacking[0])
    _report(list(shared.values()), ledger)
    return len(shared)


def _report(shared: Sequence[_Shared], ledger: Ledger) -> None:
    """Report the files that differ; those that differ in the same way are one finding."""
    alike: dict[tuple[tuple[str, ...], ...], list[_Shared]] = {}
    for one in shared:
        if len(one.holders) > 1:
            alike.setdefault(one.parts, []).append(one)
    for files in alike.values():
        first, others = files[0], files[1:]
        holders = sorted(first.holders.items(), key=lambda item: (-len(item[1]), item[0]))
        notes = [f"{content} in {_names(places)}" for content, places in holders]
        if others:
            more = ", ..." if len(others) > _MOST_SHOWN else ""
            names = ", ".join(one.name for one in others[:_MOST_SHOWN])
            notes.append(f"the same variants differ in {len(others)} more: {names}{more}")
        odd = holders[-1][1][0]
        ledger.find(Kind.CORE_DIFFERS, f"{first.name} is not the same in every variant", odd, *notes)


def _names(places: Sequence[Place]) -> str:
    names = list(dict.fromkeys(place.reference for place in places))
    left = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {left} more" if left > 0 else "")


def _guess(variants: Sequence[Variant], ledger: Ledger) -> int:
    """Remark on files that variants copy to the same place and that differ; return how many are in several."""
    found: dict[str, _Shared] = {}
    for variant in variants:
        for path, content in variant.copied.items():
            found.setdefault(path, _Shared(f"`/{path}`")).add(content, variant.place, path)
    odd = [one.name for _, one in sorted(found.items()) if len(one.holders) > 1]
    if odd:
        message = "no index says which files are a core's; copied to one place and not the same are"
        more = f" and {len(odd) - _MOST_SHOWN} more" if len(odd) > _MOST_SHOWN else ""
        ledger.remark(
            f"{message} {', '.join(odd[:_MOST_SHOWN])}{more}: name with --core what should be", variants[0].place
        )
    return sum(one.is_compared for one in found.values())


def files_at(tree: Tree, path: str) -> Mapping[str, Content]:
    """Return what is at a path, links followed, or below it, by the names that it has there."""
    asked = path.strip("/")
    try:
        real = resolve(tree, path)
        entry = tree.lstat(real) if real else None
    except AssemblyError:
        return {}
    if real and entry is None:
        return {}
    if entry is not None and not entry.is_directory:
        return {asked: _content(entry)}
    below = (one for one in tree.walk(real) if not one.is_directory)
    return {join(asked, one.path.removeprefix(f"{real}/")): _content(one) for one in below}


def _content(entry: Entry) -> Content:
    return f"a link to {entry.link}" if entry.type is EntryType.SYMLINK else entry.digest or entry.type.name.lower()
