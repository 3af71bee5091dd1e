"""Archives that nobody writes by accident, made block by block."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterable, Iterator

from backports import zstd

from tests.assemble.archives import directory, make_tar, member

BLOCK = 512
END = bytes(2 * BLOCK)
PASSWD = member("etc/passwd", content=b"root:x:0:0:root:/root:/bin/sh\n")
GOOD = make_tar([directory("usr"), directory("usr/local"), directory("usr/local/bin"), directory("etc"), PASSWD])


def header(
    name: bytes = b"file",
    kind: bytes = b"0",
    *,
    size: bytes | int = 0,
    link: bytes = b"",
    mode: bytes = b"0000644\0",
    uid: bytes = b"0000000\0",
    mtime: bytes = b"00000000000\0",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """Return one header, of fields as they are given."""
    length = b"%011o\0" % size if isinstance(size, int) else size
    fields = (
        name.ljust(100, b"\0"), mode, uid, b"0000000\0", length, mtime, b" " * 8, kind, link.ljust(100, b"\0"),
        magic, bytes(64), b"0000000\0", b"0000000\0", prefix,
    )  # fmt: skip
    block = b"".join(fields).ljust(BLOCK, b"\0")
    assert len(block) == BLOCK
    return block[:148] + (b"%06o\0 " % sum(block) if checksum is None else checksum) + block[156:]


def padded(data: bytes) -> bytes:
    """Return data with the zeros that follow it."""
    return data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")


def extension(data: bytes, kind: bytes = b"x") -> bytes:
    """Return an extension header with its data."""
    return header(b"pax", kind, size=len(data)) + padded(data)


def record(key: bytes, value: bytes) -> bytes:
    """Return a PAX record."""
    length = len(key) + len(value) + 3
    total = length + len(str(length))
    total += len(str(total)) > len(str(length))
    return b"%d %b=%b\n" % (total, key, value)


def gzipped(pieces: Iterable[bytes]) -> bytes:
    """Return a stream of gzip, made without holding what it comes to."""
    compressor = zlib.compressobj(6, wbits=31)
    return b"".join([*(compressor.compress(piece) for piece in pieces), compressor.flush()])


def zstandard(pieces: Iterable[bytes]) -> bytes:
    """Return a stream of Zstandard, made without holding what it comes to."""
    compressor = zstd.ZstdCompressor(level=1)
    return b"".join([*(compressor.compress(piece) for piece in pieces), compressor.flush()])


def repeated(block: bytes, times: int) -> Iterator[bytes]:
    """Yield a block many times, many at once."""
    many = block * 1000
    for _ in range(times // 1000):
        yield many


def zeros(size: int) -> Iterator[bytes]:
    """Yield so many zeros."""
    return repeated(bytes(1 << 16), size >> 16)


def huge_file(size: int) -> Iterator[bytes]:
    """Yield an archive of one file of zeros."""
    yield header(b"zeros", size=size)
    yield from zeros(size)
    yield END


def many_links(count: int) -> bytes:
    """Return a file with many names."""
    second = b"".join(header(b"name-%d" % number, b"1", link=b"file") for number in range(count))
    return header() + second + END


def through_links(count: int, chain: int) -> bytes:
    """Return many files below the first of a chain of links."""
    links = b"".join(header(b"l%d" % number, b"2", link=b"l%d" % (number + 1)) for number in range(chain))
    return links + b"".join(header(b"l0/f%d" % number) for number in range(count)) + END


def deep_directories(count: int, depth: int) -> Iterator[bytes]:
    """Yield many files, each below directories of its own that have no entries."""
    for number in range(count):
        name = b"/".join([b"%d" % number, *[b"d"] * depth])
        yield extension(record(b"path", name)) + header()
    yield END


def many_members(count: int) -> bytes:
    """Return gzip in very many members, all but the last of nothing."""
    return gzip.compress(b"") * count + gzip.compress(GOOD)


def with_gzip_name(size: int) -> bytes:
    """Return gzip whose own header has a long name in it."""
    plain = gzip.compress(GOOD, mtime=0)
    return plain[:3] + b"\x08" + plain[4:10] + b"n" * size + b"\0" + plain[10:]


def long_links(count: int) -> bytes:
    """Return links that make a deep directory of shallow names."""
    step = b"/".join([b"d"] * 90)
    first = header(b"l0", b"2", link=step)
    more = (header(b"l%d" % number, b"2", link=b"l%d/" % (number - 1) + step[:40]) for number in range(1, count))
    return first + b"".join(more) + header(b"l%d/deep" % (count - 1)) + END


def truncated(size: int) -> bytes:
    """Return a file that says it has more bytes than there are."""
    return header(size=size) + bytes(BLOCK)


def sparse_by_pax() -> bytes:
    """Return a sparse file of the newer form, all hole."""
    records = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
    return extension(records + record(b"GNU.sparse.realsize", b"1099511627776")) + header() + END


def two_forms() -> bytes:
    """Return a header that old and new readers give different names."""
    return header(magic=b"ustar  \0", prefix=b"other/place") + END


TYPES = {"old sparse": tarfile.GNUTYPE_SPARSE, "contiguous": tarfile.CONTTYPE, "volume": b"V", "unknown": b"?"}
