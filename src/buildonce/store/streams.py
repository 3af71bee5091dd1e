"""[io] Blobs as streams of chunks: from bytes, from files, into files, always checked against digest and size."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

from buildonce.errors import DigestMismatch, DiskError, IntegrityError, StoreError
from buildonce.oci import Descriptor, MediaType, digest_of
from buildonce.reference import Repository
from buildonce.store.protocol import Blob

CHUNK = 1024 * 1024
"""Bytes read, sent or hashed at a time."""

_WORTH_A_THREAD = 512 * 1024
TEMPORARY = ".partial"
"""How the name of a file ends while it is written."""


class Verifier:
    """The running digest and size of a stream that must become ``descriptor``; ``where`` names it in messages."""

    def __init__(self, descriptor: Descriptor, where: str) -> None:
        self.descriptor = descriptor
        self.received = 0
        self._where = where
        self._hash = hashlib.new(descriptor.digest.partition(":")[0])

    def update(self, chunk: bytes) -> None:
        """Take the next bytes. Raises `IntegrityError` as soon as there are more than there should be."""
        self.received += len(chunk)
        if self.received > self.descriptor.size:
            raise IntegrityError(f"{self._where} has more than the {self.descriptor.size} bytes that it should have")
        self._hash.update(chunk)

    async def feed(self, chunk: bytes) -> None:
        """Take the next bytes, in a thread if they are many."""
        if len(chunk) >= _WORTH_A_THREAD:
            await asyncio.to_thread(self.update, chunk)
        else:
            self.update(chunk)

    def finish(self) -> None:
        """Raise `IntegrityError` unless exactly the right bytes were taken: `DigestMismatch` if only the number is."""
        if self.received != self.descriptor.size:
            raise IntegrityError(f"{self._where} has {self.received} bytes instead of {self.descriptor.size}")
        found = self._hash.hexdigest()
        if found != self.descriptor.digest.partition(":")[2]:
            raise DigestMismatch(f"{self._where} has other content: its digest is {self._hash.name}:{found}")


async def verified(chunks: AsyncIterator[bytes], descriptor: Descriptor, where: str) -> AsyncIterator[bytes]:
    """Pass ``chunks`` on; raise `IntegrityError` when they are not what ``descriptor`` says."""
    verifier = Verifier(descriptor, where)
    async for chunk in chunks:
        await verifier.feed(chunk)
        yield chunk
    verifier.finish()


async def skipping(chunks: AsyncIterator[bytes], count: int) -> AsyncIterator[bytes]:
    """Pass ``chunks`` on without the first ``count`` bytes."""
    async for chunk in chunks:
        if len(chunk) > count:
            yield chunk[count:]
        count = max(0, count - len(chunk))


async def bytes_chunks(content: bytes) -> AsyncIterator[bytes]:
    """Stream ``content`` in chunks."""
    view = memoryview(content)
    for start in range(0, len(content), CHUNK):
        yield bytes(view[start : start + CHUNK])


def open_file(path: Path, *, within: Path | None = None) -> BinaryIO:
    """Open a regular file to read; with ``within`` no symbolic link below that folder is followed.

    Raises `OSError`, also for what is no regular file: a pipe would keep its reader waiting for ever.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    descriptor = os.open(path, flags) if within is None else _open_below(within, path.relative_to(within), flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def _open_below(folder: Path, path: Path, flags: int) -> int:
    current = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    for number, name in enumerate(path.parts, 1):
        kind = flags if number == len(path.parts) else os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY
        try:
            below = os.open(name, kind | os.O_NOFOLLOW, dir_fd=current)
        finally:
            os.close(current)
        current = below
    return current


async def file_chunks(path: Path, *, within: Path | None = None) -> AsyncIterator[bytes]:
    """Stream a file in chunks; see `open_file`. Raises `StoreError` when it cannot be read."""
    try:
        with open_file(path, within=within) as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def blob_of_bytes(content: bytes, media_type: MediaType, *, origins: tuple[Repository, ...] = ()) -> Blob:
    """Return ``content`` as a blob to put into a store."""
    descriptor = Descriptor(media_type=media_type, digest=digest_of(content), size=len(content))
    return Blob(descriptor=descriptor, open=lambda: bytes_chunks(content), origins=origins)


def blob_of_file(path: Path, descriptor: Descriptor, *, origins: tuple[Repository, ...] = ()) -> Blob:
    """Return the file ``path``, which holds what ``descriptor`` says, as a blob to put into a store."""
    return Blob(descriptor=descriptor, open=lambda: file_chunks(path), origins=origins)


async def place(target: Path, chunks: AsyncIterator[bytes], verifier: Verifier, *, durable: bool = False) -> None:
    """Write ``chunks`` to ``target``, which appears complete and checked or not at all; on the disk if ``durable``.

    Raises `IntegrityError` when the bytes are wrong and `DiskError` when they cannot be written. The parent folder
    must exist. Failure and cancellation remove what was written.
    """
    with _temporary(target) as (path, file):
        async for chunk in chunks:
            with writing(target):
                if len(chunk) >= _WORTH_A_THREAD:
                    await asyncio.to_thread(_absorb, file, verifier, chunk)
                else:
                    _absorb(file, verifier, chunk)
        verifier.finish()
        with writing(target):
            if durable:
                await asyncio.to_thread(_flush_to_disk, file)
            file.close()
            path.replace(target)


def place_bytes(target: Path, content: bytes, *, durable: bool = False) -> None:
    """Write ``content`` to ``target`` in one step, on the disk first if ``durable``. Raises `DiskError`.

    The name is on the disk when the parent folder is; see `sync`.
    """
    with _temporary(target) as (path, file), writing(target):
        file.write(content)
        if durable:
            _flush_to_disk(file)
        file.close()
        path.replace(target)


def temporary_name(target: Path) -> Path:
    """Return a fresh name beside ``target``."""
    return target.with_name(f".{target.name[:16]}.{secrets.token_hex(6)}{TEMPORARY}")


def sync(path: Path) -> None:
    """Have a file or folder on the disk before anything refers to it; some file systems do not do that for folders."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


_HELP = {
    errno.ENOSPC: "free some space there and run again: what was finished is kept",
    errno.EDQUOT: "the quota is used up: free some space there and run again",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
}


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn failures of the operating system while ``target`` is written into `DiskError`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DiskError(f"cannot write {target}: {reason}", help=_HELP.get(error.errno or 0)) from error


@contextmanager
def _temporary(target: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    path = temporary_name(target)
    with writing(target):
        file = path.open("xb")
    try:
        yield path, file
    finally:
        # Closing waits for a write that a cancelled caller left running in a thread.
        with suppress(OSError):
            file.close()
        path.unlink(missing_ok=True)


def _flush_to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _absorb(file: IO[bytes], verifier: Verifier, chunk: bytes) -> None:
    verifier.update(chunk)
    file.write(chunk)
