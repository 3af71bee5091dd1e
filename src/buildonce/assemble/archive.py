"""Layer archives read in one pass: [io] a stream in, its entries out.

What a name, a link and a size may be is what containerd's `archive.Apply` and Go's archive/tar accept; anything that
two readers could understand differently is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from msgspec import Struct

from buildonce.assemble.compression import Compression, Decompressed, open_decompressed
from buildonce.assemble.entries import Content, Entry, EntryType, decode_name, partial_path
from buildonce.assemble.headers import BLOCK, Header, header_padding, parse_header, parse_records
from buildonce.assemble.resolution import PATH_LIMIT
from buildonce.elf.values import Runnable
from buildonce.errors import ArchiveError, DiskError, IntegrityError
from buildonce.oci import Digest

if TYPE_CHECKING:
    from buildonce.elf.streamed import Streamed

CHUNK = 1 << 20
EXTENSION_LIMIT = 1 << 20
KEEP_LIMIT = 10 << 20
ENTRY_LIMIT = 5_000_000
SIZE_LIMIT = 1 << 44
DEPTH_LIMIT = 300

_TYPES = {
    b"0": EntryType.FILE,
    b"\0": EntryType.FILE,
    b"2": EntryType.SYMLINK,
    b"3": EntryType.CHAR,
    b"4": EntryType.BLOCK,
    b"5": EntryType.DIRECTORY,
    b"6": EntryType.FIFO,
}
_CAPABILITY = "SCHILY.xattr.security.capability"


class Layer(Struct, frozen=True, kw_only=True):
    """What a layer archive holds.

    ``diff_id`` is the digest of the uncompressed bytes, ``digest`` and ``size`` are those of the archive as it was
    read, ``kept`` has the content of the files that were asked for, under the digest of that content, and
    ``runnables`` what can be run or loaded, likewise, if that was asked for.
    """

    entries: tuple[Entry, ...]
    diff_id: Digest
    digest: Digest
    size: int
    kept: Mapping[Digest, bytes]
    runnables: Mapping[Digest, Runnable] = {}


def read_archive(path: Path) -> tuple[Entry, ...]:
    """Return the entries of an uncompressed archive, with the places of their contents in it; see `scan_layer`.

    The archive itself is not hashed: it is for those that nobody vouches for.
    """
    with path.open("rb") as file, _Spool(open_decompressed(file, hashes=False), path) as spool:
        entries = tuple(_Reader(spool, contents_path=path, keep=lambda _: False).entries())
        spool.drain()
        spool.commit()
    return entries


def scan_layer(
    file: BinaryIO,
    *,
    contents_path: Path | None = None,
    keep: Callable[[str], bool] = lambda _: False,
    finds_runnables: bool = False,
    diff_id: Digest | None = None,
    digest: Digest | None = None,
) -> Layer:
    """Read a layer archive from ``file`` to its end: plain, gzip or zstd, told by its first bytes.

    With ``contents_path`` the uncompressed archive is written there as it is read, and each regular file's ``content``
    points into it; if ``file`` is that very file and is not compressed, nothing is written. ``keep`` says of a path
    whether to return its content, up to 10 MiB; with ``finds_runnables`` ELF files and scripts are looked into. Memory
    is bounded by the number of entries and what is kept.

    Raises `ArchiveError` for a malformed or hostile archive, `IntegrityError` if it has not the ``diff_id`` or
    ``digest`` that it should, `DiskError` if ``contents_path`` cannot be written.
    """
    source = open_decompressed(file)
    with _Spool(source, contents_path) as spool:
        reader = _Reader(spool, contents_path=contents_path, keep=keep, finds_runnables=finds_runnables)
        entries = tuple(reader.entries())
        spool.drain()
        layer = Layer(
            entries=entries,
            diff_id=spool.digest(),
            digest=source.digest(),
            size=source.size(),
            kept=reader.kept,
            runnables=reader.runnables,
        )
        for what, expected, actual in (("digest", digest, layer.digest), ("diff ID", diff_id, layer.diff_id)):
            if expected is not None and expected != actual:
                raise IntegrityError(f"a layer has the {what} {actual}, expected {expected}")
        spool.commit()
    return layer


class _Spool:
    """The uncompressed bytes: counted, hashed, and written to a file if one is named."""

    def __init__(self, source: Decompressed, path: Path | None) -> None:
        self.source = source
        self.offset = 0
        self.path = None if path is None or source.is_plain_file(path) else path
        self.partial = self.path and partial_path(self.path)
        self.sink: BinaryIO | None = None
        # What is not compressed is hashed once: as it was read.
        self.hash = None if source.compression is Compression.UNCOMPRESSED else hashlib.sha256()

    def __enter__(self) -> Self:
        if self.partial:
            try:
                self.sink = self.partial.open("wb")
            except OSError as error:
                raise DiskError(f"`{self.path}` cannot be written: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self.sink and self.partial:
            self.sink.close()
            self.partial.unlink(missing_ok=True)

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, fewer only at the end."""
        data = self.source.read(size)
        self.offset += len(data)
        if self.hash is not None:
            self.hash.update(data)
        if self.sink:
            try:
                self.sink.write(data)
            except OSError as error:
                raise DiskError(f"`{self.path}` cannot be written: {error.strerror}") from error
        return data

    def drain(self) -> None:
        while self.read(CHUNK):
            pass

    def digest(self) -> Digest:
        return self.source.digest() if self.hash is None else Digest(f"sha256:{self.hash.hexdigest()}")

    def commit(self) -> None:
        if self.sink and self.partial and self.path:
            try:
                self.sink.close()
                self.partial.replace(self.path)
            except OSError as error:
                raise DiskError(f"`{self.path}` cannot be written: {error.strerror}") from error
            self.sink = None


