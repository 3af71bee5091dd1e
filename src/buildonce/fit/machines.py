"""What a platform runs."""

from __future__ import annotations

from buildonce.elf.abis import AARCH64, ARM, LOONGARCH, MIPS, PPC64, RISCV, S390, X86, X86_64
from buildonce.elf.values import Abi
from buildonce.oci import Platform

_NATIVE = {
    "386": Abi(X86, 32),
    "amd64": Abi(X86_64, 64),
    "arm": Abi(ARM, 32),
    "arm64": Abi(AARCH64, 64),
    "loong64": Abi(LOONGARCH, 64),
    "mips": Abi(MIPS, 32, is_big=True),
    "mips64": Abi(MIPS, 64, is_big=True),
    "mips64le": Abi(MIPS, 64),
    "mipsle": Abi(MIPS, 32),
    "ppc64": Abi(PPC64, 64, is_big=True),
    "ppc64le": Abi(PPC64, 64, calls="ELFv2"),
    "riscv64": Abi(RISCV, 64),
    "s390x": Abi(S390, 64, is_big=True),
}
"""The architectures of Go that images are made for."""

_ALSO = {
    "amd64": (Abi(X86, 32), Abi(X86_64, 32)),
    "mips64": (Abi(MIPS, 32, is_big=True),),
    "mips64le": (Abi(MIPS, 32),),
}
"""What every machine of an architecture runs besides: 32-bit programs, if their libraries are there."""

_PERHAPS = {"arm64": (Abi(ARM, 32),)}
"""What many machines of an architecture run besides, and many do not."""


def native_abi(platform: Platform) -> Abi | None:
    """Return the machine code that a platform is for; None for a platform that is not known."""
    return _NATIVE.get(platform.architecture) if platform.os == "linux" else None


def runs_on(abi: Abi, platform: Platform) -> bool | None:
    """Say whether a platform runs such code; None if only some of its machines do."""
    native = native_abi(platform)
    if native is None or abi.works_with(native):
        return True
    if any(abi.works_with(other) for other in _ALSO.get(platform.architecture, ())):
        return True
    return None if any(abi.works_with(other) for other in _PERHAPS.get(platform.architecture, ())) else False


def x86_level_of(platform: Platform) -> int:
    """Return the x86-64 level that a platform promises."""
    variant = platform.variant
    return int(variant[1:]) if variant[:1] == "v" and variant[1:].isdecimal() else 1
