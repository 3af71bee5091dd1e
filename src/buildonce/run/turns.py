"""[io] Turns: of the runs that share a folder, one compiles a core while the others wait for it.

A turn ends with its process, however that ends. On file systems without locks nobody waits: then two runs may compile
the same core, which costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

_POLL = 0.2
_OLD = 7 * 24 * 3600.0
"""Seconds after which the file of a turn that nobody took goes away."""


class Turn:
    """The turn to do one thing that is named ``name``; it is taken at most once."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.turn"
        self._before = self._number()
        self._file: int | None = None

    def try_take(self) -> bool:
        """Take the turn, unless another run has it."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _sweep(self._path.parent)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except OSError:
            os.close(file)
            return True
        self._file = file
        return True

    async def wait(self) -> None:
        """Take the turn when no other run has it."""
        while not self.try_take():  # noqa: ASYNC110  another process has no event to wait for
            await asyncio.sleep(_POLL)

    def is_late(self) -> bool:
        """Say whether another run's turn ended since this object was made: what it did was not to be seen then."""
        return self._number() != self._before

    def end(self) -> None:
        """Let others have their turn."""
        if self._file is not None:
            with suppress(OSError):
                os.pwrite(self._file, b"%d" % (self._number() + 1), 0)
            os.close(self._file)
            self._file = None

    def _number(self) -> int:
        """Return how many turns have ended."""
        try:
            return int(self._path.read_bytes())
        except (OSError, ValueError):
            return 0


def _sweep(folder: Path) -> None:
    """Remove the files of turns that nobody took for long. One that is taken just now is then taken twice."""
    horizon = time.time() - _OLD
    for path in folder.glob("*.turn"):
        with suppress(OSError):
            if path.stat().st_mtime < horizon:
                path.unlink()
