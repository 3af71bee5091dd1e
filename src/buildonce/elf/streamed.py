"""[io] Files looked into while they stream by; one that may be run is kept until then, a large one on the disk."""

from __future__ import annotations

import tempfile
from typing import IO, Self

from buildonce.elf.reading import ReadAt, is_runnable, read_runnable
from buildonce.elf.values import Runnable

_IN_MEMORY = 8 << 20
_LARGEST = 4 << 30


class Streamed:
    """One file of ``size`` bytes, given in chunks of which the first has at least 256 bytes, if the file has them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._wanted = size <= _LARGEST
        self._first = b""
        self._rest: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._rest is not None:
            self._rest.close()

    def add(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if not self._wanted:
            return
        if not self._first:
            self._wanted = is_runnable(chunk)
            self._first = chunk if self._wanted else b""
            return
        if self._rest is None:
            self._rest = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  closed on exit
            self._rest.write(self._first)
        self._rest.write(chunk)

    def read(self) -> Runnable | None:
        """Return what the file is, if it can be run or loaded."""
        if not self._first:
            return None
        rest = self._rest
        return read_runnable(read_bytes(self._first) if rest is None else _read_file(rest), self._size)


def read_bytes(content: bytes) -> ReadAt:
    """Return what reads from ``content``."""
    return lambda offset, size: content[offset : offset + size]


def _read_file(file: IO[bytes]) -> ReadAt:
    def read(offset: int, size: int) -> bytes:
        file.seek(offset)
        return file.read(size)

    return read
