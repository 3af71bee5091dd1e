"""Programs of the other architecture, run through QEMU by the kernel. [io]"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .errors import HostError
from .process import Runner, demand

MOUNT_POINT = Path("/proc/sys/fs/binfmt_misc")

EMULATORS = {"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static"}

# What an ELF file of the architecture begins with, and which bits of that count (any ABI, any kind but relocatable).
_MACHINES = {"amd64": r"\x3e\x00", "arm64": r"\xb7\x00"}
_START = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


def render_registration(name: str, architecture: str, emulator: Path) -> str:
    """Return the line that registers an emulator with the kernel.

    O: the kernel opens the program itself; C: with the program's credentials; F: the emulator is opened now, so that
    it serves in containers that do not have it.
    """
    return f":{name}:M::{_START}{_MACHINES[architecture]}:{_MASK}:{emulator}:OCF"


def serves(entry: str, architecture: str) -> bool:
    """Whether a registration, as the kernel prints it, runs the architecture's programs in containers too."""
    lines = entry.split("\n")
    fields = dict(line.partition(" ")[::2] for line in lines)
    magic = (_START + _MACHINES[architecture]).replace(r"\x7fELF", "7f454c46").replace(r"\x", "")
    return "enabled" in lines and "F" in fields.get("flags:", "") and fields.get("magic", "") == magic


def read_entries(mount_point: Path = MOUNT_POINT) -> dict[str, str]:
    """Return the kernel's registrations, if it shows any."""
    control = {"register", "status"}
    if not mount_point.is_dir():
        return {}
    return {path.name: path.read_text() for path in mount_point.iterdir() if path.name not in control}


def serving_entry(entries: Mapping[str, str], architecture: str, own: str) -> str | None:
    """Return who serves the architecture: our own entry, or another's; another test host's may vanish any time."""
    names = [name for name in entries if name == own or not name.startswith("buildonce-")]
    return next((name for name in sorted(names) if serves(entries[name], architecture)), None)


def ensure(name: str, architecture: str, emulator: Path, runner: Runner) -> str:
    """Have the architecture served, and return by which entry."""
    if not (MOUNT_POINT / "register").exists():
        demand(
            runner,
            ["mount", "-t", "binfmt_misc", "binfmt_misc", str(MOUNT_POINT)],
            what="the kernel's binfmt_misc cannot be mounted",
            advice="emulation of the other platform needs a kernel with binfmt_misc, and the right to mount it",
        )
    found = serving_entry(read_entries(), architecture, name)
    if found is not None:
        return found
    remove(name)
    try:
        (MOUNT_POINT / "register").write_text(render_registration(name, architecture, emulator))
    except OSError as error:
        raise HostError(f"the kernel refuses {emulator} as emulator", detail=str(error)) from error
    return name


def remove(name: str) -> bool:
    """Take our own registration back; False if there is none."""
    entry = MOUNT_POINT / name
    if not entry.exists():
        return False
    entry.write_text("-1")
    return True
