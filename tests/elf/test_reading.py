"""ELF files and scripts as values: written by a writer of our own, read by a reader of others' too, and damaged."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection
from elftools.elf.segments import InterpSegment
from hypothesis import given, settings
from hypothesis import strategies as st

from buildonce.elf.abis import name_abi
from buildonce.elf.reading import read_runnable
from buildonce.elf.streamed import Streamed, read_bytes
from buildonce.elf.values import Abi, Elf, ElfKind, Runnable, Script
from tests.elf.writer import (
    AARCH64,
    ARM,
    EXECUTABLE,
    LOADER,
    MIPS,
    PPC64,
    RISCV,
    SHARED,
    STATIC_PIE,
    Made,
    make_elf,
    write_elf,
)


def read(content: bytes) -> Runnable | None:
    return read_runnable(read_bytes(content), len(content))


def read_elf(content: bytes) -> Elf:
    found = read(content)
    assert isinstance(found, Elf)
    return found


_NAMES = st.text(alphabet="abcdefgh.-_019", min_size=1, max_size=12)
_LISTS = st.lists(_NAMES, max_size=4, unique=True).map(tuple)

made_files = st.builds(
    Made,
    wide=st.booleans(),
    big=st.booleans(),
    kind=st.sampled_from((EXECUTABLE, SHARED)),
    machine=st.sampled_from((AARCH64, ARM, MIPS, PPC64)),
    interpreter=st.none() | _NAMES.map(lambda name: f"/lib/{name}"),
    soname=st.just("") | _NAMES,
    needed=_LISTS,
    rpath=st.just("") | _NAMES,
    runpath=st.just("") | _LISTS.map(":".join),
    versions_needed=st.dictionaries(_NAMES, st.lists(_NAMES, min_size=1, max_size=3, unique=True), max_size=3),
    versions=_LISTS,
)


@given(made_files)
def test_what_was_written_is_read(made: Made) -> None:
    found = read_elf(write_elf(made))
    assert found.abi is not None
    assert (found.abi.machine, found.abi.bits, found.abi.is_big) == (made.machine, 64 if made.wide else 32, made.big)
    assert (found.interpreter, found.soname, found.needed) == (made.interpreter, made.soname, tuple(made.needed))
    assert ":".join(found.rpath) == made.rpath
    assert ":".join(found.runpath) == made.runpath
    assert {name: list(versions) for name, versions in found.versions_needed.items()} == made.versions_needed
    assert found.versions == tuple(made.versions)
    assert not found.problem


REAL = sorted(
    {
        path.resolve()
        for folder in ("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/libexec")
        for pattern in ("*", "*-linux-gnu/*.so*", "*-linux-gnu/gconv/*.so")
        for path in Path(folder).glob(pattern)
        if path.is_file()
    }
)


def test_real_files_are_read_as_an_independent_reader_reads_them() -> None:
    chosen = random.Random(7).sample(REAL, min(60, len(REAL)))
    compared = 0
    for path in chosen:
        content = path.read_bytes()
        found = read(content)
        if not isinstance(found, Elf):
            assert not content.startswith(b"\x7fELF")
            continue
        compared += 1
        assert facts_of(found) == facts_by_pyelftools(content), path
    assert compared > 10


def facts_of(found: Elf) -> dict[str, Any]:
    return {
        "interpreter": found.interpreter,
        "soname": found.soname,
        "needed": list(found.needed),
        "runpath": ":".join(found.runpath),
        "rpath": ":".join(found.rpath),
        "versions": list(found.versions),
        "versions_needed": {name: sorted(versions) for name, versions in found.versions_needed.items()},
    }


def facts_by_pyelftools(content: bytes) -> dict[str, Any]:
    file = ELFFile(io.BytesIO(content))
    found: dict[str, Any] = {
        "interpreter": None, "soname": "", "needed": [], "runpath": "", "rpath": "", "versions": [],
        "versions_needed": {},
    }  # fmt: skip
    for segment in file.iter_segments():
        if isinstance(segment, InterpSegment):
            found["interpreter"] = segment.get_interp_name()
        if isinstance(segment, DynamicSegment):
            for tag in segment.iter_tags():
                name = str(tag.entry.d_tag).removeprefix("DT_").lower()
                if name == "needed":
                    found[name].append(getattr(tag, name))
                elif name in ("soname", "runpath", "rpath"):
                    found[name] = getattr(tag, name)
    for section in file.iter_sections():
        if isinstance(section, GNUVerDefSection):
            found["versions"] = [
                next(iter(names)).name for entry, names in section.iter_versions() if not entry.entry.vd_flags & 1
            ]
        if isinstance(section, GNUVerNeedSection):
            for entry, names in section.iter_versions():
                strong = [name.name for name in names if not name.entry.vna_flags & 2]
                if strong:
                    found["versions_needed"][entry.name] = sorted(strong)
    return found


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        pytest.param({"kind": EXECUTABLE}, ElfKind.PROGRAM, id="static"),
        pytest.param({"kind": EXECUTABLE, "interpreter": LOADER}, ElfKind.PROGRAM, id="dynamic"),
        pytest.param({"interpreter": LOADER, "flags_1": STATIC_PIE}, ElfKind.PROGRAM, id="position-independent"),
        pytest.param({"flags_1": STATIC_PIE}, ElfKind.PROGRAM, id="static and position-independent"),
        pytest.param({"soname": "liba.so.1"}, ElfKind.LIBRARY, id="library"),
        pytest.param({}, ElfKind.LIBRARY, id="plug-in"),
        pytest.param({"soname": "libc.so.6", "interpreter": LOADER}, ElfKind.LIBRARY, id="library that can be run"),
    ],
)
def test_programs_and_libraries(says: dict[str, object], kind: ElfKind) -> None:
    assert read_elf(make_elf(**says)).kind is kind


@pytest.mark.parametrize(
    ("says", "named"),
    [
        ({"machine": 62}, "64-bit x86-64"),
        ({"machine": 62, "wide": False}, "32-bit x86-64"),
        ({"machine": 3, "wide": False}, "32-bit x86"),
        ({"machine": AARCH64}, "64-bit Arm"),
        ({"machine": AARCH64, "big": True}, "64-bit big-endian Arm"),
        ({"machine": ARM, "wide": False, "flags": 0x05000400}, "32-bit Arm, hard-float"),
        ({"machine": ARM, "wide": False, "flags": 0x05000200}, "32-bit Arm, soft-float"),
        ({"machine": MIPS, "wide": False, "flags": 0x1000, "big": True}, "32-bit big-endian MIPS, o32"),
        ({"machine": MIPS, "wide": False, "flags": 0x20}, "32-bit little-endian MIPS, n32"),
        ({"machine": MIPS, "mips_floats": 3}, "64-bit little-endian MIPS, n64, soft-float"),
        ({"machine": MIPS, "mips_floats": 1, "big": True}, "64-bit big-endian MIPS, n64, hard-float"),
        ({"machine": PPC64, "flags": 2}, "64-bit little-endian PowerPC, ELFv2"),
        ({"machine": PPC64, "flags": 1, "big": True}, "64-bit big-endian PowerPC, ELFv1"),
        ({"machine": RISCV, "flags": 0x5}, "64-bit RISC-V, double-float"),
        ({"machine": RISCV, "flags": 0x1}, "64-bit RISC-V, soft-float"),
        ({"machine": 258, "flags": 0x43}, "64-bit LoongArch, double-float"),
        ({"machine": 22, "big": True}, "64-bit IBM Z"),
        ({"machine": 4711}, "64-bit machine 4711"),
    ],
)
def test_machine_code_has_a_name(says: dict[str, object], named: str) -> None:
    found = read_elf(make_elf(**says))
    assert found.abi is not None
    assert name_abi(found.abi) == named


def test_abis_that_do_not_say_how_they_pass_numbers_work_with_all_of_their_machine() -> None:
    hard, soft, neither = Abi(ARM, 32, floats="hard"), Abi(ARM, 32, floats="soft"), Abi(ARM, 32)
    assert not hard.works_with(soft)
    assert hard.works_with(neither)
    assert neither.works_with(soft)
    assert not neither.works_with(Abi(ARM, 32, is_big=True))


def test_weak_versions_need_not_be_there() -> None:
    made = make_elf(versions_needed={"libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.99"]}, weak=["GLIBC_2.99"])
    assert read_elf(made).versions_needed == {"libc.so.6": ("GLIBC_2.2.5",)}


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_the_level_of_the_processor_is_read(level: int) -> None:
    assert read_elf(make_elf(level=level)).level == level


def test_the_directories_of_a_loader_are_read_out_of_it() -> None:
    data = b"\0/proc/self/exe\0/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0x"
    found = read_elf(make_elf(soname="ld-linux-x86-64.so.2", versions=["GLIBC_2.34"], data=data))
    assert found.directories == ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"#!/bin/sh\necho\n", Script(interpreter="/bin/sh")),
        (b"#! /usr/bin/env  python3 -u\n", Script(interpreter="/usr/bin/env", argument="python3 -u")),
        (b"#!/bin/sh\r\n", Script(interpreter="/bin/sh\r")),
        (b"#!/bin/sh", Script(interpreter="/bin/sh")),
        (b"#!\n/bin/sh", None),
        (b"#!", None),
        (b"", None),
        (b"\x7fEL", None),
        (b"PK\x03\x04", None),
    ],
)
def test_scripts(content: bytes, expected: Script | None) -> None:
    assert read(content) == expected


def test_object_files_and_memory_images_are_neither() -> None:
    assert read(make_elf(kind=1)) is None
    assert read(make_elf(kind=4)) is None


# Damage.


def test_a_file_that_is_cut_short_is_said_to_be(tmp_path: Path) -> None:
    whole = make_elf(interpreter=LOADER, needed=["libc.so.6"], data=bytes(5000))
    found = read_elf(whole[:-3000])
    assert "cut short" in found.problem
    assert found.abi == Abi(62, 64)
    assert "damaged" in read_elf(whole[:100]).problem
    assert "damaged" in read_elf(whole[:20]).problem


@settings(max_examples=300, deadline=None)
@given(made_files, st.data())
def test_damaged_files_are_read_in_bounded_time(made: Made, data: st.DataObject) -> None:
    content = bytearray(write_elf(made))
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.sampled_from((0, 1, 2, 255, 127, 16)))
    cut = data.draw(st.integers(0, len(content)))
    reads = Counted(bytes(content[:cut]))
    read_runnable(reads, cut)
    assert reads.count < 70_000
    assert reads.bytes < 1 << 28


class Counted:
    """Bytes that count how often they are read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.count = 0
        self.bytes = 0

    def __call__(self, offset: int, size: int) -> bytes:
        self.count += 1
        found = self.content[offset : offset + size]
        self.bytes += len(found)
        return found


