"""What can be run among files on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildonce.assemble.entries import Content, Entry, EntryType
from buildonce.elf.values import Elf, Script
from buildonce.errors import AssemblyError
from buildonce.oci import digest_of
from buildonce.run.runnables import read_runnables
from tests.elf.writer import LOADER, make_elf


def entry(path: Path, offset: int, content: bytes, name: str = "x") -> Entry:
    """Return an entry whose bytes are in a file."""
    place = Content(path=path, offset=offset, size=len(content))
    return Entry(path=name, type=EntryType.FILE, size=len(content), digest=digest_of(content), content=place)


def test_files_in_one_archive_and_in_files_of_their_own(tmp_path: Path) -> None:
    parts = [make_elf(interpreter=LOADER), b"#!/bin/sh\n", b"text", b""]
    archive = tmp_path / "archive"
    archive.write_bytes(b"".join(parts))
    entries = [entry(archive, sum(map(len, parts[:number])), part) for number, part in enumerate(parts)]
    for number in range(100):
        path = tmp_path / f"file-{number}"
        path.write_bytes(b"#!/bin/%d\n" % number)
        entries.append(entry(path, 0, path.read_bytes()))
    found = read_runnables([*entries, Entry(path="d", type=EntryType.DIRECTORY)])
    assert len(found) == 102
    assert isinstance(found[digest_of(parts[0])], Elf)
    assert found[digest_of(b"#!/bin/99\n")] == Script(interpreter="/bin/99")


def test_places_behind_the_end_of_a_file_are_not_looked_for(tmp_path: Path) -> None:
    """A header can name any place in 64 bits, which no file system has."""
    whole = make_elf(interpreter=LOADER, needed=["libc.so.6"])
    for start in range(24, 300):
        damaged = whole[:start] + b"\xff" * 8 + whole[start + 8 :]
        path = tmp_path / str(start)
        path.write_bytes(damaged)
        assert len(read_runnables([entry(path, 0, damaged)])) <= 1


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssemblyError, match="cannot be read"):
        read_runnables([entry(tmp_path / "gone", 0, b"x")])
