"""Images from store to store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from buildonce.errors import StoreError
from buildonce.oci import OCI_INDEX, OCI_MANIFEST, digest_of
from buildonce.reference import Repository
from buildonce.store.copying import copy_image
from buildonce.store.layout import LayoutStore
from buildonce.store.protocol import Holding, Local, Outcome, Store, Stored
from buildonce.store.registry import RegistrySession, RegistryStore
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import Image, image, index

CONTENT = os.urandom(1_500_000)


def fill(registry: FakeRegistry, name: str, what: Image, contents: dict[str, bytes], tag: str | None = None) -> Stored:
    for blob in what.blobs:
        registry.add_blob(name, contents[blob.descriptor.digest])
    registry.add_manifest(name, what.content, OCI_MANIFEST, tag=tag)
    return Stored(OCI_MANIFEST, what.content, digest_of(what.content))


async def contents_of(*images: Image) -> dict[str, bytes]:
    blobs = (blob for each in images for blob in each.blobs)
    return {blob.descriptor.digest: b"".join([chunk async for chunk in blob.open()]) for blob in blobs}


async def test_a_copy_within_a_registry_mounts_everything(registry: FakeRegistry, session: RegistrySession) -> None:
    one, two = image("one", b"shared"), image("two", b"shared")
    contents = await contents_of(one, two)
    fill(registry, "source", one, contents)
    fill(registry, "source", two, contents)
    content = index(one, two)
    source, target = (RegistryStore(Repository(registry.host, name), session) for name in ("source", "target"))
    copied = await copy_image(source, target, Stored(OCI_INDEX, content, digest_of(content)), tag="all")
    assert set(copied.blobs.values()) == {Outcome.MOUNTED}
    assert [(method, kind, count) for (method, kind), count in sorted(session.requests.items())] == [
        ("GET", "manifest", 2),
        ("POST", "mount", 3),
        ("PUT", "manifest", 3),
    ]
    assert registry.repository("target").tags == {"all": digest_of(content)}


async def test_a_copy_to_another_registry_streams(registry: FakeRegistry, session: RegistrySession) -> None:
    one = image("one", CONTENT)
    async with FakeRegistry() as other:
        stored = fill(registry, "source", one, await contents_of(one))
        source = RegistryStore(Repository(registry.host, "source"), session)
        target = RegistryStore(Repository(other.host, "target"), session)
        copied = await copy_image(source, target, stored)
        assert set(copied.blobs.values()) == {Outcome.UPLOADED}
        assert other.repository("target").blobs == registry.repository("source").blobs


async def test_a_large_blob_that_is_there_is_not_sent_again(
    registry: FakeRegistry, session: RegistrySession, tmp_path: Path
) -> None:
    one = image("one", CONTENT)
    layout = LayoutStore(tmp_path)
    for blob in one.blobs:
        await layout.put_blob(blob)
    await layout.put_manifest(one.content, OCI_MANIFEST)
    registry.add_blob("app", CONTENT)
    target = RegistryStore(Repository(registry.host, "app"), session)
    copied = await copy_image(layout, target, Stored(OCI_MANIFEST, one.content, digest_of(one.content)))
    assert [outcome.value for outcome in copied.blobs.values()] == ["uploaded", "existed"]
    assert session.bytes_up < 10_000


async def test_a_failed_copy_moves_no_tag(registry: FakeRegistry, session: RegistrySession, tmp_path: Path) -> None:
    one = image()
    registry.add_manifest("app", one.content, OCI_MANIFEST, tag="v1")
    source, target = RegistryStore(Repository(registry.host, "app"), session), LayoutStore(tmp_path / "layout")
    stored = await source.get_manifest("v1")
    assert stored
    with pytest.raises(StoreError, match="BLOB_UNKNOWN"):
        await copy_image(source, target, stored, tag="v1")
    assert await target.tags() == {}


def test_both_stores_fulfil_the_protocols(session: RegistrySession, tmp_path: Path) -> None:
    stores: tuple[Store, ...] = (LayoutStore(tmp_path), RegistryStore(Repository("r.example", "app"), session))
    assert all(isinstance(store, Holding) for store in stores)
    assert [isinstance(store, Local) for store in stores] == [True, False]
