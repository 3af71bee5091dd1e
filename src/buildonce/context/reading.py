"""[io] The bytes of a context's files, hashed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from msgspec import Struct

from buildonce.context.identity import identify
from buildonce.context.listings import unreadable
from buildonce.context.tree import Entry, Tree

_CHUNK = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_THREADS = min(8, 2 * (os.cpu_count() or 1))
_LARGE = 1 << 18


class Content(Struct, frozen=True, gc=False):
    """What is in a file.

    ``is_settled`` says that the file was as its entry says from before the reading to its end, and that nobody had it
    open for writing when the reading began, so that whoever changes it later also changes its time of change.
    """

    digest: bytes
    size: int
    capability: bytes | None
    is_settled: bool


def read_contents(tree: Tree, entries: Iterable[Entry]) -> Iterator[tuple[Entry, Content]]:
    """Yield each file with its content, in any order. Raises `ContextError` for one that cannot be read.

    Only large files go to threads. A small one is read and hashed by many short calls, each of which gives the
    interpreter's lock away and has to wait for it again: with several threads this takes longer than with one.
    """
    small: list[Entry] = []
    with ThreadPoolExecutor(max_workers=_THREADS) as threads:
        large: list[tuple[Entry, Future[Content]]] = []
        for entry in entries:
            if entry.size < _LARGE:
                small.append(entry)
            else:
                large.append((entry, threads.submit(_read, tree, entry)))
        try:
            for entry in small:
                yield entry, _read(tree, entry)
            for entry, content in large:
                yield entry, content.result()
        finally:
            threads.shutdown(cancel_futures=True)


def _read(tree: Tree, entry: Entry) -> Content:
    try:
        file = os.open(tree.listings.place(entry.path), _OPEN)
        try:
            has_writer = _has_writer(file)
            total, size = hashlib.sha256(), 0
            expected = min(entry.size + 1, _CHUNK)
            while chunk := os.read(file, expected):
                total.update(chunk)
                size += len(chunk)
            capability = _capability(file)
            is_same = identify(os.fstat(file)) == entry.identity and size == entry.size
        finally:
            os.close(file)
    except OSError as error:
        raise unreadable(entry.path, error) from error
    return Content(total.digest(), size, capability, is_same and not has_writer)


def _has_writer(file: int) -> bool:
    """Say whether anyone has a file open for writing, or may have.

    Writing through a memory mapping changes a file's times only now and then: not while the page waits to be written to
    the disk. The kernel gives a read lease only on a file that nobody has open for writing or mapped so.
    """
    try:
        # A writer that comes in between waits a moment, and we are sent a signal: one that does nothing by default.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except (OSError, AttributeError):
        return True
    return False


def _capability(file: int) -> bytes | None:
    """Return the file's capabilities as Linux stores them, where there are any."""
    try:
        return os.getxattr(file, "security.capability")
    except (OSError, AttributeError):
        return None
