from __future__ import annotations

import errno
import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from buildonce.assemble import tarball
from buildonce.assemble.archive import scan_layer
from buildonce.assemble.compression import INPUT_CHUNK, Compression, open_compressor
from buildonce.assemble.entries import Content, Entry, EntryType
from buildonce.assemble.tarball import write_layer
from buildonce.assemble.tarformat import header_bytes
from buildonce.errors import AssemblyError, DiskError
from buildonce.oci import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, digest_of
from tests.assemble.archives import CAPABILITY, read_trees
from tests.assemble.rich import source_tar

EMPTY = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"


def test_an_empty_layer_is_that_of_buildkit(tmp_path: Path) -> None:
    blob = write_layer((), tmp_path / "layer")
    assert blob.diff_id == EMPTY
    assert gzip.decompress(blob.path.read_bytes()) == bytes(1024)


@pytest.mark.parametrize(
    ("compression", "media_type", "decompress"),
    [
        (Compression.UNCOMPRESSED, OCI_LAYER, bytes),
        (Compression.GZIP, OCI_LAYER_GZIP, gzip.decompress),
        (Compression.ZSTD, OCI_LAYER_ZSTD, zstd.decompress),
    ],
)
def test_a_layer_comes_back(compression: Compression, media_type: str, decompress: object, tmp_path: Path) -> None:
    assert callable(decompress)
    (tmp_path / "source.tar").write_bytes(source_tar())
    tree, _ = read_trees(tmp_path / "source.tar")
    blob = write_layer(tree.entries(), tmp_path / "layer", compression=compression)
    stored = blob.path.read_bytes()
    assert blob.descriptor.media_type == media_type
    assert (blob.descriptor.digest, blob.descriptor.size) == (digest_of(stored), len(stored))
    assert blob.diff_id == digest_of(decompress(stored))
    with blob.path.open("rb") as file:
        layer = scan_layer(file, digest=blob.descriptor.digest, diff_id=blob.diff_id)
    assert layer.entries == tree.entries()
    with tarfile.open(fileobj=io.BytesIO(decompress(stored))) as archive:
        assert [member.name for member in archive] == [entry.path for entry in tree.entries()]


def test_the_gzip_header_is_that_of_go(tmp_path: Path) -> None:
    blob = write_layer((), tmp_path / "layer")
    assert blob.path.read_bytes()[:10] == bytes.fromhex("1f8b08000000000000ff")


@settings(deadline=None)
@given(st.lists(st.integers(min_value=1, max_value=3 * INPUT_CHUNK), min_size=1, max_size=5))
def test_compressed_bytes_do_not_depend_on_how_the_input_is_cut(cuts: list[int]) -> None:
    data = _DATA[: sum(cuts)]
    expected = _compressed(Compression.GZIP, [data])
    pieces = [data[sum(cuts[:index]) : sum(cuts[: index + 1])] for index in range(len(cuts))]
    assert _compressed(Compression.GZIP, pieces) == expected
    assert gzip.decompress(expected) == data


