"""A store that is read and not written: what is new stays on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from buildonce.oci import OCI_LAYER_GZIP, OCI_MANIFEST, digest_of
from buildonce.reference import Repository
from buildonce.store.layout import LayoutStore
from buildonce.store.overlay import OverlayStore
from buildonce.store.protocol import Holding, Local
from buildonce.store.registry import RegistrySession, RegistryStore
from buildonce.store.streams import blob_of_bytes
from buildonce.tasks import together
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import Image, collected, image

OLD, NEW = image("old"), image("new")


async def put(store: OverlayStore | LayoutStore | RegistryStore, what: Image, tag: str) -> None:
    await together(store.put_blob(blob) for blob in what.blobs)
    await store.put_manifest(what.content, OCI_MANIFEST, tag=tag)


@pytest.fixture(params=["registry", "layout"])
async def lower(
    request: pytest.FixtureRequest, registry: FakeRegistry, session: RegistrySession, tmp_path: Path
) -> AsyncIterator[LayoutStore | RegistryStore]:
    layout = LayoutStore(tmp_path / "lower")
    store = layout if request.param == "layout" else RegistryStore(Repository(registry.host, "cache"), session)
    await put(store, OLD, "old")
    registry.log.clear()
    yield store
    assert not [one for one in registry.log if one.method not in ("GET", "HEAD")], "nothing was written"
    assert await store.head_manifest("new") is None


@pytest.fixture
def store(lower: LayoutStore | RegistryStore, tmp_path: Path) -> OverlayStore:
    return OverlayStore(lower, LayoutStore(tmp_path / "upper"))


async def test_what_is_below_is_read(store: OverlayStore, lower: LayoutStore | RegistryStore) -> None:
    stored = await store.get_manifest("old")
    assert stored
    assert stored.content == OLD.content
    assert await store.head_manifest("old") == stored.digest
    assert await store.holder(stored.digest) is lower
    assert await store.has_blob(OLD.blobs[1].descriptor)
    assert await collected(store.read_blob(OLD.blobs[1].descriptor)) == b"layer of old"
    assert store.name == lower.name


async def test_what_is_written_stays_here(store: OverlayStore) -> None:
    await put(store, NEW, "new")
    stored = await store.get_manifest("new")
    assert stored
    assert stored.content == NEW.content
    assert await store.holder(stored.digest) is store.upper
    assert await collected(store.read_blob(NEW.blobs[1].descriptor)) == b"layer of new"
    path = store.path_of(NEW.blobs[1].descriptor)
    assert path
    assert path.is_relative_to(store.upper.path)


async def test_what_is_here_comes_first(store: OverlayStore) -> None:
    await put(store, NEW, "old")
    stored = await store.get_manifest("old")
    assert stored
    assert stored.content == NEW.content
    assert await store.head_manifest("old") == digest_of(NEW.content)


async def test_another_record_of_an_image_below_is_not_kept(store: OverlayStore) -> None:
    content = OLD.content.replace(b"{", b'{"annotations":{"a":"b"},', 1)
    assert content != OLD.content
    assert await store.put_manifest(content, OCI_MANIFEST, tag="old") == digest_of(content)
    assert await store.head_manifest("old") == digest_of(OLD.content)


async def test_what_is_nowhere_is_none(store: OverlayStore) -> None:
    absent = blob_of_bytes(b"absent", OCI_LAYER_GZIP)
    assert await store.get_manifest("absent") is None
    assert not await store.has_blob(absent.descriptor)
    assert store.path_of(absent.descriptor) is None
    assert isinstance(store, Holding)
    assert isinstance(store, Local)
