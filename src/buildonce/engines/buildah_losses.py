"""[io] What Buildah may have lost of a failed command's output, and why.

Under chroot isolation it ends as soon as the command has, and what was on its way then is lost (chroot/run_common.go).
That is rare, but for a machine on which reading its null device does not end: Buildah is busy with that, as it gives
/dev/null to each command as its standard input (tried with 1.43, and /dev/zero in that place).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from buildonce.engines.last_lines import LastLines
from buildonce.engines.listening import is_buildah_own

_NULL = Path(os.devnull)
_NUMBERS = (1, 3)
"""Major and minor of the null device (Linux, admin-guide/devices.txt)."""

_LOST = "Buildah does not wait for what a command says last: where the reason is missing above, it was lost"


def notes_on_losses(last: LastLines) -> tuple[str, ...]:
    """Return what to note of a failed build; nothing where the command that failed was heard."""
    problem = null_problem()
    lost = _LOST if problem or last.dropped or is_silent(last.lines) else ""
    return tuple(filter(None, (problem, lost)))


def is_silent(lines: Sequence[str]) -> bool:
    """Say whether nothing is there of the command that failed; some say nothing."""
    if not any(line.startswith('Error: building at STEP "RUN') for line in lines[-1:]):
        return False
    said = [line for line in lines[:-1] if not line.startswith("subprocess exited ")]
    return not said or is_buildah_own(said[-1])


def null_problem(path: Path = _NULL) -> str:
    """Return what is wrong with the null device; nothing where it is one."""
    try:
        found = path.stat()
    except OSError as error:
        return f"{path} cannot be looked at: {error.strerror}"
    if not stat.S_ISCHR(found.st_mode):
        return f"{path} is no device, but a file of {found.st_size} bytes"
    numbers = os.major(found.st_rdev), os.minor(found.st_rdev)
    return "" if numbers == _NUMBERS else f"{path} is another device: {numbers[0]}, {numbers[1]} instead of 1, 3"
