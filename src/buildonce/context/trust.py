"""[io] Which files are certainly unchanged while what the file system says of them is.

Every change of content also sets the time of change, which no program can set back. That needs care at these places:

* Clocks of file systems tick: every 4 to 10 ms on Linux, every second on an ext4 whose inodes are small. A file that
  changes twice in a tick has the same time both times. So a file is trusted only if its time of change was `MARGIN`
  older than the look at it.
* Memory-mapped writing does not always set the time: see `reading.Content.is_settled`.
* A crash can keep written bytes and lose the new time; devices get other numbers. So trust ends with the boot.
* When the clock was set, old times can come again. So trust ends then, too.
* FAT has no time of change, network file systems have another machine's clock, overlays change what is below them.
  So only those in `FILE_SYSTEMS` are trusted, and only on the device of the context's root.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from msgspec import Struct

from buildonce.context.identity import changed_at, device_of, pack_device

MARGIN = 2_000_000_000
"""Nanoseconds: twice the coarsest clock among `FILE_SYSTEMS`, which leaves a second for the kernel's own tick."""

FILE_SYSTEMS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs"})
"""Local file systems whose times of change are the kernel's, also for memory-mapped writing."""

_CLOCK_TOLERANCE = 1_000_000_000


class Era(Struct, frozen=True, kw_only=True):
    """The time during which the kernel's clock runs on: one boot, and how far the clock is ahead of the boot's own."""

    boot: bytes
    offset: int

    def lasts(self, other: Era) -> bool:
        """Say whether the clock has only run on between the two."""
        return self.boot == other.boot and abs(self.offset - other.offset) <= _CLOCK_TOLERANCE


class Trust(Struct, frozen=True, kw_only=True):
    """What makes the files on a device trustworthy: ``device`` as identities have it, and the present era."""

    device: bytes
    era: Era

    def covers(self, identity: bytes, seen: int) -> bool:
        """Say whether a file that had this identity at the time ``seen`` is unchanged while it has it.

        That holds if nobody had it open for writing then.
        """
        return device_of(identity) == self.device and changed_at(identity) + MARGIN <= seen

    def lasts(self) -> bool:
        """Say whether the era has not ended meanwhile."""
        now = read_era()
        return now is not None and self.era.lasts(now)


def find_trust(root: Path) -> Trust | None:
    """Return what makes the files below ``root`` trustworthy; None where nothing does."""
    era = read_era()
    device = trusted_device(root) if era is not None else None
    return Trust(device=device, era=era) if era is not None and device is not None else None


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
