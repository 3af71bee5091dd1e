"""What of a layout is on the disk when: a name never stands for bytes that a loss of power could take away."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from buildonce.errors import MissingBlobs, StoreError, UsageError
from buildonce.oci import OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, digest_of
from buildonce.store import layout
from buildonce.store.layout import LayoutStore
from buildonce.store.streams import blob_of_bytes, open_file
from buildonce.tasks import together
from tests.fakes.sessions import image, index


class Disk:
    """What would be left if the power went: the data of files, and the names in folders, that were synced."""

    def __init__(self) -> None:
        self.inodes: set[int] = set()
        self.names: dict[Path, set[str]] = {}
        self.lost: list[str] = []

    def synced(self, descriptor: int) -> None:
        """Note that a file or folder was synced."""
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            self.names[path] = {one.name for one in path.iterdir()}
        else:
            self.inodes.add(path.stat().st_ino)

    def renamed(self, source: Path, target: Path) -> None:
        """Note what a new name stands for that is not on the disk yet."""
        if source.stat().st_ino not in self.inodes:
            self.lost.append(f"{target.name} has a name before its bytes are on the disk")
        if target.name == "index.json":
            self._check(target.parent / "blobs", "index.json is replaced before")

    def _check(self, folder: Path, when: str) -> None:
        for path in (one for one in folder.rglob("*") if not one.name.startswith(".")):
            if path.name not in self.names.get(path.parent, set()):
                self.lost.append(f"{when} the name {path.name} is on the disk")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    fsync, replace = os.fsync, Path.replace

    def syncing(descriptor: int) -> None:
        fsync(descriptor)
        disk.synced(descriptor)

    def renaming(self: Path, target: Path) -> Path:
        disk.renamed(self, target)
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(Path, "replace", renaming)
    yield disk
    assert disk.lost == []


async def test_names_come_after_what_they_stand_for(tmp_path: Path, disk: Disk) -> None:
    store = LayoutStore(tmp_path / "a" / "layout")
    one, two = image("one", os.urandom(2_000_000)), image("two")
    await together(store.put_blob(blob) for blob in (*one.blobs, *two.blobs))
    await together(store.put_manifest(each.content, OCI_MANIFEST) for each in (one, two))
    await store.put_manifest(index(one, two), OCI_INDEX, tag="all")
    (tmp_path / "file").write_bytes(b"layer")
    await store.adopt(tmp_path / "file", blob_of_bytes(b"layer", OCI_LAYER_GZIP).descriptor)
    await store.set_tags({"one": digest_of(one.content), "two": digest_of(two.content)})
    # What another run has put there, and not tagged, is tagged here.
    other = image("other")
    await together(store.put_blob(blob) for blob in other.blobs)
    await LayoutStore(store.path).put_manifest(other.content, OCI_MANIFEST, tag="other")
    for folder in (tmp_path, tmp_path / "a", store.path, store.path / "blobs"):
        assert {path.name for path in folder.iterdir() if path.is_dir()} <= disk.names[folder], "folders are there too"
    assert "index.json" in disk.names[store.path]


async def test_a_copied_file_is_on_the_disk_before_it_has_a_name(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crossing(*_: object) -> None:
        raise OSError(errno.EXDEV, "crossing")

    monkeypatch.setattr(os, "link", crossing)
    (tmp_path / "file").write_bytes(b"layer")
    store = LayoutStore(tmp_path / "layout")
    await store.adopt(tmp_path / "file", blob_of_bytes(b"layer", OCI_LAYER_GZIP).descriptor)
    assert disk.inodes


async def test_folders_that_cannot_be_synced_are_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def refusing(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refusing)
    store = LayoutStore(tmp_path / "layout")
    one = image()
    await together(store.put_blob(blob) for blob in one.blobs)
    await store.put_manifest(one.content, OCI_MANIFEST, tag="v1")
    assert await store.head_manifest("v1")


async def test_a_store_that_may_lose_things_believes_no_file(tmp_path: Path) -> None:
    blob = blob_of_bytes(b"layer", OCI_LAYER_GZIP)
    store = LayoutStore(tmp_path / "layout", durable=False)
    await store.put_blob(blob)
    path = store.path_of(blob.descriptor)
    assert path
    path.write_bytes(b"\0" * 5)
    (tmp_path / "file").write_bytes(b"layer")
    await store.adopt(tmp_path / "file", blob.descriptor, is_checked=True)
    assert path.read_bytes() == b"layer"


# Several tags in one step


async def test_tags_move_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LayoutStore(tmp_path / "layout")
    images = {name: image(name) for name in ("one", "two", "three")}
    for each in images.values():
        await together(store.put_blob(blob) for blob in each.blobs)
        await store.put_manifest(each.content, OCI_MANIFEST)
    await store.set_tags({"kept": digest_of(images["one"].content), "moved": digest_of(images["one"].content)})
    seen = []
    real = Path.replace

    def replacing(self: Path, target: Path) -> Path:
        seen.append(target.name)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replacing)
    wanted = {"moved": digest_of(images["two"].content), "new": digest_of(images["three"].content)}
    await store.set_tags(wanted)
    assert seen == ["index.json"], "one step"
    tags = {tag: descriptor.digest for tag, descriptor in (await store.tags()).items()}
    assert tags == {"kept": digest_of(images["one"].content), **wanted}
    await store.set_tags(wanted)
    assert seen == ["index.json"], "nothing to do"


async def test_tags_move_all_or_none(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path / "layout")
    one = image()
    await together(store.put_blob(blob) for blob in one.blobs)
    await store.put_manifest(one.content, OCI_MANIFEST, tag="v1")
    there, absent = digest_of(one.content), digest_of(b"absent")
    with pytest.raises(MissingBlobs) as caught:
        await store.set_tags({"v2": there, "v3": absent})
    assert caught.value.digests == (absent,)
    with pytest.raises(UsageError, match="`a b` is not a tag"):
        await store.set_tags({"v2": there, "a b": there})
    assert set(await store.tags()) == {"v1"}


async def test_an_index_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LayoutStore(tmp_path / "layout")
    one = image()
    await together(store.put_blob(blob) for blob in one.blobs)
    await store.put_manifest(one.content, OCI_MANIFEST, tag="v1")
    real, stale = open_file, [True, True]

    def opening(path: Path, *, within: Path | None = None) -> BinaryIO:
        if path.name == "index.json" and stale and stale.pop():
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real(path, within=within)

    monkeypatch.setattr(layout, "open_file", opening)
    assert set(await store.tags()) == {"v1"}
    stale.extend([True] * 99)
    with pytest.raises(StoreError, match="cannot read"):
        await store.tags()
