"""Layers compressed and decompressed: [io] streams in, streams out, digests of both sides.

Gzip is ISA-L at level 2: several times faster than zlib's fastest level and about as small. Unlike level 3 it gives the
same bytes on every x86-64 processor; arm64 gives others. Its output depends on how the input is cut, so it is always
cut at the same places. Zstandard at level 3 is smaller, and the same everywhere.

A large file is a part of its own: its compressed form depends on its bytes alone, so it is the same in every layer,
and a compressor can be given it ready-made (`Compressor.end_part`, `Compressor.pass_over`).
"""

from __future__ import annotations

import enum
import gzip
import hashlib
import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from buildonce.errors import ArchiveError
from buildonce.oci import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Digest, MediaType
from buildonce.store.protocol import Readable

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

GZIP_LEVEL = 2
ZSTD_LEVEL = 3
INPUT_CHUNK = 1 << 18

_GZIP_HEADER = bytes.fromhex("1f8b08000000000000ff")


class Compression(enum.Enum):
    """How a layer is compressed; the value is what BuildKit calls it."""

    UNCOMPRESSED = "uncompressed"
    GZIP = "gzip"
    ZSTD = "zstd"

    @property
    def media_type(self) -> MediaType:
        return {
            Compression.UNCOMPRESSED: OCI_LAYER,
            Compression.GZIP: OCI_LAYER_GZIP,
            Compression.ZSTD: OCI_LAYER_ZSTD,
        }[self]


class Compressor(Protocol):
    """Bytes in, compressed bytes out."""

    def compress(self, data: bytes, /) -> bytes: ...

    def end_part(self) -> bytes:
        """Return what is left to be written before compressed bytes from elsewhere may follow."""
        ...

    def pass_over(self, data: bytes, /) -> None:
        """Take notice of uncompressed bytes whose compressed form comes from elsewhere."""
        ...

    def flush(self) -> bytes: ...


def open_compressor(compression: Compression) -> Compressor:
    """Return a compressor with fixed settings: the same input gives the same output, however it is cut."""
    match compression:
        case Compression.UNCOMPRESSED:
            return _Plain()
        case Compression.GZIP:
            return _Rechunked(_Gzip())
        case Compression.ZSTD:
            return _Rechunked(_Zstd())


def open_part_compressor(compression: Compression) -> Compressor:
    """Return a compressor for one part of a layer; `Compressor.end_part` ends it."""
    return _Rechunked(_Deflate()) if compression is Compression.GZIP else open_compressor(compression)


def checksum(data: bytes, before: int = 0) -> int:
    """Return the CRC-32 of ``data``, after bytes whose CRC-32 is ``before``."""
    from isal import isal_zlib

    crc: int = isal_zlib.crc32(data, before)
    return crc


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def end_part(self) -> bytes:
        return b""

    def pass_over(self, data: bytes, /) -> None:
        pass

    def flush(self) -> bytes:
        return b""