_DATA = b"".join(hashlib.sha256(b"%d" % (number // 3)).hexdigest().encode() for number in range(70_000))


def _compressed(compression: Compression, pieces: list[bytes]) -> bytes:
    compressor = open_compressor(compression)
    return b"".join(compressor.compress(piece) for piece in pieces) + compressor.flush()


def _file(tmp_path: Path, text: bytes = b"content") -> Entry:
    path = tmp_path / "content"
    path.write_bytes(b"before" + text)
    content = Content(path=path, offset=6, size=len(text))
    return Entry(path="f", type=EntryType.FILE, size=len(text), digest=digest_of(text), content=content)


def test_content_that_changed_is_not_shipped(tmp_path: Path) -> None:
    entry = _file(tmp_path)
    (tmp_path / "content").write_bytes(b"before" + b"changed")
    with pytest.raises(AssemblyError, match="changed"):
        write_layer([entry], tmp_path / "layer")
    (tmp_path / "content").write_bytes(b"short")
    with pytest.raises(AssemblyError, match="ends"):
        write_layer([entry], tmp_path / "layer")
    (tmp_path / "content").unlink()
    with pytest.raises(AssemblyError, match="cannot be read"):
        write_layer([entry], tmp_path / "layer")
    assert list(tmp_path.iterdir()) == []


def test_a_file_needs_its_content(tmp_path: Path) -> None:
    with pytest.raises(AssemblyError, match="not at hand"):
        write_layer([Entry(path="f", type=EntryType.FILE, size=1)], tmp_path / "layer")


def test_a_layer_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "layer"
    target.write_bytes(b"old")
    with pytest.raises(AssemblyError):
        write_layer([Entry(path="f", type=EntryType.FILE, size=1)], target)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["layer"]


def test_a_full_disk_is_a_disk_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_: object, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarball._Written, "put", write)
    with pytest.raises(DiskError, match="No space left") as caught:
        write_layer([_file(tmp_path)], tmp_path / "layer")
    assert caught.value.help
    assert [path.name for path in tmp_path.iterdir()] == ["content"]


def test_a_folder_that_is_not_there_is_a_disk_error(tmp_path: Path) -> None:
    with pytest.raises(DiskError):
        write_layer((), tmp_path / "missing" / "layer")


def _header_cases() -> list[Entry]:
    """Entries at and around every limit of the format; archive/tar of Go 1.27 gives the same bytes for all of them."""
    cases: list[Entry] = []
    for length in (1, 99, 100, 101, 155, 156, 157, 255, 256, 257, 300):
        for slash in (0, 1, 55, 99, 100, 155, 156, length - 100, length - 101):
            name = "n" * length
            if 0 < slash < length - 1:
                name = f"{name[:slash]}/{name[slash + 1 :]}"
            cases += (
                Entry(path=name, type=EntryType.FILE, size=length, mtime=length),
                Entry(path=name, type=EntryType.DIRECTORY, mode=0o7777),
                Entry(path=name, type=EntryType.FILE, capability=CAPABILITY),
                Entry(path="l", type=EntryType.SYMLINK, link=name),
                Entry(path="h", type=EntryType.FILE, hardlink=name, size=0),
            )
    for name in (
        "\u00fcn\u00ef",
        "a/\u00fc",
        "\u00fc/" + "x" * 120,
        "\u00fc" * 60,
        "a" * 99 + "\u00fc",
        "bad-\udcff",
        "d/" * 40 + "\u00e9",
    ):
        cases += (
            Entry(path=name, type=EntryType.FILE),
            Entry(path=name, type=EntryType.DIRECTORY),
            Entry(path="l", type=EntryType.SYMLINK, link=name),
        )
    for number in (0, 0o7777777, 0o10000000, 0xFFFFFFFE):
        cases += (Entry(path="o", type=EntryType.FILE, uid=number), Entry(path="o", type=EntryType.FILE, gid=number))
    for number in (0o77777777777, 0o100000000000, 1 << 40):
        cases += (Entry(path="s", type=EntryType.FILE, size=number), Entry(path="t", type=EntryType.FILE, mtime=number))
    cases += (Entry(path="c", type=EntryType.FILE, capability=b"z" * length) for length in range(40, 70))
    cases += (Entry(path="c", type=EntryType.FILE, capability=b"z" * length) for length in range(940, 970))
    cases += (
        Entry(path="c", type=EntryType.CHAR, device=(1, 3)),
        Entry(path="b", type=EntryType.BLOCK, device=(0o7777777, 0)),
        Entry(path="f", type=EntryType.FIFO),
    )
    return cases


def test_headers_are_those_of_go() -> None:
    headers = b"".join(header_bytes(entry) for entry in _header_cases())
    assert digest_of(headers) == "sha256:ff177b9e196922cc668c8239f3335c23bb28e85d918baa8e5dbea6a5b9b395e7"


@pytest.mark.parametrize(
    "entry",
    [
        Entry(path="a\0b", type=EntryType.FILE),
        Entry(path="c", type=EntryType.CHAR, device=(1 << 21, 0)),
        Entry(path="c", type=EntryType.FILE, capability=b"x" * (1 << 20)),
    ],
    ids=["zero byte", "device number", "long record"],
)
def test_what_no_archive_holds_is_refused(entry: Entry) -> None:
    with pytest.raises(AssemblyError):
        header_bytes(entry)
