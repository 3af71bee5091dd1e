from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from buildonce.assemble.archive import Want, read_archive, scan_layer
from buildonce.assemble.entries import EntryType
from buildonce.assemble.parts import read_content
from buildonce.assemble.tree import apply_layers
from buildonce.errors import ArchiveError, DiskError, IntegrityError
from buildonce.oci import Digest, digest_of
from tests.assemble.archives import CAPABILITY, directory, make_tar, member, read_tar, symlink
from tests.assemble.rich import LONG, base_tar, source_tar

SIMPLE = make_tar((directory("d"), member("d/f", content=b"content" * 100), symlink("l", "d/f")))


@pytest.mark.parametrize(
    ("compress", "name"),
    [
        (bytes, "plain"),
        (gzip.compress, "gzip"),
        (zstd.compress, "zstd"),
        (lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]), "members"),
    ],
    ids=["plain", "gzip", "zstd", "gzip in two members"],
)
def test_compressions_are_told_by_their_first_bytes(compress: object, name: str) -> None:
    assert callable(compress)
    blob = compress(source_tar())
    layer = scan_layer(io.BytesIO(blob))
    assert layer.entries == read_tar(source_tar())
    assert layer.diff_id == digest_of(source_tar())
    assert (layer.digest, layer.size) == (digest_of(blob), len(blob))


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_formats_say_the_same(kind: int) -> None:
    members = (
        directory("names"),
        member(f"names/{LONG}", content=b"1", owner=(3_000_000, 5)),
        symlink("names/l", LONG),
        member("names/second", tarfile.LNKTYPE, link=f"names/{LONG}", owner=(3_000_000, 5)),
        member("names/device", tarfile.CHRTYPE, device=(1, 3)),
        member("names/fifo", tarfile.FIFOTYPE, mtime=9_000_000_000),
        member("names/\u00fcn\u00ef", content=b"2"),
        member("names/\udcff", content=b"3"),
    )
    entries = read_tar(make_tar(members, format=kind))
    assert [entry.path for entry in entries] == [info.name for info, _ in members]
    tree = apply_layers([entries])
    assert tree[f"names/{LONG}"].uid == 3_000_000
    assert tree["names/l"].link == LONG
    assert tree[f"names/{LONG}"].hardlink == "names/second" or tree["names/second"].hardlink == f"names/{LONG}"
    assert tree["names/device"].device == (1, 3)
    assert tree["names/fifo"].mtime == 9_000_000_000


def test_everything_of_an_entry_is_read() -> None:
    tree = apply_layers([read_tar(source_tar())])
    ping = tree["capable/ping"]
    assert (ping.type, ping.mode, ping.size, ping.digest) == (EntryType.FILE, 0o755, 4, digest_of(b"ping"))
    assert ping.capability == CAPABILITY
    assert tree["capable/ping6"].hardlink == "capable/ping"
    assert tree["names/big-owner"].gid == 4_000_000_000
    assert tree["core/bin/tool"].mode == 0o4755


def test_times_are_whole_seconds_rounded_down() -> None:
    info, content = member("f")
    info.mtime = 1_600_000_000.9
    before, _ = member("g")
    before.mtime = -5
    entries = read_tar(make_tar(((info, content), (before, b""))))
    assert [entry.mtime for entry in entries] == [1_600_000_000, 0]


@pytest.mark.parametrize(
    ("name", "path"),
    [("./a/b", "a/b"), ("/a/b", "a/b"), ("a//b/./c/", "a/b/c"), ("./", None), ("/", None), (".", None)],
)
def test_names_are_taken_from_the_root(name: str, path: str | None) -> None:
    entries = read_tar(make_tar([directory(name)]))
    assert [entry.path for entry in entries] == ([path] if path else [])


def test_old_archives_mark_directories_by_a_slash() -> None:
    archive = make_tar([member("old", tarfile.AREGTYPE)], format=tarfile.USTAR_FORMAT)
    header = bytearray(archive[:512])
    header[3:4] = b"/"
    assert [entry.type for entry in read_tar(_sealed(header) + archive[512:])] == [EntryType.DIRECTORY]


