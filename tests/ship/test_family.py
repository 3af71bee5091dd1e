"""Releases over several repositories: the floor, and that tags move in all of them or in none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest

from buildonce.errors import StoreError
from buildonce.oci import Platform
from buildonce.reference import Repository
from buildonce.ship.family import Family
from buildonce.ship.publication import Publisher, TagOutcome
from buildonce.ship.receipts import Receipt
from buildonce.store.registry import RegistrySession, RegistryStore
from tests.fakes.registry import FakeRegistry, status
from tests.fakes.sessions import new_session
from tests.ship.releases import release

Receipts = Mapping[str, Receipt]
MANY_PLATFORMS = tuple(Platform(os="linux", architecture=name) for name in ("amd64", "arm64", "ppc64le", "s390x"))


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as registry:
        yield registry


def publishers(
    registry: FakeRegistry, session: RegistrySession, names: list[str], receipts: Receipts | None = None
) -> dict[str, Publisher]:
    """A repository for each variant."""
    found = {}
    for name in names:
        store = RegistryStore(Repository(registry.host, f"acme/{name}"), session)
        found[name] = Publisher(store, (receipts or {}).get(name, Receipt(target=store.name)))
    return found


async def where(registry: FakeRegistry, name: str) -> str | None:
    async with new_session() as session:
        return await RegistryStore(Repository(registry.host, f"acme/{name}"), session).head_manifest(name)


@pytest.mark.parametrize("platforms", [1, 2, 4])
@pytest.mark.parametrize("variants", [1, 7, 30])
async def test_a_changed_core_costs_the_floor(registry: FakeRegistry, variants: int, platforms: int) -> None:
    """2P + P(V-1) + 3VP + V requests: each core is uploaded once and mounted by all other repositories."""
    names = [f"v{number}" for number in range(variants)]
    on = MANY_PLATFORMS[:platforms]
    async with new_session() as session:
        first = publishers(registry, session, names)
        before = release(*names, platforms=on)
        await Family(first).send(before)
        await Family(first).tag(before)
    registry.log.clear()
    async with new_session() as session:
        second = publishers(registry, session, names, {name: one.receipt for name, one in first.items()})
        after = release(*names, core="core 2", platforms=on)
        await Family(second).send(after)
        published = await Family(second).tag(after)
        uploaded = session.bytes_up
    assert len(registry.log) == 2 * platforms + platforms * (variants - 1) + 3 * variants * platforms + variants
    assert [one.outcome for one in published.tags] == [TagOutcome.MOVED] * variants
    layers = {
        image.new[0].descriptor.digest: image.new[0].descriptor.size
        for index in after.indexes
        for image in index.images
    }
    small = sum(image.new[1].descriptor.size + len(image.manifest) for index in after.indexes for image in index.images)
    assert uploaded == sum(layers.values()) + small + sum(len(index.content) for index in after.indexes)


async def test_no_repository_s_tag_moves_while_another_one_lacks_an_image(registry: FakeRegistry) -> None:
    async with new_session() as session:
        first = publishers(registry, session, ["a", "b"])
        await Family(first).send(release("a", "b"))
        await Family(first).tag(release("a", "b"))
        changed = release("a", "b", core="core 2")
        last = changed.indexes[1].images[1].descriptor.digest
        registry.faults.append(status(403, method="PUT", path=f"/acme/b/manifests/{last}", times=99))
        second = publishers(registry, session, ["a", "b"], {name: one.receipt for name, one in first.items()})
        with pytest.raises(StoreError):
            await Family(second).send(changed)
    for index in release("a", "b").indexes:
        assert await where(registry, index.variant) == index.digest


async def test_a_tag_that_fails_is_named_with_its_repository(registry: FakeRegistry) -> None:
    registry.faults.append(status(403, method="PUT", path=r"/acme/b/manifests/b$", times=99))
    async with new_session() as session:
        family = Family(publishers(registry, session, ["a", "b"]))
        await family.send(release("a", "b"))
        with pytest.raises(StoreError) as error:
            await family.tag(release("a", "b"))
    assert f"new, and complete: {registry.host}/acme/a:a" in error.value.notes
    assert f"not moved: {registry.host}/acme/b:b" in error.value.notes


async def test_a_tag_that_fails_has_those_of_other_repositories_put_back(registry: FakeRegistry) -> None:
    old, new = release("a", "b"), release("a", "b", core="core 2")
    async with new_session() as session:
        first = Family(publishers(registry, session, ["a", "b"]))
        await first.send(old)
        await first.tag(old)
        registry.faults.append(status(403, method="PUT", path=r"/acme/b/manifests/b$", times=99))
        second = Family(publishers(registry, session, ["a", "b"]))
        await second.send(new)
        with pytest.raises(StoreError) as error:
            await second.tag(new)
        assert not second.has_moved(new)
    assert {f"not moved: {registry.host}/acme/b:b", "moved, and put back: 1"} <= set(error.value.notes)
    for index in old.indexes:
        assert await where(registry, index.variant) == index.digest


async def test_what_one_repository_lost_is_sent_again_and_only_what_is_left_is_tagged(registry: FakeRegistry) -> None:
    names = ["a", "b"]
    async with new_session() as session:
        wanted = release(*names)
        manifests = {
            index.variant: frozenset(one.descriptor.digest for one in index.images) for index in wanted.indexes
        }
        first = publishers(registry, session, ["a"])
        await Family(first).send(release("a"))
        wrong = {"b": Receipt(target=f"{registry.host}/acme/b", manifests=manifests["b"])}
        family = Family(publishers(registry, session, names, {**wrong, "a": first["a"].receipt}))
        await family.send(wanted)
        registry.log.clear()
        published = await family.tag(wanted)
    assert {one.outcome for one in published.tags} == {TagOutcome.CREATED}
    for index in wanted.indexes:
        assert await where(registry, index.variant) == index.digest
