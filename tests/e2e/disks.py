"""[io] Disks of a given size, to fill."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def growing_disk() -> Iterator[Callable[[int], Path]]:
    """Give what returns a disk of some MiB, and makes it larger when it is asked again.

    It is not below pytest's own folders: these are cleared by later sessions, which fail where something is mounted,
    and a session that is killed leaves its disk behind.
    """
    disk = Path(tempfile.mkdtemp(prefix="buildonce-disk-"))
    root = () if os.geteuid() == 0 else ("sudo", "--non-interactive")

    def sized(size: int) -> Path:
        mounted = os.path.ismount(disk)
        options = f"size={size}m,mode=1777" + (",remount" if mounted else "")
        subprocess.run([*root, "mount", "-t", "tmpfs", "-o", options, "none", disk], check=True)
        return disk

    try:
        yield sized
    finally:
        if os.path.ismount(disk):
            subprocess.run([*root, "umount", "--lazy", disk], check=True)
        disk.rmdir()