def _sealed(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def _changed(position: int, value: bytes, archive: bytes = SIMPLE) -> bytes:
    header = bytearray(archive[:512])
    header[position : position + len(value)] = value
    return _sealed(header) + archive[512:]


def _pax(records: bytes) -> bytes:
    info = tarfile.TarInfo("pax")
    info.size = len(records)
    info.type = tarfile.XHDTYPE
    block = info.tobuf(tarfile.USTAR_FORMAT)
    return block + records.ljust(-(-len(records) // 512) * 512, b"\0") + SIMPLE


HOSTILE = {
    "leads out": make_tar([member("../x")]),
    "leads out inside": make_tar([member("a/../../x")]),
    "dots that stay in": make_tar([member("a/../x")]),
    "hard link out": make_tar([member("x", tarfile.LNKTYPE, link="../etc/passwd")]),
    "hard link to nothing": make_tar([member("x", tarfile.LNKTYPE, link=".")]),
    "link without target": make_tar([member("x", tarfile.SYMTYPE)]),
    "file for the root": make_tar([member(".")]),
    "file with a slash": _changed(0, b"a/", make_tar([member("abc")])).replace(b"a/c", b"ab/", 1),
    "no name": _changed(0, bytes(100)),
    "unknown type": make_tar([member("x", b"7")]),
    "sparse": make_tar([member("x", b"S")]),
    "wrong checksum": SIMPLE[:148] + b"0000000\0" + SIMPLE[156:],
    "garbage": b"this is no archive" * 100,
    "negative size": _changed(124, b"\xff" * 12),
    "absurd size": _changed(124, b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7, make_tar([member("x")])),
    "number of letters": _changed(100, b"00x0644\0"),
    "absurd owner": _changed(108, b"\x80\0\0\1\0\0\0\0"),
    "negative owner": _changed(108, b"\xff" * 8),
    "name too long": make_tar([member("x" * 256)]),
    "path too long": make_tar([member("/".join(["abcdefgh"] * 600))]),
    "path too deep": make_tar([member("/".join("a" * 301))]),
    "pax without length": _pax(b"path=x\n"),
    "pax too long": _pax(b"99 path=x\n"),
    "pax too short": _pax(b"3 path=x\n"),
    "pax without equals": _pax(b"8 path\n\n"),
    "pax path with zero byte": _pax(b"12 path=a\0b\n"),
    "pax size of letters": _pax(b"11 size=1x\n"),
    "pax negative owner": _pax(b"10 uid=-1\n"),
    "pax time of letters": _pax(b"12 mtime=1e\n"),
    "pax sparse": _pax(b"22 GNU.sparse.major=1\n"),
    "pax absurdly long": _changed(124, b"00007777777\0", _pax(b"10 path=x\n")),
    "after the end": SIMPLE[:1024] + bytes(512) + SIMPLE[1024:],
    "extension at the end": _pax(b"10 path=xy\n")[:1024],
    "cut gzip": gzip.compress(SIMPLE)[:-20],
    "damaged gzip": gzip.compress(SIMPLE)[:30] + b"damage" + gzip.compress(SIMPLE)[36:],
    "cut zstd": zstd.compress(SIMPLE)[:-5],
    "damaged zstd": zstd.compress(SIMPLE)[:20] + b"damage",
}


@pytest.mark.parametrize("archive", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives_are_refused(archive: bytes) -> None:
    with pytest.raises(ArchiveError):
        read_tar(archive)


@settings(deadline=None)
@given(st.integers(min_value=1, max_value=len(SIMPLE) - 1))
def test_a_cut_archive_is_refused_or_ends_between_entries(length: int) -> None:
    whole = read_tar(SIMPLE)
    try:
        entries = read_tar(SIMPLE[:length])
    except ArchiveError:
        return
    assert length % 512 == 0 or length > len(SIMPLE.rstrip(b"\0")) + 1024
    assert entries == whole[: len(entries)]


@settings(deadline=None)
@given(st.binary(max_size=2048))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ArchiveError):
        read_tar(data)


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=len(base_tar()) - 1), st.integers(min_value=0, max_value=255))
def test_any_change_of_a_byte_is_read_or_refused(position: int, value: int) -> None:
    archive = bytearray(base_tar())
    archive[position] = value
    with contextlib.suppress(ArchiveError):
        apply_layers([read_tar(bytes(archive))])


def test_digests_are_checked() -> None:
    blob = gzip.compress(SIMPLE)
    wrong = Digest("sha256:" + "0" * 64)
    scan_layer(io.BytesIO(blob), diff_id=digest_of(SIMPLE), digest=digest_of(blob))
    with pytest.raises(IntegrityError, match="diff ID"):
        scan_layer(io.BytesIO(blob), diff_id=wrong)
    with pytest.raises(IntegrityError, match="digest"):
        scan_layer(io.BytesIO(blob), digest=wrong)


def test_what_follows_the_end_belongs_to_the_digests() -> None:
    padded = SIMPLE + b"padding"
    assert scan_layer(io.BytesIO(padded)).diff_id == digest_of(padded)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd.compress], ids=["plain", "gzip", "zstd"])
def test_contents_are_ranges_of_a_file(compress: object, tmp_path: Path) -> None:
    assert callable(compress)
    target = tmp_path / "contents.tar"
    layer = scan_layer(io.BytesIO(compress(source_tar())), Want(contents_path=target))
    assert target.read_bytes() == source_tar()
    for entry in layer.entries:
        if entry.type is EntryType.FILE and not entry.hardlink:
            assert entry.content
            assert digest_of(b"".join(read_content(entry.content))) == entry.digest
    assert [path.name for path in tmp_path.iterdir()] == ["contents.tar"]


def test_a_plain_archive_is_its_own_contents(tmp_path: Path) -> None:
    target = tmp_path / "layer.tar"
    target.write_bytes(SIMPLE)
    before = target.stat()
    with target.open("rb") as file:
        entries = read_archive(file, target)
    assert entries[1].content
    assert entries[1].digest == digest_of(b"content" * 100)
    assert b"".join(read_content(entries[1].content)) == b"content" * 100
    assert target.stat().st_ino == before.st_ino


def test_contents_are_kept_only_of_a_whole_archive(tmp_path: Path) -> None:
    target = tmp_path / "contents.tar"
    with pytest.raises(ArchiveError):
        scan_layer(io.BytesIO(gzip.compress(SIMPLE[:1000])), Want(contents_path=target))
    with pytest.raises(IntegrityError):
        scan_layer(io.BytesIO(gzip.compress(SIMPLE)), Want(contents_path=target), diff_id=digest_of(b""))
    assert list(tmp_path.iterdir()) == []


def test_contents_that_cannot_be_written_are_a_disk_error(tmp_path: Path) -> None:
    with pytest.raises(DiskError):
        scan_layer(io.BytesIO(gzip.compress(SIMPLE)), Want(contents_path=tmp_path / "missing" / "contents.tar"))


def test_wanted_files_are_kept_by_digest() -> None:
    layer = scan_layer(io.BytesIO(SIMPLE), Want(keep=lambda path: path == "d/f"))
    assert layer.kept == {digest_of(b"content" * 100): b"content" * 100}
