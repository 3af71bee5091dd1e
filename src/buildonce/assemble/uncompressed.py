"""[io] The uncompressed bytes of an archive: counted, hashed, and written to a file if one is named."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO, Self

from buildonce.assemble import limits
from buildonce.assemble.compression import Decompressed
from buildonce.assemble.entries import partial_path
from buildonce.errors import ArchiveError, DiskError
from buildonce.oci import Digest

_CHUNK = 1 << 20
_WORTH_HAVING = 512


class Uncompressed:
    """What is read of an archive, in pieces. ``path`` gets it all, unless it is the very file that is read."""

    def __init__(self, source: Decompressed, path: Path | None) -> None:
        self.source = source
        self.path = None if path is None or source.is_plain_file(path) else path
        self.partial = self.path and partial_path(self.path)
        self.sink: BinaryIO | None = None
        # What is not compressed is hashed once: as it was read.
        self.hash = None if source.is_plain and source.hashes else hashlib.sha256()
        self.size = 0
        self.ahead = b""
        self.position = 0

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

    @property
    def offset(self) -> int:
        """How many bytes were given out."""
        return self.size - len(self.ahead) + self.position

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer only at the end."""
        while len(self.ahead) - self.position < size and self.fill():
            pass
        data = self.ahead[self.position : self.position + size]
        self.position += len(data)
        return data

    def chunk(self, limit: int) -> bytes:
        """Return what is at hand, up to ``limit`` bytes, and at least 512 of them but at the end; none only there."""
        at_hand = len(self.ahead) - self.position
        return self.read(min(limit, max(at_hand, _WORTH_HAVING)))

    def fill(self) -> bool:
        """Have more bytes at hand; say whether there were any."""
        data = self.source.read(_CHUNK)
        if not data:
            return False
        rest = self.ahead[self.position :]
        self.ahead, self.position = rest + data if rest else data, 0
        self.size += len(data)
        if self.hash is not None:
            self.hash.update(data)
        if not self.source.is_plain and self.size > limits.EXPANDED + limits.RATIO * self.source.size():
            raise ArchiveError(
                f"a layer comes to more than {self.size} bytes from {self.source.size()} compressed ones"
            )
        if self.sink:
            try:
                self.sink.write(data)
            except OSError as error:
                raise DiskError(f"`{self.path}` cannot be written: {error.strerror}") from error
        return True

    def drain(self) -> None:
        self.ahead, self.position = b"", 0
        while self.fill():
            self.ahead = b""

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
