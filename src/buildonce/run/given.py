"""[io] Given cores: files that were compiled elsewhere, at the paths that they have in the stage that makes them.

They belong to root, and have the modes 0755 and 0644, as Git knows them, and no times of their own: the same files are
the same core, whichever machine they were unpacked on.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
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
        found = {entry.path: entry for place, path in places for entry in _read(place, path, path.stat())}
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
        """Return what is at these absolute paths and on the way to them, with ``epoch`` as all times."""
        wanted = [path.strip("/") for path in paths]
        taken = {one.path: one for one in self.entries if any(_is_at(one.path, path) for path in wanted)}
        for path in list(taken):
            for parent in _parents(path):
                taken.setdefault(parent, Entry(path=parent, type=EntryType.DIRECTORY, mode=0o755))
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
    try:
        return pattern.format_map(values)
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise UsageError(
            f"`{pattern}` is no path for given files", help="its fields are {os}, {arch} and {variant}"
        ) from error


def _read(place: str, path: Path, state: os.stat_result) -> Iterator[Entry]:
    """Yield the entry for a file at its place in the stage, and all below it."""
    inside = posixpath.normpath(f"/{place}").strip("/")
    if stat.S_ISDIR(state.st_mode):
        if inside:
            yield Entry(path=inside, type=EntryType.DIRECTORY, mode=0o755)
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


def _timed(entry: Entry, epoch: int) -> Entry:
    return replace(entry, mtime=epoch)


def _is_at(path: str, wanted: str) -> bool:
    return not wanted or path == wanted or path.startswith(wanted + "/")


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path
