"""[io] Given cores: files that were compiled elsewhere, at the paths that they have in the stage that makes them.

They belong to root, and have the modes 0755 and 0644, as Git knows them, and no times of their own: the same files are
the same core, whichever machine they were unpacked on.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from buildonce.assemble.entries import Content, Entry, EntryType
from buildonce.assemble.tree import Tree
from buildonce.dockerfile.runes import encode, escape_invalid
from buildonce.errors import ContextError, UsageError
from buildonce.oci import Digest, Platform
from buildonce.plan.recipes import FileInput

_VERSION = b"buildonce given 1\0"
_FIELD = re.compile(r"\{([^{}]*)\}")
_MOST_LINKS = 10_000
"""How many paths are followed: links that lead into themselves have no end."""

_ELF = b"\x7fELF"
_TYPES = {EntryType.FILE: "file", EntryType.DIRECTORY: "dir", EntryType.SYMLINK: "link"}


class GivenFiles:
    """Files on disk by the absolute path that they have in a stage; a folder stands for all that is in it."""

    def __init__(self, places: Mapping[str, Path]) -> None:
        self._places = places

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """All files, sorted, with the places of their bytes. Raises `UsageError`, and `ContextError` for odd files."""
        places = sorted(self._places.items())
        # A place that is a link stands for what it leads to; links below it stay links.
        try:
            found = {entry.path: entry for place, path in places for entry in _read(place, path, path.stat())}
        except OSError as error:
            raise ContextError(
                f"`{error.filename}` is given, and cannot be read: {error.strerror}",
                help="run the command again when nothing writes there",
            ) from error
        return tuple(found[path] for path in sorted(found))

    def digest(self, sources: tuple[str, ...], exclude: tuple[str, ...], *, parents: bool = False) -> Digest:
        """Return the digest of all files: a given stage is copied as a whole."""
        total = hashlib.sha256(_VERSION)
        for one in self.files(sources, exclude, parents=parents):
            total.update(encode(f"{one.path}\0{one.type}\0{one.mode:o}\0{one.content}\0\n"))
        return Digest(f"sha256:{total.hexdigest()}")

    def files(
        self,
        sources: tuple[str, ...],  # noqa: ARG002  a given stage is copied as a whole
        exclude: tuple[str, ...],  # noqa: ARG002
        *,
        parents: bool = False,  # noqa: ARG002
    ) -> tuple[FileInput, ...]:
        """Return all files by name."""
        return tuple(
            FileInput(
                path=escape_invalid(one.path),
                type=_TYPES[one.type],
                mode=one.mode,
                content=one.digest or escape_invalid(one.link or ""),
            )
            for one in self.entries
        )

    def tree(self, paths: Iterable[str], epoch: int) -> Tree:
        """Return what is at these absolute paths, on the way to them and where links lead; all times are ``epoch``."""
        known = {one.path: one for one in self.entries}
        wanted = _followed([path.strip("/") for path in paths], known)
        taken = {path: one for path, one in known.items() if any(_is_at(path, place) for place in wanted)}
        for path in list(taken):
            for parent in _parents(path):
                taken.setdefault(parent, known.get(parent) or _folder(parent))
        return Tree({path: _timed(taken[path], epoch) for path in sorted(taken)})


def open_given(
    patterns: Mapping[str, str], folder: Path, platforms: Iterable[Platform]
) -> Mapping[Platform, GivenFiles]:
    """Return the files of a given core for each platform.

    ``patterns`` are paths on disk by their place in the stage, relative to ``folder``; ``{os}``, ``{arch}`` and
    ``{variant}`` in them are the platform's. A platform of which nothing is there is left out; raises `UsageError`
    where only a part is.
    """
    found = {}
    for platform in platforms:
        places = {place: folder / expand_pattern(pattern, platform) for place, pattern in patterns.items()}
        missing = sorted(str(path) for path in places.values() if not path.exists())
        if len(missing) == len(places):
            continue
        if missing:
            raise UsageError(
                f"files that are given for {platform} are not there: {', '.join(missing)}",
                help="put them in place before the build, or correct their paths",
            )
        found[platform] = GivenFiles(places)
    return found


def expand_pattern(pattern: str, platform: Platform) -> str:
    """Return a path with a platform's values in it. Raises `UsageError` for an unknown field."""
    values = {"os": platform.os, "arch": platform.architecture, "variant": platform.variant or ""}
    if set("{}") & set(_FIELD.sub("", pattern)) or not values.keys() >= set(_FIELD.findall(pattern)):
        raise UsageError(f"`{pattern}` is no path for given files", help="its fields are {os}, {arch} and {variant}")
    return _FIELD.sub(lambda found: values[found[1]], pattern)


def _read(place: str, path: Path, state: os.stat_result) -> Iterator[Entry]:
    """Yield the entry for a file at its place in the stage, and all below it."""
    inside = posixpath.normpath(f"/{place}").strip("/")
    if stat.S_ISDIR(state.st_mode):
        if inside:
            yield _folder(inside)
        for name in sorted(os.listdir(path)):  # noqa: PTH208  names as they are
            yield from _read(f"{inside}/{name}", path / name, (path / name).lstat())
    elif stat.S_ISLNK(state.st_mode):
        yield Entry(path=inside, type=EntryType.SYMLINK, mode=0o777, link=os.readlink(path))  # noqa: PTH115  as it is
    elif stat.S_ISREG(state.st_mode):
        yield _file(inside, path, state)
    else:
        raise ContextError(f"`{path}` is no file, folder or link, and cannot be given")


def _file(inside: str, path: Path, state: os.stat_result) -> Entry:
    with path.open("rb") as file:
        is_program = file.read(len(_ELF)) == _ELF and ".so" not in path.name
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    is_executable = bool(state.st_mode & 0o111)
    if is_program and not is_executable:
        raise UsageError(
            f"`{path}` is a program that is given, and nobody may execute it",
            notes=("archives of CI providers and object stores lose this bit",),
            help=f"run `chmod +x {path}` before the build",
        )
    return Entry(
        path=inside,
        type=EntryType.FILE,
        mode=0o755 if is_executable else 0o644,
        size=state.st_size,
        digest=Digest(f"sha256:{digest}"),
        content=Content(path=path, offset=0, size=state.st_size),
    )


def _followed(paths: Iterable[str], known: Mapping[str, Entry]) -> frozenset[str]:
    """Return the paths with the links on the way to them, and where these lead."""
    found: set[str] = set()
    pending = list(paths)
    while pending and len(found) < _MOST_LINKS:
        path = pending.pop()
        if path in found:
            continue
        found.add(path)
        for place in (path, *_parents(path)):
            entry = known.get(place)
            if entry and entry.link is not None:
                found.add(place)
                target = posixpath.join("/", posixpath.dirname(place), entry.link)
                pending.append(posixpath.normpath(target + path.removeprefix(place)).strip("/"))
    return frozenset(found)


def _folder(path: str) -> Entry:
    return Entry(path=path, type=EntryType.DIRECTORY, mode=0o755)


def _timed(entry: Entry, epoch: int) -> Entry:
    return replace(entry, mtime=epoch)


def _is_at(path: str, wanted: str) -> bool:
    return not wanted or path == wanted or path.startswith(wanted + "/")


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path
