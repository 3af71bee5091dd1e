"""ELF files for tests, of a few hundred bytes each: all that a loader looks at before it runs anything."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

EXECUTABLE, SHARED = 2, 3
X86_64, AARCH64, ARM, MIPS, PPC64, RISCV = 62, 183, 40, 8, 21, 243
STATIC_PIE = 0x08000000
LOADER = "/lib64/ld-linux-x86-64.so.2"
MUSL_LOADER = "/lib/ld-musl-x86_64.so.1"

_BASE = 0x10000


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What an ELF file says; by default an empty program for x86-64 that needs nothing."""

    machine: int = X86_64
    wide: bool = True
    big: bool = False
    kind: int = SHARED
    flags: int = 0
    interpreter: str | None = None
    soname: str = ""
    needed: Sequence[str] = ()
    rpath: str = ""
    runpath: str = ""
    flags_1: int = 0
    versions_needed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    weak: Sequence[str] = ()
    versions: Sequence[str] = ()
    level: int = 0
    mips_floats: int | None = None
    data: bytes = b""

    @property
    def order(self) -> str:
        return ">" if self.big else "<"


class _Strings:
    def __init__(self) -> None:
        self.content = b"\0"

    def add(self, text: str) -> int:
        at = len(self.content)
        self.content += text.encode() + b"\0"
        return at


def make_elf(**says: object) -> bytes:
    """Return an ELF file that says this; see `Made`."""
    return write_elf(Made(**says))  # type: ignore[arg-type]


def write_elf(made: Made) -> bytes:
    """Return the file's bytes."""
    strings = _Strings()
    order, wide = made.order, made.wide
    tags = [(1, strings.add(name)) for name in made.needed]
    tags += [(14, strings.add(made.soname))] if made.soname else []
    tags += [(15, strings.add(made.rpath))] if made.rpath else []
    tags += [(29, strings.add(made.runpath))] if made.runpath else []
    tags += [(0x6FFFFFFB, made.flags_1)] if made.flags_1 else []
    wants = _needs(made, strings)
    offers = _offers(made, strings)
    blocks = {"interp": (made.interpreter or "").encode() + b"\0", "note": _note(made), "mips": _mips(made)}
    types = {"interp": 3, "note": 0x6474E553, "mips": 0x70000003}
    shown = [name for name in types if (blocks[name] and name != "interp") or (name == "interp" and made.interpreter)]
    is_dynamic = bool(tags or wants or offers)
    count = 1 + len(shown) + is_dynamic
    at = (64 + 56 * count) if wide else (52 + 32 * count)
    body, places = b"", {}
    for name, content in (*((one, blocks[one]) for one in shown), ("wants", wants), ("offers", offers)):
        body += b"\0" * (-(at + len(body)) % 8)
        places[name] = (at + len(body), len(content))
        body += content
    places["strings"] = (at + len(body), len(strings.content))
    body += strings.content
    body += b"\0" * (-(at + len(body)) % 8)
    tags += [(0x6FFFFFFE, _BASE + places["wants"][0]), (0x6FFFFFFF, len(made.versions_needed))] if wants else []
    tags += [(0x6FFFFFFC, _BASE + places["offers"][0]), (0x6FFFFFFD, len(made.versions) + 1)] if offers else []
    tags += [(5, _BASE + places["strings"][0]), (10, len(strings.content)), (0, 0)]
    dynamic = b"".join(struct.pack(f"{order}{'QQ' if wide else 'II'}", *tag) for tag in tags) if is_dynamic else b""
    places["dynamic"] = (at + len(body), len(dynamic))
    body += dynamic + made.data
    segments = [(1, 0, at + len(body))]
    segments += [(types[name], *places[name]) for name in shown]
    segments += [(2, *places["dynamic"])] if is_dynamic else []
    return _header(made, count) + b"".join(_segment(made, *one) for one in segments) + body


def _header(made: Made, count: int) -> bytes:
    wide = made.wide
    ident = b"\x7fELF" + bytes((2 if wide else 1, 2 if made.big else 1, 1)) + bytes(9)
    numbers = (made.kind, made.machine, 1, _BASE, 64 if wide else 52, 0, made.flags)
    sizes = (64, 56, count, 0, 0, 0) if wide else (52, 32, count, 0, 0, 0)
    return ident + struct.pack(f"{made.order}HHI{'QQQ' if wide else 'III'}IHHHHHH", *numbers, *sizes)


def _segment(made: Made, kind: int, offset: int, size: int) -> bytes:
    if made.wide:
        return struct.pack(f"{made.order}IIQQQQQQ", kind, 5, offset, _BASE + offset, _BASE + offset, size, size, 8)
    return struct.pack(f"{made.order}8I", kind, offset, _BASE + offset, _BASE + offset, size, size, 5, 4)


def _needs(made: Made, strings: _Strings) -> bytes:
    out = b""
    files = list(made.versions_needed.items())
    for number, (name, versions) in enumerate(files):
        last = number == len(files) - 1
        step = 0 if last else 16 + 16 * len(versions)
        out += struct.pack(f"{made.order}HHIII", 1, len(versions), strings.add(name), 16, step)
        for index, version in enumerate(versions):
            following = 0 if index == len(versions) - 1 else 16
            flags = 2 if version in made.weak else 0
            out += struct.pack(f"{made.order}IHHII", 0, flags, index + 2, strings.add(version), following)
    return out


def _offers(made: Made, strings: _Strings) -> bytes:
    if not made.versions:
        return b""
    names = [made.soname, *made.versions]
    out = b""
    for number, name in enumerate(names):
        step = 0 if number == len(names) - 1 else 28
        out += struct.pack(f"{made.order}HHHHIII", 1, 0 if number else 1, number + 1, 1, 0, 20, step)
        out += struct.pack(f"{made.order}II", strings.add(name), 0)
    return out


def _note(made: Made) -> bytes:
    if not made.level:
        return b""
    feature = struct.pack("<III", 0xC0000002, 4, 3) + bytes(4)
    isa = struct.pack("<III", 0xC0008002, 4, (1 << made.level) - 1) + bytes(4)
    return struct.pack("<III", 4, len(feature + isa), 5) + b"GNU\0" + feature + isa


def _mips(made: Made) -> bytes:
    return b"" if made.mips_floats is None else bytes((0, 0, 64, 5, 2, 2, 0, made.mips_floats)) + bytes(16)
