"""Requests and bytes of a release whose core changed: the fewest that are possible, and not one more.

With V variants, P platforms and the base layers in place: 2 requests for each core, 2 for each config, 1 for each
manifest and 1 for each index under its tag; less where a registry takes blobs in one request.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping

import pytest

from buildonce.oci import Platform
from buildonce.reference import Repository
from buildonce.ship.publication import Publisher, TagOutcome
from buildonce.ship.receipts import Receipt
from buildonce.ship.release import Image, Release, index_images
from buildonce.store.protocol import Blob
from buildonce.store.registry import RegistrySession, RegistryStore
from buildonce.store.registry.capabilities import Capabilities, CapabilityTable
from tests.e2e.harness import load_host
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import new_session
from tests.ship.releases import image

ARCHITECTURES = ("amd64", "arm64", "riscv64", "s390x")
EMPTY = Receipt(target="test")
COUNTS = [(variants, platforms) for variants in (1, 7, 30) for platforms in (1, 2, 4)]
counts = pytest.mark.parametrize(("variants", "platforms"), COUNTS, ids=[f"{v}x{p}" for v, p in COUNTS])

TWO, ONE = Capabilities(single_post=False), Capabilities(single_post=True)
"""Registries that take a blob in two requests, and in one."""


def release(variants: int, platforms: int, core: str) -> Release:
    """A family: for each platform one core in all variants, and a base layer."""
    chosen = [Platform(os="linux", architecture=name) for name in ARCHITECTURES[:platforms]]
    indexes = []
    for number in range(variants):
        images = tuple(image(f"v{number}", platform, core) for platform in chosen)
        indexes.append(index_images(f"v{number}", (f"v{number}",), images))
    return Release(indexes=tuple(indexes))


def images_of(release: Release) -> list[Image]:
    return [image for index in release.indexes for image in index.images]


def bytes_of(release: Release) -> int:
    """P x C + V x P x (c + m) + V x i: each late layer once, each config, manifest and index."""
    new: dict[str, int] = {
        blob.descriptor.digest: blob.descriptor.size for image in images_of(release) for blob in image.new
    }
    manifests = sum(len(image.manifest) for image in images_of(release))
    return sum(new.values()) + manifests + sum(len(index.content) for index in release.indexes)


def floor(variants: int, platforms: int, upload: int) -> int:
    """The requests of one repository, with ``upload`` requests for a blob."""
    return upload * platforms + (upload + 1) * variants * platforms + variants


@pytest.fixture
async def session(registry: FakeRegistry, known: Capabilities) -> AsyncIterator[RegistrySession]:
    registry.single_post = bool(known.single_post)
    table = CapabilityTable(now=lambda: 0.0)
    table.learn(registry.url, known)
    async with new_session(capabilities=table) as session:
        yield session


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as registry:
        yield registry


def sent(registry: FakeRegistry) -> int:
    return sum(len(entry.body) for entry in registry.log)


@counts
@pytest.mark.parametrize(("known", "upload"), [(TWO, 2), (ONE, 1)], ids=["two requests a blob", "one request a blob"])
async def test_one_repository(
    registry: FakeRegistry, session: RegistrySession, variants: int, platforms: int, upload: int
) -> None:
    store = RegistryStore(Repository(registry.host, "acme/family"), session)
    first = Publisher(store, EMPTY)
    await first.publish(release(variants, platforms, "core 1"))
    registry.log.clear()
    down = session.bytes_down
    changed = release(variants, platforms, "core 2")
    second = Publisher(store, first.receipt)
    await second.publish(changed)
    assert len(registry.log) == floor(variants, platforms, upload)
    assert sent(registry) == bytes_of(changed)
    assert session.bytes_down == down

    registry.log.clear()
    published = await Publisher(store, second.receipt).publish(changed)
    assert {tag.outcome for tag in published.tags} == {TagOutcome.UNCHANGED}
    assert [entry.method for entry in registry.log] == ["HEAD"] * variants, "has someone else moved a tag?"


@pytest.mark.parametrize(("variants", "platforms"), [(1, 1), (7, 2)])
@pytest.mark.parametrize("known", [Capabilities()], ids=["unknown"])
@pytest.mark.parametrize("able", [True, False])
async def test_to_find_out_costs_no_request_more(
    registry: FakeRegistry, session: RegistrySession, variants: int, platforms: int, *, able: bool
) -> None:
    registry.single_post = able
    store = RegistryStore(Repository(registry.host, "acme/family"), session)
    for blob in {one.descriptor.digest: one for one in shared_of(release(variants, platforms, "core 1"))}.values():
        registry.add_blob("acme/family", b"".join([chunk async for chunk in blob.open()]))
    wanted = release(variants, platforms, "core 1")
    receipt = Receipt(
        target="test",
        blobs=frozenset(blob.descriptor.digest for blob in shared_of(wanted)),
        tags={index.tags[0]: index.images[0].descriptor.digest for index in wanted.indexes},
    )
    await Publisher(store, receipt).publish(wanted)
    assert len(registry.log) <= floor(variants, platforms, 2)
    if not able:
        assert len(registry.log) == floor(variants, platforms, 2)


def shared_of(release: Release) -> list[Blob]:
    return [blob for image in images_of(release) for blob in image.shared]


async def ship_apart(session: RegistrySession, host: str, release: Release, receipts: Mapping[str, Receipt]) -> None:
    """Publish each variant to a repository of its own, all at once."""

    async def ship(number: int) -> None:
        index = release.indexes[number]
        store = RegistryStore(Repository(host, f"acme/{index.variant}"), session)
        await Publisher(store, receipts[index.variant]).publish(Release(indexes=(index,)))

    await asyncio.gather(*(ship(number) for number in range(len(release.indexes))))


def receipts_for(host: str, release: Release) -> dict[str, Receipt]:
    """What is known of repositories that hold the bases, and another release under the tags."""
    return {
        index.variant: Receipt(
            target=f"{host}/acme/{index.variant}",
            tags=dict.fromkeys(index.tags, index.images[0].descriptor.digest),
            blobs=frozenset(blob.descriptor.digest for image in index.images for blob in image.shared),
        )
        for index in release.indexes
    }


NO_MOUNT = Capabilities(single_post=False, mount=False)
NO_MOUNT_ONE = Capabilities(single_post=True, mount=False)


@counts
@pytest.mark.parametrize(
    ("known", "upload", "mounts"),
    [
        pytest.param(TWO, 2, True, id="mounts"),
        pytest.param(ONE, 1, True, id="mounts, one request a blob"),
        pytest.param(NO_MOUNT, 2, False, id="no mounts"),
        pytest.param(NO_MOUNT_ONE, 1, False, id="no mounts, one request a blob"),
    ],
)
async def test_a_repository_for_each_variant(
    registry: FakeRegistry, session: RegistrySession, variants: int, platforms: int, upload: int, *, mounts: bool
) -> None:
    registry.mounts = mounts
    wanted = release(variants, platforms, "core 1")
    for index in wanted.indexes:
        for blob in shared_of(Release(indexes=(index,))):
            registry.add_blob(f"acme/{index.variant}", b"".join([chunk async for chunk in blob.open()]))
    await ship_apart(session, registry.host, wanted, receipts_for(registry.host, wanted))
    others = platforms * (variants - 1)
    cores = upload * platforms + others * (1 if mounts else upload)
    assert len(registry.log) == cores + (upload + 1) * variants * platforms + variants
    layers = {blob.descriptor.digest: blob.descriptor.size for one in images_of(wanted) for blob in one.new[:1]}
    assert sent(registry) == bytes_of(wanted) + (0 if mounts else (variants - 1) * sum(layers.values()))
    assert {name: len(held.tags) for name, held in registry.repositories.items()} == {
        f"acme/v{number}": 1 for number in range(variants)
    }


@pytest.mark.host
@pytest.mark.parametrize("apart", [False, True], ids=["one repository", "a repository for each variant"])
async def test_a_real_registry_gets_the_same_requests(*, apart: bool) -> None:
    host, variants, platforms = load_host().registry, 7, 2
    run = uuid.uuid4().hex[:8]
    async with RegistrySession() as first, RegistrySession() as second:
        if apart:
            await _bases_apart(first, host, f"{run} 1", variants, platforms)
            wanted = release(variants, platforms, f"{run} 2")
            await ship_apart(second, host, wanted, receipts_for(host, wanted))
            expected = floor(variants, platforms, 2) + platforms * (variants - 1)
        else:
            repository = Repository(host, f"floor/{run}")
            one = Publisher(RegistryStore(repository, first), EMPTY)
            await one.publish(release(variants, platforms, f"{run} 1"))
            wanted = release(variants, platforms, f"{run} 2")
            await Publisher(RegistryStore(repository, second), one.receipt).publish(wanted)
            expected = floor(variants, platforms, 2)
        assert sum(second.requests.values()) == expected
        tried = [blob for one in images_of(wanted) for blob in one.new]
        assert 0 <= second.bytes_up - bytes_of(wanted) <= max(blob.descriptor.size for blob in tried)
        assert second.bytes_down == 0


async def _bases_apart(session: RegistrySession, host: str, core: str, variants: int, platforms: int) -> None:
    before = release(variants, platforms, core)
    empty = {index.variant: Receipt(target="test") for index in before.indexes}
    await ship_apart(session, host, before, empty)


def test_the_counts_are_those_of_the_table() -> None:
    assert floor(7, 2, 2) == 53
    assert floor(30, 2, 2) == 214
    assert floor(6, 2, 1) == 32
