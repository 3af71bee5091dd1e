"""[io] The digests of files that were read before, for as long as the files are certainly unchanged.

A record says: the file with this device, inode, size, mode and these times has this digest. It is trusted whenever a
file has exactly this identity, because every change of content also sets the time of change, which no program can set
back. That needs care at these places:

* Clocks of file systems tick: every 4 to 10 ms on Linux, every second on an ext4 whose inodes are small. A file that
  changes twice in a tick has the same time both times. So a file becomes a record only if its time of change was
  `MARGIN` older than the look at it.
* Memory-mapped writing does not always set the time: see `reading.Content.is_settled`.
* A crash can keep written bytes and lose the new time; devices get other numbers. So records end with the boot.
* When the clock was set, old times can come again. So records end then, too.
* FAT has no time of change, network file systems have another machine's clock, overlays change what is below them.
  So only those in `FILE_SYSTEMS` are remembered, and only on the device of the context's root.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import struct
import time
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path

from msgspec import Struct

from buildonce.context.identity import SIZE, changed_at, device_of, pack_device

MARGIN = 2_000_000_000
"""Nanoseconds: twice the coarsest clock among `FILE_SYSTEMS`, which leaves a second for the kernel's own tick."""

FILE_SYSTEMS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs"})
"""Local file systems whose times of change are the kernel's, also for memory-mapped writing."""

_MAGIC = b"buildonce known files 1\n"
_ERA = struct.Struct("=36sq")
_RECORD = struct.Struct(f"{SIZE}s32s")
_CHECK = 32
_CLOCK_TOLERANCE = 1_000_000_000
_FEW_RECORDS = 50_000
_MOST_RECORDS = 1_000_000
_MOST_FILES = 64
_MOST_BYTES = 256 << 20
_PARTIAL = ".partial"


class Era(Struct, frozen=True, kw_only=True):
    """The time during which the kernel's clock runs on: one boot, and how far the clock is ahead of the boot's own."""

    boot: bytes
    offset: int

    def lasts(self, other: Era) -> bool:
        """Say whether the clock has only run on between the two."""
        return self.boot == other.boot and abs(self.offset - other.offset) <= _CLOCK_TOLERANCE


class KnownFiles:
    """What is known of the files below ``root``, kept in the file ``path``. Nothing is, where it would not be safe."""

    def __init__(self, path: Path | None = None, root: Path | None = None) -> None:
        self._path = path
        self._era = read_era() if path is not None else None
        self._device = trusted_device(root) if root is not None and self._era is not None else None
        self._records: dict[bytes, bytes] = {}
        self._is_changed = False
        if path is not None and self._era is not None and self._device is not None:
            self._records = _load(path, self._era)

    def find(self, identity: bytes) -> bytes | None:
        """Return the SHA-256 of the file with this identity, if it is known."""
        return self._records.get(identity)

    def learn(self, identity: bytes, digest: bytes, seen: int) -> None:
        """Take the digest of a file that had its identity from ``seen`` until it was read, unless that is too recent.

        ``seen`` is in nanoseconds since the epoch. The reading was settled (`reading.Content`).
        """
        if device_of(identity) == self._device and changed_at(identity) + MARGIN <= seen:
            self._records[identity] = digest
            self._is_changed = True

    def save(self, used: Iterable[bytes]) -> None:
        """Keep what is known for the next run, if that is new; where it cannot be written, the next run reads again.

        What is ``used`` comes first, and about as much of the rest is kept: other instructions may need it.
        Another process may save its own at the same time: one of the two is kept.
        """
        now = read_era()
        if self._path is None or not self._is_changed or self._era is None or now is None or not self._era.lasts(now):
            return
        present = {identity: self._records[identity] for identity in used if identity in self._records}
        limit = min(_MOST_RECORDS, max(_FEW_RECORDS, 2 * len(present)))
        newest_first = reversed(self._records.items())
        others = (record for record in newest_first if record[0] not in present)
        records = list(islice(chain(present.items(), others), limit))
        with contextlib.suppress(OSError):
            _write(self._path, _render(self._era, reversed(records)))
            _sweep(self._path.parent)
            self._is_changed = False


def known_files_path(folder: Path, root: Path) -> Path:
    """Return where in ``folder`` the files below ``root`` are remembered."""
    return folder / f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:40]}.files"


def read_era() -> Era | None:
    """Return the present era; None on a system that does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
        offset = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    except (OSError, AttributeError):
        return None
    return Era(boot=boot, offset=offset) if len(boot) == 36 else None


def trusted_device(root: Path) -> bytes | None:
    """Return the device of ``root``, as identities have it, if its file system is one of `FILE_SYSTEMS`."""
    try:
        place = os.fsencode(root.resolve(strict=True))
        device = root.stat().st_dev
        mounts = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return None
    kind, number = find_mount(mounts, place)
    # Each subvolume of btrfs has a device number that is not that of the mount.
    is_there = kind == "btrfs" or number == f"{os.major(device)}:{os.minor(device)}"
    return pack_device(device) if kind in FILE_SYSTEMS and is_there else None


def find_mount(mounts: bytes, place: bytes) -> tuple[str, str]:
    """Return the type and the device number of the file system at ``place``, by ``/proc/self/mountinfo``."""
    best, found = -1, ("", "")
    for line in mounts.splitlines():
        words, _, kind = line.partition(b" - ")
        fields = words.split(b" ")
        point = fields[4].decode("unicode_escape").encode("latin-1").rstrip(b"/")
        if len(point) >= best and (place == point or place.startswith(point + b"/")):
            best, found = len(point), (kind.split(b" ")[0].decode(), fields[2].decode())
    return found


def _render(era: Era, records: Iterable[tuple[bytes, bytes]]) -> bytes:
    body = b"".join([_MAGIC, _ERA.pack(era.boot, era.offset), *(part for record in records for part in record)])
    return body + hashlib.sha256(body).digest()


def _parse(content: bytes, era: Era) -> dict[bytes, bytes]:
    """Return the records; none if the content is damaged or from another era."""
    start = len(_MAGIC) + _ERA.size
    body = memoryview(content)[:-_CHECK]
    if len(body) < start or (len(body) - start) % _RECORD.size or body[: len(_MAGIC)] != _MAGIC:
        return {}
    boot, offset = _ERA.unpack_from(body, len(_MAGIC))
    if not Era(boot=boot, offset=offset).lasts(era) or hashlib.sha256(body).digest() != content[-_CHECK:]:
        return {}
    return dict(_RECORD.iter_unpack(body[start:]))


def _load(path: Path, era: Era) -> dict[bytes, bytes]:
    """Return the records of a file, if it is this user's and nobody else may write it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            state = os.fstat(descriptor)
            is_ours = state.st_uid == os.geteuid() and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if not is_ours or not stat.S_ISREG(state.st_mode) or state.st_size > _MOST_BYTES:
                return {}
            return _parse(file.read(), era)
    except OSError:
        return {}


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
        if number > _MOST_FILES or total > _MOST_BYTES:
            Path(path).unlink(missing_ok=True)
