"""What is known of a file that is run or loaded."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct


class Abi(Struct, frozen=True, array_like=True, omit_defaults=True):
    """What kind of machine code a file has.

    ``machine`` is ELF's number, ``bits`` 32 or 64, ``is_big`` says that the highest byte comes first. ``calls`` names
    the calling convention and ``floats`` how floating-point numbers are passed, where the file tells.
    """

    machine: int
    bits: int
    is_big: bool = False
    calls: str = ""
    floats: str = ""

    def works_with(self, other: Abi) -> bool:
        """Say whether code of both kinds can be in one process."""
        return (
            (self.machine, self.bits, self.is_big) == (other.machine, other.bits, other.is_big)
            and (not self.calls or not other.calls or self.calls == other.calls)
            and (not self.floats or not other.floats or self.floats == other.floats)
        )


class ElfKind(Enum):
    """What an ELF file is for."""

    PROGRAM = "program"
    LIBRARY = "library"


class Elf(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="elf"):
    """An ELF file: what it is, what it asks for, and what it offers.

    ``abi`` is None where not even that can be told. ``problem`` says why it cannot be run. A program without an
    ``interpreter`` is static. ``needed`` are names of libraries, ``rpath`` and ``runpath`` directories as they are
    written; ``versions_needed`` are symbol versions by the name of the library that must offer them, weak ones left
    out; ``versions`` are those that it offers itself. ``directories`` are where a loader looks by itself. ``level`` is
    the x86-64 level (1 to 4) that the processor must have.
    """

    abi: Abi | None = None
    kind: ElfKind = ElfKind.PROGRAM
    problem: str = ""
    interpreter: str | None = None
    soname: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    versions_needed: Mapping[str, tuple[str, ...]] = {}
    versions: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    level: int = 0


class Script(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="script"):
    """A file that begins with ``#!``: the program that runs it, and what stands after that in the line."""

    interpreter: str
    argument: str = ""


Runnable = Elf | Script
