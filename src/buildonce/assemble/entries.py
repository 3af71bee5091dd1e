"""What a file system holds under one name."""

from __future__ import annotations

import enum
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from buildonce.errors import AssemblyError
from buildonce.oci import Digest


class NotExpressible(AssemblyError):
    """The engine-less path cannot promise what a build engine would do here; an engine must build it."""

    code = "ASSEMBLY-ENGINE"


class EntryType(enum.Enum):
    """The kinds of file that a layer can hold; the value is tar's type flag."""

    FILE = "0"
    SYMLINK = "2"
    CHAR = "3"
    BLOCK = "4"
    DIRECTORY = "5"
    FIFO = "6"


class Content(Struct, frozen=True, kw_only=True):
    """Where the bytes of a regular file are: a range of an uncompressed file."""

    path: Path
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name of a file system.

    ``path`` has no slash at either end; a name that is not UTF-8 has its bytes as surrogates, as Python's
    `os.fsdecode` does it. ``mode`` is 0..07777, ``mtime`` whole seconds, ``digest`` that of a regular file's content,
    ``link`` a symbolic link's target, ``hardlink`` the first name of the same file, ``capability`` the bytes of the
    attribute security.capability, ``device`` the major and minor number.

    In a layer, a second name (``hardlink`` set) has size 0 and no digest, for the first name has the data; in a
    `Tree` all names of a file say the same.
    """

    path: str
    type: EntryType
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    digest: Digest | None = None
    link: str | None = None
    hardlink: str | None = None
    capability: bytes | None = None
    device: tuple[int, int] | None = None
    content: Content | None = field(default=None, compare=False)

    @property
    def is_directory(self) -> bool:
        return self.type is EntryType.DIRECTORY


_partials = itertools.count()


def partial_path(target: Path) -> Path:
    """Return a name beside ``target`` that nobody else uses, for a file that takes its place once it is complete."""
    return target.with_name(f"{target.name}.partial-{os.getpid()}-{next(_partials)}")


def encode_name(name: str) -> bytes:
    """Return the bytes of a path."""
    return name.encode("utf-8", "surrogateescape")


def decode_name(name: bytes) -> str:
    """Return the path that has these bytes."""
    return name.decode("utf-8", "surrogateescape")


def walk_order(path: str) -> bytes:
    """Return a sort key for Go's filepath.Walk: parents first, a directory's names in the order of their bytes."""
    return encode_name(path).replace(b"/", b"\0")


def parent_of(path: str) -> str:
    """Return the directory that holds ``path``; the root is the empty string."""
    return path.rpartition("/")[0]


def name_of(path: str) -> str:
    """Return the last component of ``path``."""
    return path.rpartition("/")[2]


def join(directory: str, name: str) -> str:
    """Return the path of ``name`` in ``directory``."""
    return f"{directory}/{name}" if directory else name


def prefixes(path: str) -> Iterator[str]:
    """Yield the directories that lead to ``path``, the outermost first, then itself; nothing for the root."""
    position = path.find("/")
    while position >= 0:
        yield path[:position]
        position = path.find("/", position + 1)
    if path:
        yield path
