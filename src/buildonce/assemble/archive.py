"""Layer archives read in one pass: [io] a stream in, its entries out.

What a name, a link and a size may be is what containerd's `archive.Apply` and Go's archive/tar accept; anything that
two readers could understand differently is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec
from msgspec import Struct

from buildonce.assemble import limits
from buildonce.assemble.compression import open_decompressed, open_plain
from buildonce.assemble.entries import Content, Entry, EntryType, decode_name
from buildonce.assemble.headers import BLOCK, Header, header_padding, parse_header
from buildonce.assemble.limits import Budget
from buildonce.assemble.pax import Extensions
from buildonce.assemble.resolution import PATH_LIMIT
from buildonce.assemble.uncompressed import Uncompressed
from buildonce.elf.values import Runnable
from buildonce.errors import ArchiveError, IntegrityError
from buildonce.oci import Digest
from buildonce.store.protocol import Readable

if TYPE_CHECKING:
    from buildonce.elf.streamed import Streamed

CHUNK = 1 << 20
EXTENSION_LIMIT = 1 << 20
KEEP_LIMIT = 10 << 20
SIZE_LIMIT = 1 << 44
NAME_LIMIT = 255

_TYPES = {
    b"0": EntryType.FILE,
    b"\0": EntryType.FILE,
    b"2": EntryType.SYMLINK,
    b"3": EntryType.CHAR,
    b"4": EntryType.BLOCK,
    b"5": EntryType.DIRECTORY,
    b"6": EntryType.FIFO,
}
_ZEROS = bytes(BLOCK)
_OVERLAY = ("SCHILY.xattr.trusted.overlay.", "SCHILY.xattr.user.overlay.")
_CAPABILITY = "SCHILY.xattr.security.capability"


class Layer(Struct, frozen=True, kw_only=True):
    """What a layer archive holds.

    ``diff_id`` is the digest of the uncompressed bytes, ``digest`` and ``size`` are those of the archive as it was
    read (no digest if it was not hashed), ``kept`` has the content of the files that were asked for, under the digest
    of that content, and ``runnables`` what can be run or loaded, likewise, if that was asked for. ``memory`` is about
    how many bytes all of this takes.
    """

    entries: tuple[Entry, ...]
    diff_id: Digest
    digest: Digest | None
    size: int
    kept: Mapping[Digest, bytes]
    runnables: Mapping[Digest, Runnable] = {}
    memory: int = 0


class Want(Struct, frozen=True, kw_only=True):
    """What is wanted of an archive besides its entries.

    With ``contents_path`` the uncompressed archive is written there as it is read, and each regular file's ``content``
    points into it; if it is the very file that is read, and is not compressed, nothing is written. ``keep`` says of a
    path whether to return its content, up to 10 MiB; with ``runnables`` ELF files and scripts are looked into; with
    ``digest`` the archive is hashed as it is read.
    """

    contents_path: Path | None = None
    keep: Callable[[str], bool] = lambda _: False
    runnables: bool = False
    digest: bool = True


_PLAIN = Want()


def read_archive(file: BinaryIO, path: Path) -> tuple[Entry, ...]:
    """Return the entries of an uncompressed archive, the file at ``path``, with the places of their contents in it.

    See `scan_layer`. The archive itself is not hashed: it is for those that nobody vouches for.
    """
    with Uncompressed(open_plain(file, hashes=False), path) as content:
        entries = tuple(_Reader(content, Want(contents_path=path), Budget()).entries())
        content.drain()
    return entries


def scan_layer(
    file: Readable,
    want: Want = _PLAIN,
    *,
    is_plain: bool = False,
    diff_id: Digest | None = None,
    digest: Digest | None = None,
    budget: Budget | None = None,
) -> Layer:
    """Read a layer archive from ``file`` to its end: plain, gzip or zstd, told by its first bytes.

    With ``is_plain`` it is not decompressed, whatever its first bytes: so containerd reads OCI's type of plain layers.
    Memory is bounded by what ``budget`` has left, for the entries and what is kept.

    Raises `ArchiveError` for a malformed or hostile archive, `IntegrityError` if it has not the ``diff_id`` or
    ``digest`` that it should, `NotExpressible` if the memory does not suffice, `DiskError` if the contents cannot be
    written.
    """
    source = (open_plain if is_plain else open_decompressed)(file, hashes=want.digest)
    own = Budget(whole=budget)
    with Uncompressed(source, want.contents_path) as content:
        reader = _Reader(content, want, own)
        entries = tuple(reader.entries())
        content.drain()
        layer = Layer(
            entries=entries,
            diff_id=content.digest(),
            digest=source.digest() if want.digest else None,
            size=source.size(),
            kept=reader.kept,
            runnables=reader.runnables,
            memory=own.taken,
        )
        for what, expected, actual in (("digest", digest, layer.digest), ("diff ID", diff_id, layer.diff_id)):
            if expected is not None and expected != actual:
                raise IntegrityError(f"a layer has the {what} {actual}, expected {expected}")
        content.commit()
    return layer


class _Reader:
    def __init__(self, archive: Uncompressed, want: Want, budget: Budget) -> None:
        self.archive = archive
        self.want = want
        self.budget = budget
        self.kept: dict[Digest, bytes] = {}
        self.runnables: dict[Digest, Runnable] = {}

    def entries(self) -> Iterator[Entry]:
        while (header := self.next_header()) is not None:
            self.budget.take(limits.HEADER)
            entry = self.entry(header)
            if entry is not None:
                self.budget.take(limits.ENTRY + 2 * len(header.name) + len(header.link))
                yield entry

    def next_header(self) -> Header | None:
        """Return the next header with what its extension headers say; None at the end."""
        extensions = Extensions()
        while True:
            block = self.archive.read(BLOCK)
            if not block:
                if extensions.seen:
                    raise ArchiveError("a layer ends after an extension header")
                return None
            if len(block) < BLOCK:
                raise ArchiveError("a layer is truncated")
            if block == _ZEROS:
                self.end()
                return None
            header = parse_header(block)
            if header.type not in (b"x", b"g", b"L", b"K"):
                return header.extended(extensions.records)
            self.budget.take(limits.HEADER)
            extensions.check_next(header.type)
            data = self.extension(header)
            if header.type != b"g":  # containerd ignores global records
                extensions.add(header.type, data)

    def end(self) -> None:
        block = self.archive.read(BLOCK)
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
            chunk = self.archive.chunk(left)
            if not chunk:
                raise ArchiveError("a layer is truncated")
            left -= len(chunk)
            yield chunk
        padding = header_padding(size)
        if len(self.archive.read(padding)) < padding:
            raise ArchiveError("a layer is truncated")

    def entry(self, header: Header) -> Entry | None:
        """Return the entry that ``header`` begins, its data read; None for the root."""
        path = _checked_path(header.name)
        if any(key.startswith(_OVERLAY) for key in header.records):
            raise ArchiveError(f"`{path}` in a layer has an attribute by which overlays show other files")
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
        if not self.want.runnables:
            return nullcontext()
        from buildonce.elf.streamed import Streamed

        return Streamed(size)

    def file(self, header: Header, path: str) -> tuple[Content | None, Digest]:
        size, start = header.size, self.archive.offset
        if size > SIZE_LIMIT:
            raise ArchiveError(f"`{path}` in a layer is said to have {size} bytes")
        keeps = size <= KEEP_LIMIT and self.want.keep(path)
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
                self.budget.take(len(msgspec.msgpack.encode(runnable)))
                self.runnables[digest] = runnable
        if keeps:
            self.budget.take(size)
            self.kept[digest] = b"".join(kept)
        if self.want.contents_path is None:
            return None, digest
        return Content(path=self.want.contents_path, offset=start, size=size), digest


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
    parts = name.split(b"/")
    if b"" in parts or b"." in parts:
        parts = [part for part in parts if part not in (b"", b".")]
    if b".." in parts:
        raise ArchiveError(f"a layer has the name {name[:100]!r}, which leads out of it")
    if len(name) > NAME_LIMIT and (
        len(name) > PATH_LIMIT or len(parts) > limits.DEPTH or any(len(part) > NAME_LIMIT for part in parts)
    ):
        raise ArchiveError(f"a layer has a name that no file system has: {name[:100]!r}...")
    if not name:
        raise ArchiveError("a layer has an entry without a name")
    return decode_name(b"/".join(parts))
