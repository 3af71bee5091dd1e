"""[io] Large files of layers, compressed once and used in every layer that holds them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from buildonce.assemble.compression import Compression, checksum, open_part_compressor
from buildonce.assemble.entries import Content, Entry, partial_path
from buildonce.errors import AssemblyError
from buildonce.oci import Digest

PART_SIZE = 1 << 20
"""From this size on, in bytes, a file is compressed by itself; it decides the bytes of layers."""

_CHUNK = 1 << 20


class Part(Struct, frozen=True, kw_only=True):
    """A file's compressed form, in a file of its own, and the CRC-32 of the bytes that it was made from."""

    path: Path
    checksum: int


class Parts:
    """The parts that one run has made, in a folder. Any thread may ask; each part is made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: dict[tuple[Digest | None, Compression], Part] = {}
        self._turns: dict[tuple[Digest | None, Compression], threading.Lock] = {}

    def get(self, entry: Entry, compression: Compression) -> Part:
        """Return the compressed form of a file that has a digest. Raises `AssemblyError` like `read_file`."""
        key = (entry.digest, compression)
        with self._turns.setdefault(key, threading.Lock()):
            if key not in self._parts:
                name = f"part-{str(entry.digest).partition(':')[2]}.{compression.value}"
                self._parts[key] = _make(entry, compression, self._folder / name)
            return self._parts[key]


def read_file(entry: Entry) -> Iterator[bytes]:
    """Yield a file's bytes; raise `AssemblyError` if they are not there, or not those that it should have."""
    hashed = hashlib.sha256()
    for chunk in read_content(content_of(entry)):
        hashed.update(chunk)
        yield chunk
    if entry.digest is not None and entry.digest != f"sha256:{hashed.hexdigest()}":
        raise changed(entry)


def read_content(content: Content) -> Iterator[bytes]:
    """Yield the bytes of ``content``; raise `AssemblyError` if they are not there."""
    try:
        with content.path.open("rb") as file:
            file.seek(content.offset)
            left = content.size
            while left:
                chunk = file.read(min(_CHUNK, left))
                if not chunk:
                    raise AssemblyError(f"`{content.path}` ends {left} bytes before the end of a file in it")
                left -= len(chunk)
                yield chunk
    except OSError as error:
        raise AssemblyError(f"`{content.path}` cannot be read: {error.strerror}") from error


def content_of(entry: Entry) -> Content:
    """Return where a file's bytes are; raise `AssemblyError` if that is not known."""
    if entry.content is None or entry.content.size != entry.size:
        raise AssemblyError(f"the content of `{entry.path}` is not at hand")
    return entry.content


def changed(entry: Entry) -> AssemblyError:
    """Return the error that it is when a file has other bytes than before."""
    return AssemblyError(f"`{entry.path}` changed while it was copied into a layer")


def _make(entry: Entry, compression: Compression, target: Path) -> Part:
    compressor = open_part_compressor(compression)
    crc = 0
    partial = partial_path(target)
    try:
        with partial.open("wb") as sink:
            for chunk in read_file(entry):
                crc = checksum(chunk, crc)
                sink.write(compressor.compress(chunk))
            sink.write(compressor.end_part())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return Part(path=target, checksum=crc)
