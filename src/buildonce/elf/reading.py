"""ELF files and scripts read from bytes: in bounded time and memory, whatever the bytes are.

A file is read where its program headers say, as the kernel and a loader read it; sections do not count. What
glibc's elf/dl-load.c and dl-version.c and Linux's fs/binfmt_elf.c and binfmt_script.c make of it is what counts here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from msgspec import Struct

from buildonce.elf.abis import X86_64, abi_of
from buildonce.elf.properties import x86_level
from buildonce.elf.system_directories import system_directories
from buildonce.elf.values import Abi, Elf, ElfKind, Runnable, Script
from buildonce.elf.versions import versions_needed, versions_offered

ReadAt = Callable[[int, int], bytes]
"""Gives bytes of a file: from an offset, so many, fewer at its end."""

MAGIC = b"\x7fELF"
_LINE_LIMIT = 256  # Linux, BINPRM_BUF_SIZE
_NAME_LIMIT = 4096
_HEADERS_LIMIT = 65536  # Linux, load_elf_phdrs
_ENTRIES_LIMIT = 65536
_NEEDED_LIMIT = 4096

_EXECUTABLE, _SHARED = 2, 3
_LOAD, _DYNAMIC, _INTERPRETER, _PROPERTY = 1, 2, 3, 0x6474E553
_STATIC_PIE = 0x08000000
_TAGS = {
    1: "needed",
    5: "strings",
    10: "strings_size",
    14: "soname",
    15: "rpath",
    29: "runpath",
    0x6FFFFFFB: "flags",
    0x6FFFFFFC: "offers",
    0x6FFFFFFD: "offers_count",
    0x6FFFFFFE: "wants",
    0x6FFFFFFF: "wants_count",
}


class _Segment(Struct, frozen=True):
    type: int
    offset: int
    address: int
    size: int


def read_runnable(read: ReadAt, size: int) -> Runnable | None:
    """Return what a file of ``size`` bytes is, if it can be run or loaded: an ELF file or a script."""

    def read_within(offset: int, length: int) -> bytes:
        return read(offset, length) if offset < size else b""

    head = read_within(0, _LINE_LIMIT)
    if head.startswith(MAGIC):
        return _read_elf(read_within, size)
    return _read_script(head) if head.startswith(b"#!") else None


def is_runnable(head: bytes) -> bool:
    """Say whether `read_runnable` has something to look at, from a file's first four bytes."""
    return head.startswith((MAGIC, b"#!"))


def _read_script(head: bytes) -> Script | None:
    line = head[2:].split(b"\n", 1)[0].strip(b" \t")
    if not line:
        return None
    interpreter, _, argument = line.replace(b"\t", b" ").partition(b" ")
    return Script(interpreter=_text(interpreter), argument=_text(argument.strip(b" ")))


def _read_elf(read: ReadAt, size: int) -> Elf | None:
    head = read(0, 64)
    wide, order = head[4:5] == b"\2", {b"\1": "<", b"\2": ">"}.get(head[5:6])
    if head[4:5] not in (b"\1", b"\2") or order is None or len(head) < (64 if wide else 52):
        return Elf(problem="its header is damaged")
    kind, machine, _, _, table, _, flags, _, entry_size, count = struct.unpack_from(
        f"{order}HHI{'QQQ' if wide else 'III'}IHHH", head, 16
    )
    if kind not in (_EXECUTABLE, _SHARED):
        return None
    plain = abi_of(machine, wide=wide, is_big=order == ">", flags=flags, abi_flags=b"")
    width = 56 if wide else 32
    headers = read(table, min(count * width, _HEADERS_LIMIT)) if entry_size == width else b""
    if not count or len(headers) < count * width:
        return Elf(abi=plain, problem="its program headers are damaged")
    return _Reader(read, wide=wide, order=order).elf(
        tuple(_segments(headers, wide=wide, order=order)), kind, machine, flags, size
    )


def _segments(headers: bytes, *, wide: bool, order: str) -> Iterator[_Segment]:
    for fields in struct.iter_unpack(f"{order}{'IIQQQQQQ' if wide else '8I'}", headers):
        if wide:
            yield _Segment(fields[0], fields[2], fields[3], fields[5])
        else:
            yield _Segment(fields[0], fields[1], fields[2], fields[4])


class _Dynamic(Struct):
    """The dynamic section: the values of the tags that count, and the names it needs, as offsets."""

    values: dict[str, int]
    needed: list[int]


