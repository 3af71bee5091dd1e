"""[io] Files that are kept from one run to the next, for as long as an era lasts (`trust`).

Nothing is believed that is damaged, from another era, or could have been written by another user.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import struct
from collections.abc import Callable
from pathlib import Path

from buildonce.context.trust import Era, Trust

MOST_BYTES = 256 << 20
_MOST_FILES = 256
_ERA = struct.Struct("=36sq")
_CHECK = 32
_PARTIAL = ".partial"


def load_kept(path: Path, magic: bytes, trust: Trust) -> bytes:
    """Return what was kept in a file under this ``magic``; nothing if there is none that can be believed."""
    try:
        content = _read(path)
    except OSError:
        return b""
    start = len(magic) + _ERA.size
    if len(content) < start + _CHECK or not content.startswith(magic):
        return b""
    boot, offset = _ERA.unpack_from(content, len(magic))
    body = memoryview(content)[:-_CHECK]
    if not Era(boot=boot, offset=offset).lasts(trust.era) or hashlib.sha256(body).digest() != content[-_CHECK:]:
        return b""
    return bytes(body[start:])


def keep(path: Path, magic: bytes, trust: Trust, make: Callable[[], bytes]) -> bool:
    """Keep what ``make`` returns in a file for the next run, if the era lasts; say whether that was possible.

    Where it cannot be written, the next run does without. Another process may write its own at the same time: one of
    the two is kept.
    """
    if not trust.lasts():
        return False
    body = b"".join([magic, _ERA.pack(trust.era.boot, trust.era.offset), make()])
    with contextlib.suppress(OSError):
        _write(path, body + hashlib.sha256(body).digest())
        _sweep(path.parent)
        return True
    return False


def _read(path: Path) -> bytes:
    """Return a file's content, if it is this user's and nobody else may write it; else nothing."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        state = os.fstat(descriptor)
        is_ours = state.st_uid == os.geteuid() and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        is_usable = is_ours and stat.S_ISREG(state.st_mode) and state.st_size <= MOST_BYTES
        return file.read() if is_usable else b""


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{secrets.token_hex(8)}{_PARTIAL}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sweep(folder: Path) -> None:
    """Keep the newest files, up to a number and a size; what a killed process left behind goes with the old ones."""
    with os.scandir(folder) as found:
        files = [(one.stat(follow_symlinks=False), one.path) for one in found]
    files.sort(key=lambda one: one[0].st_mtime_ns, reverse=True)
    total = 0
    for number, (state, path) in enumerate(files, start=1):
        total += state.st_size
        if number > _MOST_FILES or total > MOST_BYTES:
            Path(path).unlink(missing_ok=True)
