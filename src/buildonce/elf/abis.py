"""What the machine's number and flags in an ELF header mean."""

from __future__ import annotations

from buildonce.elf.values import Abi

X86, MIPS, PPC, PPC64, S390, ARM, X86_64, AARCH64, RISCV, LOONGARCH = 3, 8, 20, 21, 22, 40, 62, 183, 243, 258

_NAMES = {
    2: "SPARC",
    X86: "x86",
    4: "68000",
    MIPS: "MIPS",
    15: "PA-RISC",
    PPC: "PowerPC",
    PPC64: "PowerPC",
    S390: "IBM Z",
    ARM: "Arm",
    42: "SuperH",
    43: "SPARC",
    50: "Itanium",
    X86_64: "x86-64",
    AARCH64: "Arm",
    RISCV: "RISC-V",
    LOONGARCH: "LoongArch",
    0x9026: "Alpha",
}
_RISCV_FLOATS = ("soft", "single", "double", "quad")
_LOONGARCH_FLOATS = {1: "soft", 2: "single", 3: "double"}
_MIPS_FLOATS = {1: "hard", 2: "single", 3: "soft", 5: "hard", 6: "hard", 7: "hard"}


def abi_of(machine: int, *, wide: bool, is_big: bool, flags: int, abi_flags: bytes) -> Abi:
    """Return the ABI that a header's fields mean; ``abi_flags`` is the content of a PT_MIPS_ABIFLAGS segment."""
    calls = floats = ""
    match machine:
        case 40:  # ARM: EF_ARM_ABI_FLOAT_HARD and _SOFT
            floats = "hard" if flags & 0x400 else "soft" if flags & 0x200 else ""
        case 8:  # MIPS: EF_MIPS_ABI2 is n32, the absence of everything in 64 bits is n64
            calls = "n64" if wide else "n32" if flags & 0x20 else "o32"
            floats = _MIPS_FLOATS.get(abi_flags[7], "") if len(abi_flags) >= 8 else ""
        case 21:  # PPC64: EF_PPC64_ABI, 0 where it does not matter
            calls = {1: "ELFv1", 2: "ELFv2"}.get(flags & 3, "")
        case 243:  # RISC-V: EF_RISCV_FLOAT_ABI
            floats = _RISCV_FLOATS[flags >> 1 & 3]
        case 258:  # LoongArch: EF_LOONGARCH_ABI_MODIFIER
            floats = _LOONGARCH_FLOATS.get(flags & 7, "")
        case _:
            pass
    return Abi(machine, 64 if wide else 32, is_big, calls, floats)


def name_abi(abi: Abi) -> str:
    """Return what to call it: ``64-bit Arm``, ``32-bit Arm, hard-float``."""
    name = _NAMES.get(abi.machine, f"machine {abi.machine}")
    order = " big-endian" if abi.is_big and abi.machine not in (S390, 2, 43) else ""
    order = " little-endian" if not abi.is_big and abi.machine in (MIPS, PPC64) else order
    marks = [abi.calls] if abi.calls else []
    marks += [f"{abi.floats}-float"] if abi.floats and abi.machine in (ARM, MIPS, RISCV, LOONGARCH) else []
    return ", ".join((f"{abi.bits}-bit{order} {name}", *marks))