class _Reader:
    def __init__(self, read: ReadAt, *, wide: bool, order: str) -> None:
        self.read = read
        self.wide = wide
        self.order = order
        self.loaded: tuple[_Segment, ...] = ()

    def elf(self, segments: tuple[_Segment, ...], kind: int, machine: int, flags: int, size: int) -> Elf:
        self.loaded = tuple(one for one in segments if one.type == _LOAD)
        by_type = {one.type: one for one in reversed(segments)}
        abi = abi_of(
            machine,
            wide=self.wide,
            is_big=self.order == ">",
            flags=flags,
            abi_flags=self.segment(by_type.get(0x70000003), 24),
        )
        interpreter = _text(self.segment(by_type.get(_INTERPRETER), _NAME_LIMIT).split(b"\0")[0]) or None
        dynamic = self.dynamic(by_type.get(_DYNAMIC))
        if problem := self.problem(size):
            return Elf(abi=abi, problem=problem, kind=_kind(kind, interpreter, dynamic, ""))
        level = x86_level(self.segment(by_type.get(_PROPERTY), 4096), wide=self.wide) if machine == X86_64 else 0
        return self.linked(abi, kind, interpreter, dynamic, level=level, size=size)

    def linked(self, abi: Abi, kind: int, interpreter: str | None, dynamic: _Dynamic, *, level: int, size: int) -> Elf:
        values = dynamic.values
        soname = self.string(values, values.get("soname"))
        offers = self.table(values, "offers")
        return Elf(
            abi=abi,
            kind=_kind(kind, interpreter, dynamic, soname),
            interpreter=interpreter,
            soname=soname,
            needed=tuple(name for at in dynamic.needed if (name := self.string(values, at))),
            rpath=_split(self.string(values, values.get("rpath"))),
            runpath=_split(self.string(values, values.get("runpath"))),
            versions_needed=versions_needed(
                self.table(values, "wants"), lambda at: self.string(values, at), self.order
            ),
            versions=versions_offered(offers, lambda at: self.string(values, at), self.order),
            directories=system_directories(self.read, size) if soname.startswith("ld") and offers else (),
            level=level,
        )

    def problem(self, size: int) -> str:
        """Return why the file cannot be run: what is to be loaded is not there."""
        if not self.loaded:
            return "it has nothing to load"
        end = max(one.offset + one.size for one in self.loaded)
        return f"it is cut short: {size} of at least {end} bytes" if end > size else ""

    def segment(self, segment: _Segment | None, limit: int) -> bytes:
        return b"" if segment is None else self.read(segment.offset, min(segment.size, limit))

    def dynamic(self, segment: _Segment | None) -> _Dynamic:
        width = 16 if self.wide else 8
        content = self.segment(segment, _ENTRIES_LIMIT * width)
        found = _Dynamic({}, [])
        for tag, value in struct.iter_unpack(
            f"{self.order}{'QQ' if self.wide else 'II'}", content[: len(content) - len(content) % width]
        ):
            if tag == 0:
                break
            if tag == 1:
                if len(found.needed) < _NEEDED_LIMIT:
                    found.needed.append(value)
            elif tag in _TAGS:
                found.values[_TAGS[tag]] = value
        return found

    def place(self, address: int) -> int | None:
        """Return where in the file the byte is that is loaded at an address."""
        for one in self.loaded:
            if one.address <= address < one.address + one.size:
                return one.offset + address - one.address
        return None

    def string(self, values: dict[str, int], at: int | None) -> str:
        start = self.place(values.get("strings", 0))
        if at is None or start is None or at >= values.get("strings_size", 1 << 32):
            return ""
        return _text(self.read(start + at, _NAME_LIMIT).split(b"\0", 1)[0])

    def table(self, values: dict[str, int], name: str) -> ReadAt | None:
        """Return what reads a table of versions, if there is one."""
        start = self.place(values[name]) if name in values else None
        if start is None:
            return None
        begin = start
        return lambda offset, size: self.read(begin + offset, size)


def _kind(kind: int, interpreter: str | None, dynamic: _Dynamic, soname: str) -> ElfKind:
    """Tell programs from libraries: a library may have an interpreter (glibc's own), a static program has none."""
    if kind == _EXECUTABLE or (interpreter and not soname):
        return ElfKind.PROGRAM
    is_pie = dynamic.values.get("flags", 0) & _STATIC_PIE
    return ElfKind.PROGRAM if is_pie and not soname else ElfKind.LIBRARY


def _split(directories: str) -> tuple[str, ...]:
    return tuple(directories.split(":")) if directories else ()


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
