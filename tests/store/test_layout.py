"""The OCI image layout: atomic, shared between processes, readable by others."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from buildonce.errors import DiskError, IntegrityError, MissingBlobs, StoreError, UsageError
from buildonce.oci import OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, digest_of
from buildonce.store.layout import LayoutStore
from buildonce.store.protocol import Blob, Outcome
from buildonce.store.streams import blob_of_bytes, blob_of_file
from buildonce.tasks import together
from tests.fakes.sessions import Image, collected, image, index


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(tmp_path / "layout")


async def put(store: LayoutStore, what: Image, *, tag: str | None = None) -> None:
    await together(store.put_blob(blob) for blob in what.blobs)
    await store.put_manifest(what.content, what.media_type, tag=tag)


def files(store: LayoutStore) -> set[str]:
    return names(store.path)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def layer(content: bytes = b"layer") -> Blob:
    return blob_of_bytes(content, OCI_LAYER_GZIP)


async def test_reading_makes_no_folder(store: LayoutStore) -> None:
    assert await store.get_manifest("v1") is None
    assert await store.tags() == {}
    assert not store.path.exists()


async def test_the_layout_is_what_the_specification_says(store: LayoutStore) -> None:
    one = image()
    await put(store, one, tag="v1")
    assert json.loads((store.path / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads((store.path / "index.json").read_text()) == {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {
                "mediaType": OCI_MANIFEST,
                "digest": digest_of(one.content),
                "size": len(one.content),
                "annotations": {"org.opencontainers.image.ref.name": "v1"},
            }
        ],
    }
    blobs = {digest_of(one.content), *(blob.descriptor.digest for blob in one.blobs)}
    expected = {"oci-layout", "index.json", ".index.lock", *(f"blobs/{digest.replace(':', '/')}" for digest in blobs)}
    assert files(store) == expected


async def test_the_index_does_not_depend_on_the_order_of_writes(tmp_path: Path) -> None:
    contents = []
    for order in (("a", "b", "c"), ("c", "a", "b")):
        store = LayoutStore(tmp_path / "-".join(order))
        for name in order:
            await put(store, image(name), tag=name)
        contents.append((store.path / "index.json").read_bytes())
    assert contents[0] == contents[1]


async def test_an_image_without_a_tag_is_not_in_the_index(store: LayoutStore) -> None:
    await put(store, image("one"), tag="v1")
    await put(store, image("two"))
    assert set(await store.tags()) == {"v1"}


async def test_a_moved_or_deleted_tag_leaves_its_image(store: LayoutStore) -> None:
    await put(store, image("one"), tag="v1")
    await put(store, image("two"), tag="v1")
    await store.delete_tag("v1")
    await store.delete_tag("absent")
    assert await store.tags() == {}
    assert await store.get_manifest(digest_of(image("one").content))


async def test_what_others_wrote_into_the_index_stays(store: LayoutStore) -> None:
    one = image()
    await put(store, one)
    other = {
        "mediaType": OCI_MANIFEST,
        "digest": digest_of(one.content),
        "size": len(one.content),
        "annotations": {"io.containerd.image.name": "docker.io/library/x:latest"},
        "x": {"y": 1},
    }
    document = {"schemaVersion": 2, "manifests": [other], "annotations": {"k": "v"}}
    (store.path / "index.json").write_text(json.dumps(document))
    await store.put_manifest(one.content, OCI_MANIFEST, tag="v1")
    after = json.loads((store.path / "index.json").read_text())
    assert after["manifests"][0] == other
    assert after["annotations"] == {"k": "v"}


@pytest.mark.parametrize("content", ["", "[]", '{"manifests": [{}]}', '{"manifests": [{"digest": "x"}]}'])
async def test_a_broken_index_is_an_error_and_stays(store: LayoutStore, content: str) -> None:
    await put(store, image())
    (store.path / "index.json").write_text(content)
    with pytest.raises(IntegrityError, match=r"index\.json"):
        await store.get_manifest("v1")
    with pytest.raises(IntegrityError):
        await store.put_manifest(image().content, OCI_MANIFEST, tag="v1")
    assert (store.path / "index.json").read_text() == content


async def test_a_tag_without_its_manifest_is_an_error(store: LayoutStore) -> None:
    one = image()
    await put(store, one, tag="v1")
    path = store.path_of(one.descriptor)
    assert path
    path.unlink()
    with pytest.raises(IntegrityError, match="points to"):
        await store.get_manifest("v1")


async def test_changed_files_are_found_out(store: LayoutStore) -> None:
    one = image()
    await put(store, one, tag="v1")
    for blob in (Blob(descriptor=one.descriptor, open=layer().open), one.blobs[1]):
        path = store.path_of(blob.descriptor)
        assert path
        path.write_bytes(b"x" * blob.descriptor.size)
    with pytest.raises(IntegrityError, match="other content"):
        await store.get_manifest("v1")
    with pytest.raises(IntegrityError, match="other content"):
        await collected(store.read_blob(one.blobs[1].descriptor))
    await store.put_manifest(one.content, OCI_MANIFEST, tag="v1")
    assert await store.get_manifest("v1")


async def test_a_layer_is_no_manifest(store: LayoutStore) -> None:
    await store.put_blob(layer())
    assert await store.get_manifest(layer().descriptor.digest) is None
    assert await store.head_manifest(layer().descriptor.digest) is None


async def test_a_file_of_another_size_is_written_again(store: LayoutStore) -> None:
    await store.put_blob(layer())
    path = store.path_of(layer().descriptor)
    assert path
    path.write_bytes(b"")
    assert store.path_of(layer().descriptor) is None
    assert await store.put_blob(layer()) is Outcome.UPLOADED


async def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "main.rs").write_text("")
    with pytest.raises(StoreError, match="no OCI image layout"):
        await LayoutStore(tmp_path).put_blob(layer())
    assert names(tmp_path) == {"main.rs"}


async def test_a_name_that_is_no_tag_is_refused(store: LayoutStore) -> None:
    await put(store, image())
    with pytest.raises(UsageError):
        await store.put_manifest(image().content, OCI_MANIFEST, tag="a b")


async def test_missing_blobs_are_found_before_anything_is_written(store: LayoutStore) -> None:
    with pytest.raises(MissingBlobs) as caught:
        await store.put_manifest(image().content, OCI_MANIFEST, tag="v1")
    assert caught.value.digests == tuple(blob.descriptor.digest for blob in image().blobs)
    assert not store.path.exists()


# Failure leaves nothing


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow beyond 3 MiB: the nearest thing to a full disk that a test can have."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * 1024 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_files")
async def test_a_blob_that_does_not_fit_leaves_nothing_and_says_where(store: LayoutStore) -> None:
    blob = layer(os.urandom(5 * 1024 * 1024))
    with pytest.raises(DiskError, match=f"cannot write .*{blob.descriptor.digest[7:]}: File too large"):
        await store.put_blob(blob)
    assert not any("blobs" in name for name in files(store))


async def test_a_full_disk_says_what_to_do(store: LayoutStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.put_blob(layer(b"before"))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DiskError, match="No space left") as caught:
        await store.put_blob(layer())
    assert "free some space" in str(caught.value)
    assert sum("blobs" in name for name in files(store)) == 1


async def test_a_cancelled_write_leaves_nothing(store: LayoutStore) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield os.urandom(2 * 1024 * 1024)
        started.set()
        await asyncio.sleep(60)

    descriptor = Descriptor(media_type=OCI_LAYER_GZIP, digest=layer().descriptor.digest, size=10**9)
    task = asyncio.create_task(store.put_blob(Blob(descriptor=descriptor, open=endless)))
    await started.wait()
    assert any(name.endswith(".partial") for name in files(store))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any("blobs" in name for name in files(store))


async def test_what_a_killed_run_left_is_swept_after_a_day(store: LayoutStore) -> None:
    await store.put_blob(layer(b"first"))
    folder = store.path / "blobs/sha256"
    for name, age in (("old", 25 * 3600), ("new", 3600)):
        (folder / f".{name}.partial").write_bytes(b"x")
        os.utime(folder / f".{name}.partial", (time.time() - age,) * 2)
    await LayoutStore(store.path).put_blob(layer(b"second"))
    assert {path.name for path in folder.glob(".*")} == {".new.partial"}


# Many writers


async def test_many_tags_at_once_are_all_kept(store: LayoutStore) -> None:
    await put(store, image())
    stores = [store, LayoutStore(store.path)]
    await together(
        stores[number % 2].put_manifest(image().content, OCI_MANIFEST, tag=f"v{number}") for number in range(20)
    )
    assert len(await store.tags()) == 20


async def test_many_processes_at_once_lose_no_tag(store: LayoutStore) -> None:
    await put(store, image())
    code = """