def test_tables_that_lead_back_to_themselves_end() -> None:
    """Each entry says how far it is to the next: a table can be a circle of four billion steps."""
    content = bytearray(make_elf(versions_needed={"liba.so": ["A_1", "A_2"], "libb.so": ["B_1"]}, versions=["X_1"]))
    for place in range(0, len(content) - 4, 4):
        damaged = bytearray(content)
        struct.pack_into("<I", damaged, place, 0xFFFFFFFC)
        reads = Counted(bytes(damaged))
        read_runnable(reads, len(damaged))
        assert reads.count < 70_000
    reads = Counted(make_elf(versions_needed={"liba.so": ["A_1"] * 60_000}))
    read_runnable(reads, len(reads.content))
    assert reads.count < 70_000


# Streams.


@pytest.mark.parametrize("size", [0, 3, 5000, 3 << 20, 20 << 20], ids=str)
def test_a_file_that_streams_by_is_read_like_one_at_hand(size: int) -> None:
    content = make_elf(interpreter=LOADER, needed=["libc.so.6"], data=bytes(size))
    with Streamed(len(content)) as streamed:
        for start in range(0, len(content), 1 << 20):
            streamed.add(content[start : start + (1 << 20)])
        assert streamed.read() == read(content)


def test_a_script_that_streams_by() -> None:
    with Streamed(10) as streamed:
        streamed.add(b"#!/bin/sh\n")
        assert streamed.read() == Script(interpreter="/bin/sh")
    with Streamed(4) as streamed:
        streamed.add(b"text")
        assert streamed.read() is None
