"""Layers as blobs: [io] entries with their content in, a compressed archive in a file out."""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from buildonce.assemble.compression import Compression, checksum, open_compressor, open_part_compressor
from buildonce.assemble.entries import Entry, partial_path
from buildonce.assemble.parts import PART_SIZE, Part, Parts, changed, content_of, read_content, read_file
from buildonce.assemble.tarformat import END, padding, tar_headers
from buildonce.errors import DiskError
from buildonce.oci import Descriptor, Digest

_CHUNK = 1 << 20


class LayerBlob(Struct, frozen=True, kw_only=True):
    """A layer in a file: its descriptor (of the OCI family), the digest of its uncompressed bytes, and where it is."""

    descriptor: Descriptor
    diff_id: Digest
    path: Path


def write_layer(
    entries: Iterable[Entry],
    target: Path,
    *,
    compression: Compression = Compression.GZIP,
    parts: Parts | None = None,
) -> LayerBlob:
    """Write ``entries`` in their order as a layer to ``target``, in one pass; the same entries give the same bytes.

    Each regular file with a size must have ``content``. ``parts`` saves compressing a large file again that several
    layers have. ``target`` appears only when it is complete. Raises `DiskError` if it cannot be written,
    `AssemblyError` if content is missing or has another digest than its entry.
    """
    partial = partial_path(target)
    try:
        with partial.open("wb") as sink:
            written = _Written(sink, compression, parts)
            for header, entry in tar_headers(entries):
                written.write(header)
                if entry is not None:
                    written.write_file(entry)
                    written.write(padding(entry))
            written.write(END)
            written.finish()
        partial.replace(target)
    except OSError as error:
        raise _disk_error(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    descriptor = Descriptor(
        media_type=compression.media_type,
        digest=Digest(f"sha256:{written.compressed.hexdigest()}"),
        size=written.size,
    )
    return LayerBlob(descriptor=descriptor, diff_id=Digest(f"sha256:{written.plain.hexdigest()}"), path=target)


class _Written:
    def __init__(self, sink: BinaryIO, compression: Compression, parts: Parts | None) -> None:
        self.sink = sink
        self.compression = compression
        self.parts = parts
        self.compressor = open_compressor(compression)
        self.plain = hashlib.sha256()
        self.compressed = self.plain if compression is Compression.UNCOMPRESSED else hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self.plain.update(data)
        self.put(self.compressor.compress(data))

    def write_file(self, entry: Entry) -> None:
        if entry.size < PART_SIZE or self.compression is Compression.UNCOMPRESSED:
            for chunk in read_file(entry):
                self.write(chunk)
            return
        self.put(self.compressor.end_part())
        if self.parts is None or entry.digest is None:
            self.write_part(entry)
        else:
            self.copy_part(entry, self.parts.get(entry, self.compression))

    def write_part(self, entry: Entry) -> None:
        compressor = open_part_compressor(self.compression)
        for chunk in read_file(entry):
            self.pass_over(chunk)
            self.put(compressor.compress(chunk))
        self.put(compressor.end_part())

    def copy_part(self, entry: Entry, part: Part) -> None:
        crc = 0
        for chunk in read_content(content_of(entry)):
            self.pass_over(chunk)
            crc = checksum(chunk, crc)
        if crc != part.checksum:
            raise changed(entry)
        with part.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                self.put(chunk)

    def pass_over(self, data: bytes) -> None:
        self.plain.update(data)
        self.compressor.pass_over(data)

    def finish(self) -> None:
        self.put(self.compressor.flush())
        self.sink.flush()

    def put(self, data: bytes) -> None:
        if self.compressed is not self.plain:
            self.compressed.update(data)
        self.size += len(data)
        self.sink.write(data)


def _disk_error(target: Path, error: OSError) -> DiskError:
    help_text = "free some space and run again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
    return DiskError(f"`{target}` cannot be written: {error.strerror}", help=help_text)
