"""An image as its programs see it: what the base offers, and over it the files that assembly adds."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from functools import cached_property

from msgspec import Struct

from buildonce.assemble.entries import Entry, EntryType
from buildonce.assemble.resolution import resolve_path
from buildonce.elf.values import Abi, Elf, Runnable
from buildonce.errors import AssemblyError
from buildonce.fit.offer import SCRIPT, Offer
from buildonce.oci import Digest, Platform

_DIRECTORY = Entry(path="", type=EntryType.DIRECTORY)
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Settings(Struct, frozen=True, kw_only=True):
    """What counts of an image's config: the environment, the working directory, and what is run by default."""

    environment: Mapping[str, str] = {}
    workdir: str = "/"
    command: tuple[str, ...] = ()


class LateFile(Struct, frozen=True, kw_only=True):
    """A file that assembly adds and that can be run or loaded; ``is_named`` says that a COPY names it alone."""

    path: str
    mode: int
    digest: Digest
    runnable: Runnable
    is_named: bool = False

    @property
    def is_executable(self) -> bool:
        """Say whether it may be run."""
        return bool(self.mode & 0o111)


class Image(Struct, frozen=True, kw_only=True):
    """What is to be judged. ``offer`` is None where the base is not known; then only the machine code counts."""

    platform: Platform
    offer: Offer | None
    late: Mapping[str, Entry]
    files: tuple[LateFile, ...]
    settings: Settings = Settings()


class Found(Struct, frozen=True, kw_only=True):
    """A file in the image: ``abi`` is None for a script, ``elf`` is what it asks for if assembly adds it."""

    path: str
    abi: Abi | None
    is_executable: bool
    soname: str = ""
    versions: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    elf: Elf | None = None


class World:
    """Answers what is where in an image."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.offer = image.offer or Offer()
        self._late = {file.path: file for file in image.files}
        self._real: dict[str, str | None] = {}

    def find(self, path: str) -> Found | None:
        """Return the file at an absolute path, links followed."""
        if path not in self._real:
            self._real[path] = self._resolve(path)
        real = self._real[path]
        return None if real is None else self._at(real)

    def find_program(self, name: str) -> Found | None:
        """Return the program that a name without a slash means: the first in PATH."""
        paths = (posixpath.join(directory, name) for directory in self.path)
        return next((found for path in paths if (found := self.find(path)) and found.is_executable), None)

    @cached_property
    def path(self) -> tuple[str, ...]:
        """The directories of PATH."""
        return tuple(one for one in self.image.settings.environment.get("PATH", DEFAULT_PATH).split(":") if one)

    @cached_property
    def loaders(self) -> tuple[tuple[str, Found], ...]:
        """The loaders of C libraries that the image has, each by a path that names it."""
        found: dict[str, tuple[str, Found]] = {}
        for path in self._paths:
            one = self.find(f"/{path}") if is_musl_loader(path) or path not in self.offer.links else None
            if one is None or one.abi is None or one.path in found:
                continue
            if is_musl_loader(path) or is_glibc_loader(one) or one.soname.startswith("libc.musl-"):
                found[one.path] = (f"/{path}", one)
        return tuple(found.values())

    def named(self, name: str) -> Found | None:
        """Return a library anywhere in the image that has a name, or calls itself so."""
        return next((found for path in self._names.get(name, ()) if (found := self.find(f"/{path}"))), None)

    def libraries_like(self, stem: str) -> tuple[str, ...]:
        """Return the names of libraries in the image that begin with ``stem``."""
        return tuple(sorted(name for name in self._names if name.startswith(f"{stem}.so")))

    @cached_property
    def _paths(self) -> tuple[str, ...]:
        """Where something may be found; links first, since what they are called says what their targets are."""
        return tuple(dict.fromkeys((*self.offer.links, *self._late, *self.offer.files)))

    @cached_property
    def _names(self) -> Mapping[str, tuple[str, ...]]:
        """The paths by what they, and the libraries there, are called."""
        names: dict[str, tuple[str, ...]] = {}
        for path in self._paths:
            found = self._at(path)
            for name in {posixpath.basename(path), found.soname if found else ""} - {""}:
                names[name] = (*names.get(name, ()), path)
        return names

    def _resolve(self, path: str) -> str | None:
        try:
            return resolve_path(self._lookup, path)
        except AssemblyError:
            return None

    def _lookup(self, path: str) -> Entry:
        """Return what counts on the way to a file: the links. What is not known of is taken for a directory."""
        late = self.image.late.get(path)
        if late is not None:
            return late
        link = self.offer.links.get(path)
        return _DIRECTORY if link is None else Entry(path=path, type=EntryType.SYMLINK, link=link)

    def _at(self, path: str) -> Found | None:
        file = self._late.get(path)
        if file is not None:
            elf = file.runnable if isinstance(file.runnable, Elf) else None
            if elf is not None and (elf.abi is None or elf.problem):
                return None
            return Found(
                path=f"/{path}",
                abi=elf.abi if elf else None,
                is_executable=file.is_executable,
                soname=elf.soname if elf else "",
                versions=elf.versions if elf else (),
                directories=elf.directories if elf else (),
                elf=elf,
            )
        piece = self.offer.files.get(path)
        if piece is None or path in self.image.late:
            return None
        return Found(
            path=f"/{path}",
            abi=None if piece.abi == SCRIPT else self.offer.abis[piece.abi],
            is_executable=piece.is_executable,
            soname=piece.soname,
            versions=piece.versions,
            directories=piece.directories,
        )


def is_glibc_loader(found: Found) -> bool:
    """Say whether a library is glibc's loader: others that answer to its path have none of its versions."""
    return found.soname.startswith("ld") and any(version.startswith("GLIBC_") for version in found.versions)


def is_musl_loader(path: str) -> bool:
    """Say whether a path is one of musl's loader."""
    return posixpath.basename(path).startswith("ld-musl-")
