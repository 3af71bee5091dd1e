"""What every store does, run against the layout, our fake registry, and two that others made."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from buildonce.errors import IntegrityError, MissingBlobs, NotInStore, StoreError, UsageError
from buildonce.oci import OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, digest_of
from buildonce.reference import Repository
from buildonce.store.copying import copy_image
from buildonce.store.layout import LayoutStore
from buildonce.store.protocol import Blob, Outcome, Stored
from buildonce.store.registry import RegistrySession, RegistryStore
from buildonce.store.registry.capabilities import CapabilityTable
from buildonce.store.registry.uploads import RESUMABLE
from buildonce.store.streams import blob_of_bytes, bytes_chunks
from tests.e2e.harness import load_host
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import Image, collected, image, index, new_session
from tests.store.registries import crane_registry

AnyStore = LayoutStore | RegistryStore


KINDS = (
    "layout",
    "fake",
    pytest.param("distribution", marks=pytest.mark.host),
    pytest.param("crane", marks=pytest.mark.host),
)

UNCHECKED = {"crane"}
"""Stores that take a manifest whose parts they lack."""


@pytest.fixture(scope="session")
def crane() -> Iterator[str]:
    with crane_registry() as address:
        yield address


@pytest.fixture(scope="session")
def distribution() -> str:
    return load_host().registry


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def store(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, registry: FakeRegistry, session: RegistrySession
) -> AsyncIterator[AnyStore]:
    name = f"contract/{uuid.uuid4().hex[:12]}"
    match kind:
        case "layout":
            yield LayoutStore(tmp_path / "layout")
        case "fake":
            yield RegistryStore(Repository(registry.host, name), session)
        case "crane":
            yield RegistryStore(Repository(request.getfixturevalue("crane"), name), session)
        case _:
            yield RegistryStore(Repository(request.getfixturevalue("distribution"), name), session)


async def put(store: AnyStore, what: Image, *, tag: str | None = None) -> None:
    await asyncio.gather(*(store.put_blob(blob) for blob in what.blobs))
    await store.put_manifest(what.content, what.media_type, tag=tag)


async def test_an_image_comes_back_by_tag_and_by_digest(store: AnyStore) -> None:
    one = image()
    await put(store, one, tag="v1")
    for name in ("v1", digest_of(one.content)):
        stored = await store.get_manifest(name)
        assert stored is not None
        assert (stored.content, stored.media_type, stored.digest) == (one.content, OCI_MANIFEST, digest_of(one.content))
        assert await store.head_manifest(name) == digest_of(one.content)


async def test_what_is_not_there_is_none(store: AnyStore) -> None:
    assert await store.get_manifest("v1") is None
    assert await store.head_manifest("v1") is None
    assert await store.get_manifest(digest_of(b"nothing")) is None
    assert await store.head_manifest(digest_of(b"nothing")) is None


@pytest.mark.parametrize("name", ["a b", "../v1", "", "v" * 129])
async def test_a_name_that_is_no_tag_is_not_written(store: AnyStore, name: str) -> None:
    one = image()
    await put(store, one)
    with pytest.raises(UsageError):
        await store.put_manifest(one.content, OCI_MANIFEST, tag=name)


async def test_a_manifest_without_a_tag_moves_no_tag(store: AnyStore) -> None:
    one, two = image("one"), image("two")
    await put(store, one, tag="v1")
    await put(store, two)
    assert await store.head_manifest("v1") == digest_of(one.content)
    assert await store.head_manifest(digest_of(two.content)) == digest_of(two.content)


async def test_a_tag_moves_to_the_last_manifest(store: AnyStore) -> None:
    await put(store, image("one"), tag="v1")
    await put(store, image("two"), tag="v1")
    assert await store.head_manifest("v1") == digest_of(image("two").content)


async def test_an_index_comes_back_after_its_manifests(store: AnyStore) -> None:
    one, two = image("one"), image("two")
    await put(store, one)
    await put(store, two)
    digest = await store.put_manifest(index(one, two), OCI_INDEX, tag="all")
    stored = await store.get_manifest("all")
    assert stored is not None
    assert (stored.digest, stored.media_type) == (digest, OCI_INDEX)


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 3 * 1024 * 1024 + 17])
async def test_a_blob_comes_back(store: AnyStore, size: int) -> None:
    content = os.urandom(size)
    blob = blob_of_bytes(content, OCI_LAYER_GZIP)
    assert await store.put_blob(blob) is Outcome.UPLOADED
    assert await collected(store.read_blob(blob.descriptor)) == content
    assert await store.has_blob(blob.descriptor)


async def test_a_blob_that_is_not_there_is_not_held(store: AnyStore) -> None:
    assert not await store.has_blob(blob_of_bytes(b"absent", OCI_LAYER_GZIP).descriptor)


async def test_the_size_of_a_blob_is_told_without_the_blob(store: AnyStore) -> None:
    blob = blob_of_bytes(os.urandom(100), OCI_LAYER_GZIP)
    assert await store.blob_size(blob.descriptor) is None
    await store.put_blob(blob)
    assert await store.blob_size(blob.descriptor) == 100
    assert await store.blob_size(msgspec.structs.replace(blob.descriptor, size=7)) == 100


async def test_a_blob_that_is_not_there_cannot_be_read(store: AnyStore) -> None:
    with pytest.raises(NotInStore):
        await collected(store.read_blob(blob_of_bytes(b"absent", OCI_LAYER_GZIP).descriptor))


async def test_tags_are_listed(store: AnyStore) -> None:
    assert not list(await store.tags())
    one = image()
    for tag in ("v2", "v1"):
        await put(store, one, tag=tag)
    await put(store, image("two"))
    assert sorted(await store.tags()) == ["v1", "v2"]


async def test_the_same_blob_is_stored_once(store: AnyStore) -> None:
    blob = blob_of_bytes(os.urandom(1000), OCI_LAYER_GZIP)
    assert await store.put_blob(blob) is Outcome.UPLOADED
    assert await store.put_blob(blob) is Outcome.EXISTED


@pytest.mark.parametrize(
    "change",
    [lambda content: content[::-1], lambda content: content[1:], lambda content: content + b"x"],
    ids=["other content", "shorter", "longer"],
)
async def test_a_blob_that_is_not_what_it_says_is_not_stored(store: AnyStore, change: Callable[[bytes], bytes]) -> None:
    # A registry may hold what others sent to it anywhere.
    announced = os.urandom(100)
    blob = Blob(
        descriptor=blob_of_bytes(announced, OCI_LAYER_GZIP).descriptor,
        open=lambda: bytes_chunks(change(announced)),
    )
    with pytest.raises(IntegrityError):
        await store.put_blob(blob)
    assert not await store.has_blob(blob.descriptor)


async def test_a_blob_of_another_size_is_refused_when_read(store: AnyStore) -> None:
    blob = blob_of_bytes(os.urandom(100), OCI_LAYER_GZIP)
    await store.put_blob(blob)
    for size in (99, 101):
        with pytest.raises(IntegrityError):
            await collected(store.read_blob(msgspec.structs.replace(blob.descriptor, size=size)))


async def test_a_manifest_without_its_blobs_is_refused_with_their_digests(store: AnyStore, kind: str) -> None:
    one = image()
    await store.put_blob(one.blobs[0])
    if kind in UNCHECKED:
        await store.put_manifest(one.content, OCI_MANIFEST, tag="v1")
        assert await store.head_manifest("v1"), "the registry checks by now: take it out of UNCHECKED"
        return
    with pytest.raises(MissingBlobs) as caught:
        await store.put_manifest(one.content, OCI_MANIFEST, tag="v1")
    assert caught.value.digests == (one.blobs[1].descriptor.digest,)
    assert await store.head_manifest("v1") is None
    await store.put_blob(one.blobs[1])
    await store.put_manifest(one.content, OCI_MANIFEST, tag="v1")


async def test_an_index_without_its_manifests_is_refused(store: AnyStore) -> None:
    one = image()
    with pytest.raises(MissingBlobs) as caught:
        await store.put_manifest(index(one), OCI_INDEX, tag="all")
    assert caught.value.digests == (digest_of(one.content),)


async def test_a_manifest_of_another_type_than_it_is_called_is_refused(store: AnyStore) -> None:
    one = image()
    await asyncio.gather(*(store.put_blob(blob) for blob in one.blobs))
    with pytest.raises(IntegrityError):
        await store.put_manifest(one.content, OCI_INDEX)


async def test_an_index_is_copied_whole_into_a_layout_and_back(store: AnyStore, tmp_path: Path) -> None:
    one, two = image("one", b"shared", b"first"), image("two", b"shared", os.urandom(300_000))
    await put(store, one)
    await put(store, two)
    await store.put_manifest(index(one, two), OCI_INDEX, tag="all")
    stored = await store.get_manifest("all")
    assert stored is not None
    layout = LayoutStore(tmp_path / "copy")
    there = await copy_image(store, layout, stored, tag="all")
    assert set(there.blobs.values()) == {Outcome.UPLOADED}
    assert len(there.blobs) == 5
    assert there.manifests[-1] == stored.digest
    again = await copy_image(store, layout, stored, tag="all")
    assert set(again.blobs.values()) == {Outcome.EXISTED}
    back = await copy_image(layout, store, stored, tag="back")
    assert set(back.blobs.values()) == {Outcome.EXISTED}
    assert await store.head_manifest("back") == stored.digest


async def test_an_unfinished_index_is_not_copied(store: AnyStore, tmp_path: Path) -> None:
    layout = LayoutStore(tmp_path / "target")
    child = Descriptor(media_type=OCI_MANIFEST, digest=digest_of(b"absent"), size=6)
    content = index(Image(b"absent", ()))
    assert child.digest.encode() in content
    with pytest.raises(StoreError, match="lacks"):
        await copy_image(store, layout, Stored(OCI_INDEX, content, digest_of(content)), tag="x")
    assert await layout.head_manifest("x") is None


# What only registries do; each finds out for itself how.


@pytest.fixture
async def curious(store: AnyStore) -> AsyncIterator[RegistryStore]:
    """The same repository, seen by who tries things out."""
    assert isinstance(store, RegistryStore)
    table = CapabilityTable(now=lambda: 0.0)
    async with new_session(capabilities=table) as session:
        yield RegistryStore(store.repository, session)


registries = pytest.mark.parametrize("kind", KINDS[1:], indirect=True)


@registries
async def test_uploads_are_right_whether_one_request_is_enough_or_not(curious: RegistryStore, kind: str) -> None:
    blobs = [blob_of_bytes(os.urandom(1000 * number), OCI_LAYER_GZIP) for number in range(1, 5)]
    for blob in blobs:
        assert await curious.put_blob(blob) is Outcome.UPLOADED
        assert len(await collected(curious.read_blob(blob.descriptor))) == blob.descriptor.size
    able = kind == "crane"
    assert curious.session.known(curious.session.endpoint(curious.repository)).single_post is able
    uploads = sum(curious.session.requests[key] for key in (("POST", "upload"), ("POST", "blob"), ("PUT", "blob")))
    assert uploads == (1 if able else 2) * len(blobs)


@registries
async def test_mounts_are_tried_and_never_trusted(curious: RegistryStore, kind: str) -> None:
    blob = blob_of_bytes(os.urandom(1000), OCI_LAYER_GZIP)
    await curious.put_blob(blob)
    other = RegistryStore(curious.repository.beside("-other"), curious.session)
    able = kind != "crane"
    assert await other.put_blob(blob) is (Outcome.MOUNTED if able else Outcome.UPLOADED)
    assert await other.has_blob(blob.descriptor)
    assert curious.session.known(curious.session.endpoint(curious.repository)).mount is able


@registries
async def test_it_is_found_out_whether_one_request_sets_several_tags(curious: RegistryStore) -> None:
    one = image(os.urandom(8).hex())
    for blob in one.blobs:
        await curious.put_blob(blob)
    done = await curious.put_together(one.content, OCI_MANIFEST, ["a", "b", "c"])
    assert [tag for tag in ("a", "b", "c") if await curious.head_manifest(tag)] == sorted(done)
    assert curious.session.known(curious.session.endpoint(curious.repository)).multi_tag is False


@registries
async def test_a_large_blob_arrives_whole(curious: RegistryStore) -> None:
    blob = blob_of_bytes(os.urandom(1024) * (RESUMABLE // 1024) + b"end", OCI_LAYER_GZIP)
    assert await curious.put_blob(blob) is Outcome.UPLOADED
    assert sum([len(chunk) async for chunk in curious.read_blob(blob.descriptor)]) == blob.descriptor.size
    requests = curious.session.requests
    assert requests["PATCH", "blob"] == 1
    assert requests["PUT", "blob"] == 1