import asyncio, sys
from pathlib import Path
from buildonce.oci import OCI_MANIFEST
from buildonce.store.layout import LayoutStore
async def main():
    store = LayoutStore(Path(sys.argv[1]))
    content = Path(sys.argv[2]).read_bytes()
    for number in range(10):
        await store.put_manifest(content, OCI_MANIFEST, tag=f"{sys.argv[3]}-{number}")
asyncio.run(main())
"""
    path = store.path_of(image().descriptor)
    running = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(store.path), str(path), str(number))
        for number in range(3)
    ]
    while any(process.returncode is None for process in running):
        await store.tags()
        await asyncio.sleep(0.005)
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(await store.tags()) == 30


async def test_concurrent_wishes_for_one_blob_write_it_once(store: LayoutStore) -> None:
    outcomes = await together(store.put_blob(layer()) for _ in range(5))
    assert sorted(outcome.value for outcome in outcomes) == ["existed"] * 4 + ["uploaded"]


async def test_many_blobs_at_once_open_few_files(store: LayoutStore, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    blobs = []
    for number in range(300):
        path = tmp_path / "files" / str(number)
        path.write_bytes(b"%d" % number)
        blobs.append(blob_of_file(path, layer(b"%d" % number).descriptor))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (150, before[1]))
    try:
        outcomes = await together(store.put_blob(blob) for blob in blobs)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert set(outcomes) == {Outcome.UPLOADED}


# Files that are there already


@pytest.mark.parametrize("move", [False, True])
async def test_a_file_is_adopted_without_copying(store: LayoutStore, tmp_path: Path, move: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"layer")
    inode = path.stat().st_ino
    assert await store.adopt(path, layer().descriptor, move=move) is Outcome.UPLOADED
    adopted = store.path_of(layer().descriptor)
    assert adopted
    assert adopted.stat().st_ino == inode
    assert path.exists() is not move


async def test_a_file_that_is_there_already_is_not_adopted_again(store: LayoutStore, tmp_path: Path) -> None:
    await store.put_blob(layer())
    path = tmp_path / "file"
    path.write_bytes(b"layer")
    assert await store.adopt(path, layer().descriptor) is Outcome.EXISTED
    assert path.exists()


async def test_a_file_on_another_file_system_is_copied(
    store: LayoutStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crossing(*_: object) -> None:
        raise OSError(errno.EXDEV, "crossing")

    monkeypatch.setattr(os, "link", crossing)
    path = tmp_path / "file"
    path.write_bytes(b"layer")
    assert await store.adopt(path, layer().descriptor, move=True) is Outcome.UPLOADED
    assert await collected(store.read_blob(layer().descriptor)) == b"layer"
    assert not path.exists()


async def test_a_file_with_other_content_is_not_adopted(store: LayoutStore, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"lawyer")
    with pytest.raises(IntegrityError):
        await store.adopt(path, layer().descriptor, move=True)
    assert path.read_bytes() == b"lawyer"
    assert not any("blobs" in name for name in files(store))


async def test_a_file_that_is_not_there_is_an_error(store: LayoutStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read"):
        await store.adopt(tmp_path / "absent", layer().descriptor)
    with pytest.raises(StoreError, match="cannot read"):
        await store.put_blob(blob_of_file(tmp_path / "absent", layer().descriptor))


async def test_an_index_of_images_is_readable_as_one_tag(store: LayoutStore) -> None:
    one, two = image("one"), image("two")
    await put(store, one)
    await put(store, two)
    await store.put_manifest(index(one, two), OCI_INDEX, tag="all")
    assert list(await store.tags()) == ["all"]
