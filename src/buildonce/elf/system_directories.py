"""The directories that glibc's loader looks into by itself: each distribution has its own, compiled in."""

from __future__ import annotations

import re
from collections.abc import Callable

_LARGEST = 8 << 20
_RUN = re.compile(rb"(?:/[\x21-\x7e]{1,200}/\0)+")


def system_directories(read: Callable[[int, int], bytes], size: int) -> tuple[str, ...]:
    """Return the directories in a loader's own bytes (glibc's ``system_dirs``: each ends with a slash and a zero)."""
    if size > _LARGEST:
        return ()
    runs = [run.group() for run in _RUN.finditer(read(0, size))]
    likely = [run for run in runs if b"/lib" in run]
    best = max(likely, key=lambda run: run.count(b"\0"), default=b"")
    return tuple(dict.fromkeys(part.decode("ascii").rstrip("/") for part in best.split(b"\0") if part))
