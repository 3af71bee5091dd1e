"""How many requests things take: the floor, and not one more."""

from __future__ import annotations

import asyncio
import os
from collections import Counter

import pytest

from buildonce.oci import OCI_LAYER_GZIP, OCI_MANIFEST
from buildonce.reference import Repository
from buildonce.store.protocol import Outcome
from buildonce.store.registry import RegistryOptions, RegistrySession, RegistryStore
from buildonce.store.streams import blob_of_bytes
from tests.fakes import registry as fake
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import image, new_session


@pytest.fixture
def store(registry: FakeRegistry, session: RegistrySession) -> RegistryStore:
    return RegistryStore(Repository(registry.host, "app"), session)


async def test_an_image_takes_two_requests_a_blob_and_one_for_its_manifest(
    registry: FakeRegistry, store: RegistryStore, session: RegistrySession
) -> None:
    one = image("one", b"first", b"second")
    await asyncio.gather(*(store.put_blob(blob) for blob in one.blobs))
    await store.put_manifest(one.content, OCI_MANIFEST, tag="v1")
    assert session.requests == {("POST", "upload"): 3, ("PUT", "blob"): 3, ("PUT", "manifest"): 1}
    assert len(registry.log) == 7
    assert session.bytes_up == sum(blob.descriptor.size for blob in one.blobs) + len(one.content)


async def test_fourteen_images_with_one_layer_reach_the_floor(registry: FakeRegistry, session: RegistrySession) -> None:
    """2P + P(V-1) + 3VP requests for V repositories, one upload of the layer (P = 1, V = 14)."""
    layer = os.urandom(200_000)

    async def ship(number: int) -> None:
        store = RegistryStore(Repository(registry.host, f"variant{number}"), session)
        one = image(f"v{number}", layer)
        await asyncio.gather(*(store.put_blob(blob) for blob in one.blobs))
        await store.put_manifest(one.content, OCI_MANIFEST, tag="v1")

    await asyncio.gather(*(ship(number) for number in range(14)))
    assert Counter(entry.method for entry in registry.log) == {"POST": 15 + 13, "PUT": 15 + 14}
    assert session.requests["POST", "mount"] == 13
    assert sum(len(entry.body) >= len(layer) for entry in registry.log) == 1
    assert session.bytes_down == 0


async def test_concurrent_wishes_for_one_blob_upload_it_once(registry: FakeRegistry, store: RegistryStore) -> None:
    blob = blob_of_bytes(b"layer", OCI_LAYER_GZIP)
    outcomes = await asyncio.gather(*(store.put_blob(blob) for _ in range(10)))
    assert Counter(outcomes) == {Outcome.UPLOADED: 1, Outcome.EXISTED: 9}
    assert len(registry.log) == 2


async def test_an_upload_that_fails_is_tried_by_the_next_who_wants_it(
    registry: FakeRegistry, store: RegistryStore
) -> None:
    registry.faults.append(fake.status(400, method="POST"))
    blob = blob_of_bytes(b"layer", OCI_LAYER_GZIP)
    first, second = await asyncio.gather(store.put_blob(blob), store.put_blob(blob), return_exceptions=True)
    assert isinstance(first, Exception)
    assert second is Outcome.UPLOADED


async def test_connections_are_used_again(registry: FakeRegistry, store: RegistryStore) -> None:
    for number in range(10):
        await store.put_blob(blob_of_bytes(bytes([number]), OCI_LAYER_GZIP))
    assert len(registry.connections) == 1


async def test_no_more_requests_run_at_once_than_allowed(registry: FakeRegistry) -> None:
    registry.latency = 0.01
    async with new_session(options=RegistryOptions(concurrency=3)) as session:
        store = RegistryStore(Repository(registry.host, "app"), session)
        await asyncio.gather(*(store.put_blob(blob_of_bytes(bytes([n]), OCI_LAYER_GZIP)) for n in range(20)))
    assert len(registry.connections) <= 3


async def test_copies_between_repositories_do_not_wait_for_each_other_for_ever(registry: FakeRegistry) -> None:
    from buildonce.store.protocol import Blob

    async with new_session(options=RegistryOptions(concurrency=1)) as session:
        source = RegistryStore(Repository(registry.host, "source"), session)
        target = RegistryStore(Repository(registry.host, "target"), session)
        blobs = [blob_of_bytes(os.urandom(2_000_000), OCI_LAYER_GZIP) for _ in range(3)]
        for blob in blobs:
            registry.add_blob("source", b"".join([chunk async for chunk in blob.open()]))

        def again(blob: Blob) -> Blob:
            return Blob(descriptor=blob.descriptor, open=lambda: source.read_blob(blob.descriptor))

        async with asyncio.timeout(5):
            await asyncio.gather(*(target.put_blob(again(blob)) for blob in blobs))


async def test_a_large_blob_is_never_whole_in_memory(registry: FakeRegistry, store: RegistryStore) -> None:
    blob = blob_of_bytes(os.urandom(8 * 1024 * 1024), OCI_LAYER_GZIP)
    await store.put_blob(blob)
    sizes = [len(chunk) async for chunk in store.read_blob(blob.descriptor)]
    assert max(sizes) <= 1024 * 1024


async def test_tags_are_listed_page_by_page(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.page = 3
    for number in range(8):
        registry.add_manifest("app", image().content, OCI_MANIFEST, tag=f"v{number}")
    assert list(await store.tags()) == [f"v{number}" for number in range(8)]
    assert [one.query for one in registry.log] == [{}, {"n": "3", "last": "v2"}, {"n": "3", "last": "v5"}]


async def test_the_next_page_is_asked_of_the_same_server(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.add_manifest("app", image().content, OCI_MANIFEST, tag="v9")
    elsewhere = {"Link": '<http://elsewhere.invalid/v2/other/tags/list?last=v1>; rel="next"'}
    registry.faults.append(fake.instead(b'{"tags":["v1","no tag"]}', headers=elsewhere))
    assert list(await store.tags()) == ["v1", "v9"]
    assert [one.path for one in registry.log] == ["/v2/app/tags/list"] * 2