class _Deflate:
    """Raw deflate blocks; each part is a stream that refers to nothing before it."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        from isal import isal_zlib

        self.stream = isal_zlib.compressobj(GZIP_LEVEL, wbits=-15)

    def compress(self, data: bytes, /) -> bytes:
        compressed: bytes = self.stream.compress(data)
        return compressed

    def end_part(self) -> bytes:
        from isal import isal_zlib

        rest: bytes = self.stream.flush(isal_zlib.Z_SYNC_FLUSH)
        self.begin()
        return rest

    def pass_over(self, data: bytes, /) -> None:
        pass

    def flush(self) -> bytes:
        rest: bytes = self.stream.flush()
        return rest


class _Gzip:
    """Gzip with the header that Go writes: no name, no time, unknown system."""

    def __init__(self) -> None:
        self.deflate = _Deflate()
        self.header = _GZIP_HEADER
        self.crc = 0
        self.size = 0

    def compress(self, data: bytes, /) -> bytes:
        self.pass_over(data)
        return self.begin() + self.deflate.compress(data)

    def end_part(self) -> bytes:
        return self.begin() + self.deflate.end_part()

    def pass_over(self, data: bytes, /) -> None:
        self.crc = checksum(data, self.crc)
        self.size += len(data)

    def flush(self) -> bytes:
        return self.begin() + self.deflate.flush() + struct.pack("<II", self.crc, self.size & 0xFFFFFFFF)

    def begin(self) -> bytes:
        header, self.header = self.header, b""
        return header


class _Zstd:
    """Zstandard; each part is a frame."""

    def __init__(self) -> None:
        self.stream = zstd.ZstdCompressor(level=ZSTD_LEVEL)

    def compress(self, data: bytes, /) -> bytes:
        return self.stream.compress(data)

    def end_part(self) -> bytes:
        return self.stream.flush()

    def pass_over(self, data: bytes, /) -> None:
        pass

    def flush(self) -> bytes:
        return self.stream.flush()


class _Rechunked:
    """A compressor that is always given blocks of the same size."""

    def __init__(self, compressor: Compressor) -> None:
        self.compressor = compressor
        self.pending = bytearray()

    def compress(self, data: bytes, /) -> bytes:
        self.pending += data
        full = len(self.pending) - len(self.pending) % INPUT_CHUNK
        if not full:
            return b""
        blocks, self.pending = bytes(self.pending[:full]), self.pending[full:]
        return b"".join(
            self.compressor.compress(blocks[start : start + INPUT_CHUNK]) for start in range(0, full, INPUT_CHUNK)
        )

    def end_part(self) -> bytes:
        return self.rest() + self.compressor.end_part()

    def pass_over(self, data: bytes, /) -> None:
        self.compressor.pass_over(data)

    def flush(self) -> bytes:
        return self.rest() + self.compressor.flush()

    def rest(self) -> bytes:
        last, self.pending = bytes(self.pending), bytearray()
        return self.compressor.compress(last) if last else b""


class _Hashed:
    """A file that hashes and counts what is read from it."""

    def __init__(self, file: Readable, *, hashes: bool) -> None:
        self.file = file
        self.hash = hashlib.sha256() if hashes else None
        self.size = 0
        self.ahead = b""

    def peek(self, size: int) -> bytes:
        while len(self.ahead) < size and (data := self.take(size - len(self.ahead))):
            self.ahead += data
        return self.ahead

    def read(self, size: int = -1, /) -> bytes:
        if not self.ahead:
            return self.take(size)
        data, self.ahead = (self.ahead, b"") if size < 0 else (self.ahead[:size], self.ahead[size:])
        return data if size >= 0 else data + self.take(-1)

    def readinto(self, buffer: memoryview, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def take(self, size: int) -> bytes:
        data = self.file.read(size)
        if self.hash:
            self.hash.update(data)
        self.size += len(data)
        return data


class Decompressed:
    """The uncompressed bytes of an archive, and what is known of the compressed ones."""

    def __init__(
        self,
        source: _Hashed,
        reader: Readable,
        *,
        compression: Compression,
        errors: tuple[type[Exception], ...] = (),
    ) -> None:
        self.compression = compression
        self._source = source
        self._reader = reader
        self._errors = errors

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer only at the end; raise `ArchiveError` if they cannot be decompressed."""
        parts: list[bytes] = []
        left = size
        while left:
            try:
                data = self._reader.read(left)
            except self._errors as error:
                raise ArchiveError(f"a layer's {self.compression.value} stream is broken: {error}") from error
            if not data:
                break
            parts.append(data)
            left -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def is_plain(self) -> bool:
        """Say whether the bytes are not compressed."""
        return self.compression is Compression.UNCOMPRESSED

    @property
    def hashes(self) -> bool:
        """Say whether the compressed bytes are hashed."""
        return self._source.hash is not None

    def is_plain_file(self, path: Path) -> bool:
        """Say whether the uncompressed bytes are those of the file at ``path``, from its beginning."""
        if not self.is_plain:
            return False
        try:
            return os.path.samestat(os.fstat(cast("BinaryIO", self._source.file).fileno()), path.stat())
        except (AttributeError, OSError):
            return False

    def digest(self) -> Digest:
        """Return the digest of the compressed bytes, which must be hashed; read to the end first."""
        while self._source.read(1 << 20):
            pass
        assert self._source.hash  # noqa: S101  the caller's bargain
        return Digest(f"sha256:{self._source.hash.hexdigest()}")

    def size(self) -> int:
        """Return the number of compressed bytes read."""
        return self._source.size


def open_plain(file: Readable, *, hashes: bool = True) -> Decompressed:
    """Return the bytes of ``file`` as they are; see `open_decompressed`."""
    source = _Hashed(file, hashes=hashes)
    return Decompressed(source, source, compression=Compression.UNCOMPRESSED)


def open_decompressed(file: Readable, *, hashes: bool = True) -> Decompressed:
    """Return the uncompressed bytes of ``file``; gzip and zstd are known by their first bytes.

    ``hashes`` says whether the compressed bytes are hashed.
    """
    source = _Hashed(file, hashes=hashes)
    magic = source.peek(4)
    if magic[:2] == b"\x1f\x8b":
        return _open_gzip(source)
    if magic == b"\x28\xb5\x2f\xfd":
        return _open_zstd(source)
    return Decompressed(source, source, compression=Compression.UNCOMPRESSED)


def _open_gzip(source: _Hashed) -> Decompressed:
    from isal import igzip, isal_zlib

    opened: Callable[..., Readable] = igzip.IGzipFile
    errors = (EOFError, OverflowError, gzip.BadGzipFile, zlib.error, cast("type[Exception]", isal_zlib.error))
    return Decompressed(source, opened(fileobj=source, mode="rb"), compression=Compression.GZIP, errors=errors)


def _open_zstd(source: _Hashed) -> Decompressed:
    reader = zstd.ZstdFile(cast("BinaryIO", source), "rb")
    return Decompressed(source, reader, compression=Compression.ZSTD, errors=(EOFError, zstd.ZstdError))
