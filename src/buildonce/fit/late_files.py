"""The files that assembly adds to an image, as far as they can be run or loaded; and what counts of its config."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec import Struct

from buildonce.assemble.entries import Entry, EntryType, name_of
from buildonce.elf.values import Runnable
from buildonce.fit.world import LateFile, Settings
from buildonce.oci import Digest

_WILDCARDS = frozenset("*?[\\")


def late_files(
    entries: Iterable[Entry], runnables: Mapping[Digest, Runnable], named: frozenset[str] = frozenset()
) -> Iterator[LateFile]:
    """Yield the files of a layer that can be run or loaded; ``named`` are the names of those that a COPY names."""
    digests: dict[str, Digest] = {}
    for entry in entries:
        digest = digests.get(entry.hardlink) if entry.hardlink else entry.digest
        if entry.type is not EntryType.FILE or digest is None:
            continue
        digests[entry.path] = digest
        runnable = runnables.get(digest)
        if runnable is not None:
            yield LateFile(
                path=entry.path,
                mode=entry.mode,
                digest=digest,
                runnable=runnable,
                is_named=name_of(entry.path) in named,
            )


def named_files(sources: Iterable[str], destination: str) -> frozenset[str]:
    """Return what files are called that a COPY names one by one: as its sources are, or as its destination is."""
    plain = (source for source in sources if not _WILDCARDS.intersection(source))
    return frozenset(posixpath.basename(path) for path in (*plain, destination)) - {"", ".", ".."}


def read_settings(config: bytes) -> Settings:
    """Return what counts of an image's config."""
    read = msgspec.json.decode(config, type=_Config).config or _Section()
    pairs = (one.partition("=") for one in read.env or ())
    return Settings(
        environment={name: value for name, _, value in pairs},
        workdir=posixpath.join("/", read.working_dir or ""),
        command=(*(read.entrypoint or ()), *(read.cmd or ())),
    )


class _Section(Struct, frozen=True):
    env: tuple[str, ...] | None = msgspec.field(default=None, name="Env")
    entrypoint: tuple[str, ...] | None = msgspec.field(default=None, name="Entrypoint")
    cmd: tuple[str, ...] | None = msgspec.field(default=None, name="Cmd")
    working_dir: str | None = msgspec.field(default=None, name="WorkingDir")


class _Config(Struct, frozen=True):
    config: _Section | None = None
