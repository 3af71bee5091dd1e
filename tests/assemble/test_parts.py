"""Large files of layers are compressed by themselves: the same bytes, however and how often."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from buildonce.assemble import parts as parts_module
from buildonce.assemble.archive import scan_layer
from buildonce.assemble.compression import Compression
from buildonce.assemble.entries import Content, Entry, EntryType
from buildonce.assemble.parts import PART_SIZE, Parts
from buildonce.assemble.tarball import LayerBlob, write_layer
from buildonce.errors import AssemblyError
from buildonce.oci import digest_of

COMPRESSED = (Compression.GZIP, Compression.ZSTD)
TEXT = b"".join(hashlib.sha256(b"%d" % (number // 3)).hexdigest().encode() for number in range(PART_SIZE // 32))


def file(folder: Path, path: str, content: bytes) -> Entry:
    """A file whose bytes are in the middle of another one."""
    place = folder / f"content-{path}"
    place.write_bytes(b"before" + content + b"after")
    return Entry(
        path=path,
        type=EntryType.FILE,
        size=len(content),
        digest=digest_of(content),
        content=Content(path=place, offset=6, size=len(content)),
    )


def family(folder: Path) -> tuple[Entry, ...]:
    """A small file, two large ones with something between them, and one of just the size that makes a part."""
    return (
        file(folder, "a", b"small"),
        file(folder, "b", TEXT),
        Entry(path="c", type=EntryType.DIRECTORY, mode=0o755),
        file(folder, "d", TEXT[5:]),
        file(folder, "e", TEXT[:PART_SIZE]),
        file(folder, "f", TEXT[: PART_SIZE - 1]),
    )


@pytest.mark.parametrize("compression", COMPRESSED)
def test_parts_made_before_give_the_same_bytes(tmp_path: Path, compression: Compression) -> None:
    entries, parts = family(tmp_path), Parts(tmp_path)
    alone = write_layer(entries, tmp_path / "alone", compression=compression)
    for name in ("first", "second"):
        blob = write_layer(entries, tmp_path / name, compression=compression, parts=parts)
        assert (blob.descriptor, blob.diff_id) == (alone.descriptor, alone.diff_id)
        assert blob.path.read_bytes() == alone.path.read_bytes()


@pytest.mark.parametrize("compression", COMPRESSED)
def test_a_layer_of_parts_is_read_like_any_other(tmp_path: Path, compression: Compression) -> None:
    entries = family(tmp_path)
    blob = write_layer(entries, tmp_path / "layer", compression=compression, parts=Parts(tmp_path))
    with blob.path.open("rb") as stream:
        layer = scan_layer(stream, diff_id=blob.diff_id, digest=blob.descriptor.digest)
    assert layer.entries == entries
    if compression is Compression.GZIP:
        plain = gzip.decompress(blob.path.read_bytes())
        assert digest_of(plain) == blob.diff_id
        with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
            assert [member.size for member in archive] == [entry.size for entry in entries]


@pytest.mark.parametrize("compression", COMPRESSED)
def test_the_same_file_is_the_same_part_in_another_layer(tmp_path: Path, compression: Compression) -> None:
    large = file(tmp_path, "b", TEXT)
    one = write_layer((file(tmp_path, "a", b"one"), large), tmp_path / "one", compression=compression)
    two = write_layer((file(tmp_path, "z", b"other" * 99), large), tmp_path / "two", compression=compression)
    part = Parts(tmp_path).get(large, compression).path.read_bytes()
    assert part in one.path.read_bytes()
    assert part in two.path.read_bytes()


def test_many_threads_make_a_part_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    real = parts_module._make

    def counted(entry: Entry, compression: Compression, target: Path) -> parts_module.Part:
        made.append(entry.path)
        return real(entry, compression, target)

    monkeypatch.setattr(parts_module, "_make", counted)
    entries, parts = family(tmp_path), Parts(tmp_path)

    def write(number: int) -> LayerBlob:
        return write_layer(entries, tmp_path / f"layer-{number}", parts=parts)

    with ThreadPoolExecutor(8) as pool:
        blobs = list(pool.map(write, range(8)))
    assert len({blob.descriptor for blob in blobs}) == 1
    assert sorted(made) == ["b", "d", "e"]


def test_a_file_that_changes_after_its_part_was_made_is_not_shipped(tmp_path: Path) -> None:
    large, parts = file(tmp_path, "b", TEXT), Parts(tmp_path)
    write_layer((large,), tmp_path / "before", parts=parts)
    (tmp_path / "content-b").write_bytes(b"before" + TEXT[::-1] + b"after")
    with pytest.raises(AssemblyError, match="changed"):
        write_layer((large,), tmp_path / "layer", parts=parts)
    with pytest.raises(AssemblyError, match="changed"):
        write_layer((large,), tmp_path / "layer", parts=Parts(tmp_path))
    assert not (tmp_path / "layer").exists()
