"""[io] One process at a time changes a layout's index: by `flock`, or by a lock file where the file system has none.

`flock` ends with its process, however that ends. A lock file stays when its owner is killed; another process takes it
over when the owner was on this machine and is gone, or when the file is old.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from buildonce.errors import StoreError
from buildonce.store.streams import temporary_name, writing

_TIMEOUT = 60.0
_POLL = 0.02
_OLD = 600.0
"""Seconds after which a lock file is nobody's: what is done under it takes a second or two."""

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


class _Owner(msgspec.Struct, frozen=True):
    """The process that wrote a lock file; ``space`` is where its number means something."""

    pid: int
    host: str
    space: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@contextmanager
def locked(folder: Path, abandoned: threading.Event) -> Iterator[None]:
    """Hold the lock of a layout's folder against other threads and processes.

    Goes on without it when ``abandoned`` is set meanwhile. Raises `StoreError` when others hold it for too long.
    """
    path = folder / ".index.lock"
    with writing(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        deadline = time.monotonic() + _TIMEOUT
        while not abandoned.is_set():
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _wait(deadline, folder, "another process")
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise StoreError(f"cannot lock {path}: {error.strerror}") from error
                with _lock_file(folder, abandoned, deadline):
                    yield
                return
            else:
                break
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _lock_file(folder: Path, abandoned: threading.Event, deadline: float) -> Iterator[None]:
    path = folder / ".index.owner"
    mine = msgspec.json.encode(_Owner(pid=os.getpid(), host=platform.node(), space=_space()))
    while not abandoned.is_set():
        if _create(path, mine):
            break
        held = _read(path)
        if held is not None and _is_left(path, held):
            _take_away(path, held)
            continue
        _wait(deadline, folder, _owner(held or b""), path)
    try:
        yield
    finally:
        if _read(path) == mine:
            path.unlink(missing_ok=True)


def _create(path: Path, mine: bytes) -> bool:
    """Make the lock file with all of its content at once; say whether it was this process that made it."""
    fresh = temporary_name(path)
    with writing(path):
        fresh.write_bytes(mine)
        try:
            os.link(fresh, path)
        except FileExistsError:
            return False
        except OSError:  # no hard links either: the file is there a moment before its content
            return _create_empty(path, mine)
        finally:
            fresh.unlink(missing_ok=True)
    return True


def _create_empty(path: Path, mine: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(mine)
    except FileExistsError:
        return False
    return True


def _is_left(path: Path, held: bytes) -> bool:
    """Say whether the owner of a lock file is gone."""
    with suppress(msgspec.DecodeError):
        owner = msgspec.json.decode(held, type=_Owner)
        if owner.space == _space() and not _is_running(owner.pid):
            return True
    return _age(path) > _OLD


def _take_away(path: Path, held: bytes) -> None:
    """Remove a lock file that was left, unless it is another one by now."""
    aside = temporary_name(path)
    try:
        path.rename(aside)
    except OSError:
        return  # another process was faster
    if _read(aside) != held:
        with suppress(OSError):
            os.link(aside, path)
    aside.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """Return the seconds since a file was written, by the clock of its file system."""
    now = temporary_name(path)
    try:
        now.touch()
        return now.stat().st_mtime - path.stat().st_mtime
    except OSError:
        return 0.0
    finally:
        now.unlink(missing_ok=True)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _owner(held: bytes) -> str:
    try:
        return str(msgspec.json.decode(held, type=_Owner))
    except msgspec.DecodeError:
        return "another process"


def _space() -> str:
    """Return what tells this machine, since it was started, and its processes' numbers from all others."""
    parts = [platform.node()]
    for place in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with suppress(OSError):
            path = Path(place)
            parts.append(str(path.readlink()) if path.is_symlink() else path.read_text().strip())
    return " ".join(parts)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _wait(deadline: float, folder: Path, owner: str, path: Path | None = None) -> None:
    """Let some time pass; raise `StoreError` when there was enough of it."""
    if time.monotonic() > deadline:
        raise StoreError(
            f"oci:{folder} is being changed by {owner} for {_TIMEOUT:g} seconds",
            help=f"if that process is gone, remove {path} (this file system has no locks)" if path else None,
        )
    time.sleep(_POLL)
