"""A process that kills itself at its n-th operation on some folders: before it, or half-way through a write."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

_OPERATIONS = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "os.utime"})
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Strike(msgspec.Struct, frozen=True, kw_only=True):
    """Where a process dies: at operation number ``at`` (from 1; at none if 0) on files below ``folders``.

    ``log`` gets a line for each operation of a process that lives.
    """

    folders: tuple[str, ...]
    at: int
    log: str

    def arm(self) -> None:
        """Count from now on, in this process."""
        _process.counter = _Counter(self)
        _process.install()

    def disarm(self) -> None:
        """Stop, and write the log."""
        counter, _process.counter = _process.counter, None
        assert counter is not None
        Path(self.log).write_text("".join(f"{line}\n" for line in counter.seen))


class _Counter:
    def __init__(self, strike: Strike) -> None:
        self._strike = strike
        self._lock = threading.RLock()
        self.seen: list[str] = []

    def is_meant(self, path: object) -> bool:
        text = os.fspath(path) if isinstance(path, str | bytes | os.PathLike) else ""
        text = os.fsdecode(text)
        return any(text.startswith(folder) for folder in self._strike.folders)

    def note(self, what: str, path: object) -> bool:
        """Count an operation; say whether it is the one."""
        with self._lock:
            self.seen.append(f"{what} {path}")
            return len(self.seen) == self._strike.at


class _Process:
    """What counts in this process. There is no way back from an audit hook, so it is installed once."""

    def __init__(self) -> None:
        self.counter: _Counter | None = None
        self._is_installed = False

    def install(self) -> None:
        """Be told of all that is done to files."""
        if not self._is_installed:
            self._is_installed = True
            sys.addaudithook(_hook)
            _count_syncs()
            _count_writes()


_process = _Process()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    counter = _process.counter
    if counter is None:
        return
    if event == "open":
        path, _, flags = arguments
        meant = isinstance(flags, int) and flags & _WRITING and counter.is_meant(path)
    elif event == "fcntl.flock":
        path = _path_of(arguments[0])
        meant = counter.is_meant(path)
    else:
        path = arguments[0] if event in _OPERATIONS else ""
        meant = bool(path) and counter.is_meant(path)
    if meant and counter.note(event, path):
        _die()


def _count_syncs() -> None:
    fsync = os.fsync

    def counted(descriptor: int) -> None:
        counter, path = _process.counter, _path_of(descriptor)
        if counter is not None and counter.is_meant(path) and counter.note("fsync", path):
            _die()
        fsync(descriptor)

    os.fsync = counted  # type: ignore[assignment]


def _count_writes() -> None:
    from buildonce.store import streams

    temporary = streams._temporary

    @contextmanager
    def counted(target: Path) -> Iterator[tuple[Path, IO[bytes]]]:
        with temporary(target) as (path, file):
            yield path, _Halving(file, path)  # type: ignore[misc]

    streams._temporary = counted


class _Halving:
    """A file whose process may die when a write is half done."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file = file
        self._path = path

    def write(self, content: bytes) -> int:
        counter = _process.counter
        if counter is not None and counter.is_meant(self._path) and counter.note("write", self._path):
            self._file.write(content[: len(content) // 2])
            self._file.flush()
            _die()
        return self._file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _path_of(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115  a path of bytes as it is
    except OSError:
        return ""
