"""What every step of bringing the host up or down is given, and how two of them keep out of each other's way. [io]"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .folders import Folders
from .process import Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The folders of a host, a way to run commands, and a way to tell about it."""

    folders: Folders
    runner: Runner
    say: Callable[[str], None]


@contextmanager
def exclusive(context: Context) -> Iterator[None]:
    """Keep everybody else from changing the host meanwhile."""
    context.folders.root.mkdir(parents=True, exist_ok=True)
    handle = os.open(context.folders.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Commands inherit it: should this process be killed, the lock lasts until they have ended, too.
        os.set_inheritable(handle, True)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            context.say("waiting for another process that is changing the test host")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@dataclass(frozen=True, slots=True)
class Use:
    """A claim that the host is in use."""

    handle: int

    def is_last(self) -> bool:
        """Whether nobody else uses the host; from here on nobody may claim it while the claim is held."""
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def in_use(folders: Folders) -> Iterator[Use]:
    """Claim the host for as long as the context lasts."""
    folders.root.mkdir(parents=True, exist_ok=True)
    handle = os.open(folders.in_use, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield Use(handle)
    finally:
        os.close(handle)


def empty_scratch(folders: Folders) -> None:
    """Remove what an interrupted process left half-written; only under the lock."""
    shutil.rmtree(folders.scratch, ignore_errors=True)
    folders.scratch.mkdir(parents=True)


def complete(target: Path, write: Callable[[Path], None], folders: Folders) -> Path:
    """Have `write` make a folder elsewhere, and put it in place when it is complete."""
    if not target.exists():
        scratch = folders.scratch / target.name
        shutil.rmtree(scratch, ignore_errors=True)
        write(scratch)
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch.replace(target)
    return target