class _Reader:
    def __init__(
        self, spool: _Spool, *, contents_path: Path | None, keep: Callable[[str], bool], finds_runnables: bool = False
    ) -> None:
        self.spool = spool
        self.contents_path = contents_path
        self.keep = keep
        self.finds_runnables = finds_runnables
        self.kept: dict[Digest, bytes] = {}
        self.runnables: dict[Digest, Runnable] = {}

    def entries(self) -> Iterator[Entry]:
        count = 0
        while (header := self.next_header()) is not None:
            entry = self.entry(header)
            if entry is not None:
                count += 1
                if count > ENTRY_LIMIT:
                    raise ArchiveError(f"a layer has more than {ENTRY_LIMIT} entries")
                yield entry

    def next_header(self) -> Header | None:
        """Return the next header with what its extension headers say; None at the end."""
        records: dict[str, bytes] = {}
        while True:
            block = self.spool.read(BLOCK)
            if not block:
                if records:
                    raise ArchiveError("a layer ends after an extension header")
                return None
            if len(block) < BLOCK:
                raise ArchiveError("a layer is truncated")
            if not any(block):
                self.end()
                return None
            header = parse_header(block)
            match header.type:
                case b"x":
                    records |= parse_records(self.extension(header))
                case b"g":
                    self.extension(header)  # containerd ignores global records
                case b"L":
                    records["path"] = self.extension(header).split(b"\0")[0]
                case b"K":
                    records["linkpath"] = self.extension(header).split(b"\0")[0]
                case _:
                    return header.extended(records)

    def end(self) -> None:
        block = self.spool.read(BLOCK)
        if any(block):
            raise ArchiveError("a layer goes on after an empty header")
        if 0 < len(block) < BLOCK:
            raise ArchiveError("a layer is truncated")

    def extension(self, header: Header) -> bytes:
        if header.size > EXTENSION_LIMIT:
            raise ArchiveError(f"a layer has an extension header of {header.size} bytes")
        return b"".join(self.data(header.size))

    def data(self, size: int) -> Iterator[bytes]:
        """Yield the ``size`` bytes that follow, then skip the padding."""
        left = size
        while left:
            chunk = self.spool.read(min(CHUNK, left))
            if not chunk:
                raise ArchiveError("a layer is truncated")
            left -= len(chunk)
            yield chunk
        padding = header_padding(size)
        if len(self.spool.read(padding)) < padding:
            raise ArchiveError("a layer is truncated")

    def entry(self, header: Header) -> Entry | None:
        """Return the entry that ``header`` begins, its data read; None for the root."""
        path = _checked_path(header.name)
        kind = _TYPES.get(header.type)
        if kind is EntryType.FILE and header.type == b"\0" and header.name.endswith(b"/"):
            kind = EntryType.DIRECTORY
        if header.type == b"1":
            return self.linked(header, path)
        if kind is None:
            raise ArchiveError(f"`{path}` in a layer has the type {header.type!r}, which no image has")
        if kind is EntryType.FILE and header.name.endswith(b"/"):
            raise ArchiveError(f"`{path}/` in a layer is a file with a slash at its end")
        content, digest = self.file(header, path) if kind is EntryType.FILE else (None, None)
        if not path:
            if kind is not EntryType.DIRECTORY:
                raise ArchiveError("a layer replaces the root by a file")
            return None
        link = decode_name(header.link) if kind is EntryType.SYMLINK else None
        if link == "" or (link is not None and "\0" in link):
            raise ArchiveError(f"`{path}` in a layer is a symbolic link without a target")
        return Entry(
            path=path,
            type=kind,
            mode=header.mode & 0o7777,
            uid=_checked_id(header.uid),
            gid=_checked_id(header.gid),
            size=header.size if kind is EntryType.FILE else 0,
            mtime=_bound_time(header.mtime),
            digest=digest,
            link=link,
            capability=header.records.get(_CAPABILITY) or None,
            device=header.device if kind in (EntryType.CHAR, EntryType.BLOCK) else None,
            content=content,
        )

    def linked(self, header: Header, path: str) -> Entry:
        target = _checked_path(header.link)
        if not path or not target:
            raise ArchiveError(f"`{path or '/'}` in a layer is a hard link to `{target or '/'}`")
        return Entry(
            path=path,
            type=EntryType.FILE,
            mode=header.mode & 0o7777,
            uid=_checked_id(header.uid),
            gid=_checked_id(header.gid),
            mtime=_bound_time(header.mtime),
            hardlink=target,
            capability=header.records.get(_CAPABILITY) or None,
        )

    def look_into(self, size: int) -> AbstractContextManager[Streamed | None]:
        if not self.finds_runnables:
            return nullcontext()
        from buildonce.elf.streamed import Streamed

        return Streamed(size)

    def file(self, header: Header, path: str) -> tuple[Content | None, Digest]:
        size, start = header.size, self.spool.offset
        if size > SIZE_LIMIT:
            raise ArchiveError(f"`{path}` in a layer is said to have {size} bytes")
        keeps = size <= KEEP_LIMIT and self.keep(path)
        kept: list[bytes] = []
        hashed = hashlib.sha256()
        with self.look_into(size) as look:
            for chunk in self.data(size):
                hashed.update(chunk)
                if keeps:
                    kept.append(chunk)
                if look is not None:
                    look.add(chunk)
            digest = Digest(f"sha256:{hashed.hexdigest()}")
            if look is not None and (runnable := look.read()) is not None:
                self.runnables[digest] = runnable
        if keeps:
            self.kept[digest] = b"".join(kept)
        if self.contents_path is None:
            return None, digest
        return Content(path=self.contents_path, offset=start, size=size), digest


def _checked_id(number: int) -> int:
    if not 0 <= number < 0xFFFFFFFF:
        raise ArchiveError(f"a layer has the owner {number}, which no file can have")
    return number


def _bound_time(seconds: int) -> int:
    """Return a time as it is after unpacking: what is before 1970 or after 2262 becomes 0 (containerd's boundTime)."""
    return seconds if 0 <= seconds <= 0x7FFFFFFFFFFFFFFF // 10**9 else 0


def _checked_path(name: bytes) -> str:
    """Return a name of an archive as a path: absolute ones are taken from the root, ``..`` is refused."""
    if b"\0" in name:
        raise ArchiveError(f"a layer has a name with a zero byte: {name[:100]!r}")
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise ArchiveError(f"a layer has the name {name[:100]!r}, which leads out of it")
    if len(name) > PATH_LIMIT or len(parts) > DEPTH_LIMIT or any(len(part) > 255 for part in parts):
        raise ArchiveError(f"a layer has a name that no file system has: {name[:100]!r}...")
    if not parts and not name:
        raise ArchiveError("a layer has an entry without a name")
    return decode_name(b"/".join(parts))
