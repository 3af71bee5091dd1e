"""Tags that several runs move at once end on one release, whatever the order of requests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildonce.errors import ContestedTags, MissingBlobs
from buildonce.oci import Digest, digest_of
from buildonce.reference import Repository
from buildonce.ship import settling
from buildonce.ship.family import Family
from buildonce.ship.publication import Publisher
from buildonce.ship.settling import pauses, settle
from buildonce.store.registry import RegistryStore
from buildonce.tasks import together
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import new_session
from tests.ship.releases import EMPTY, release

Vector = tuple[str, ...]


class Tags:
    """The tags of a registry, of which each request takes as long as chance wants."""

    def __init__(self, chance: random.Random, count: int) -> None:
        self.now: list[str] = ["old"] * count
        self.requests = 0
        self._chance = chance

    async def pass_time(self) -> None:
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)


class Tag:
    """One of them, as a run sees it."""

    def __init__(self, tags: Tags, number: int, wanted: str) -> None:
        self.label = f"tag-{number}"
        self.digest = Digest(wanted)
        self._tags = tags
        self._number = number

    async def look(self) -> Digest | None:
        await self._tags.pass_time()
        found = self._tags.now[self._number]
        self._tags.requests += 1
        await self._tags.pass_time()
        return Digest(found)

    async def put(self) -> None:
        await self._tags.pass_time()
        self._tags.now[self._number] = self.digest
        self._tags.requests += 1
        await self._tags.pass_time()


async def ship(tags: Tags, wanted: Vector) -> bool:
    """Do what a run does: move the tags that it finds elsewhere, and settle."""
    places = [Tag(tags, number, digest) for number, digest in enumerate(wanted)]
    before = await together(one.look() for one in places)
    moving = [one for one, found in zip(places, before, strict=True) if found != one.digest]
    await together(one.put() for one in moving)
    if not moving:
        return True

    async def pause() -> bool:
        for _ in range(tags._chance.randrange(30)):
            await asyncio.sleep(0)
        return True

    return await settle(places, pause)


RELEASES = st.lists(st.tuples(*[st.sampled_from(["old", "a", "b", "c"])] * 3), min_size=2, max_size=5)


@given(releases=RELEASES, seed=st.integers(0, 2**32))
def test_the_tags_end_on_one_release(releases: Sequence[Vector], seed: int) -> None:
    """Releases may have indexes in common; runs of the same release are runs like any other."""
    chance = random.Random(seed)
    tags = Tags(chance, 3)

    async def all_at_once() -> Sequence[bool]:
        return await together(ship(tags, wanted) for wanted in releases)

    held = asyncio.run(all_at_once())
    assert tuple(tags.now) in releases
    assert any(held), "somebody's release is there"


def test_the_model_mixes_releases_of_runs_that_do_not_look() -> None:
    releases = [("a", "a", "a"), ("b", "b", "b")]
    assert sum(_mixed(releases, seed) for seed in range(100)) > 10


def _mixed(releases: Sequence[Vector], seed: int) -> bool:
    tags = Tags(random.Random(seed), 3)

    async def run() -> None:
        places = [[Tag(tags, number, digest) for number, digest in enumerate(wanted)] for wanted in releases]
        await together(one.put() for wanted in places for one in wanted)

    asyncio.run(run())
    return tuple(tags.now) not in releases


async def test_a_run_alone_looks_once_at_each_tag() -> None:
    tags = Tags(random.Random(1), 3)
    assert await ship(tags, ("a", "b", "c"))
    assert tags.requests == 3 + 3 + 3


async def test_one_tag_is_not_looked_at() -> None:
    tags = Tags(random.Random(1), 1)
    assert await settle([Tag(tags, 0, "a")])
    assert tags.requests == 0


async def test_who_was_overtaken_altogether_leaves_it_at_that() -> None:
    tags = Tags(random.Random(1), 3)
    assert not await settle([Tag(tags, number, "a") for number in range(3)])
    assert tags.now == ["old"] * 3


async def test_an_overtaking_run_is_left_to_end() -> None:
    tags = Tags(random.Random(1), 3)
    tags.now = ["b", "b", "a"]

    async def pause() -> bool:
        tags.now[2] = "b"
        return True

    assert not await settle([Tag(tags, number, "a") for number in range(3)], pause)
    assert tags.now == ["b"] * 3


class Lost(Tag):
    """A tag that another run moves each time."""

    async def put(self) -> None:
        self._tags.requests += 1


async def test_tags_that_others_keep_moving_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "_FIRST_WAIT", 0.0)
    tags = Tags(random.Random(1), 3)
    tags.now = ["a", "b", "b"]
    with pytest.raises(ContestedTags, match="tag-1, tag-2") as caught:
        await settle([Tag(tags, 0, "a"), Lost(tags, 1, "a"), Lost(tags, 2, "a")])
    assert "one run at a time" in str(caught.value)


class Torn(Tag):
    """A tag whose index a busy registry does not take the first two times."""

    failures = 2

    async def put(self) -> None:
        if self.failures:
            self.failures -= 1
            raise MissingBlobs("the registry lacks something")
        await super().put()


async def test_what_a_busy_registry_misses_for_a_moment_is_put_again() -> None:
    tags = Tags(random.Random(1), 2)
    tags.now = ["a", "b"]
    assert await settle([Tag(tags, 0, "a"), Torn(tags, 1, "a")], pauses(5))
    assert tags.now == ["a", "a"]


async def test_pauses_grow_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    pause = pauses(9)
    while await pause():
        pass
    assert len(slept) == 9
    assert all(0.5 * 0.05 * 2**n <= min(seconds, 5.0) <= 7.5 for n, seconds in enumerate(slept[:6]))
    assert max(slept) <= 7.5


# The same with publishers


async def publish(registry: FakeRegistry, core: str, tags: Mapping[str, str]) -> bool:
    async with new_session() as session:
        publisher = Publisher(RegistryStore(Repository(registry.host, "acme/family"), session), EMPTY)
        family = Family(dict.fromkeys(tags, publisher))
        wanted = release(*tags, core=core)
        await family.send(wanted)
        await family.tag(wanted)
        return await family.settle(wanted)


async def test_releases_that_are_shipped_at_once_are_not_mixed() -> None:
    variants = [f"v{number}" for number in range(7)]
    vectors = {
        core: {index.tags[0]: index.digest for index in release(*variants, core=core).indexes}
        for core in ("core 1", "core 2", "core 3")
    }
    for _ in range(3):
        async with FakeRegistry() as registry:
            await together(publish(registry, core, dict.fromkeys(variants, "")) for core in vectors)
            assert registry.repository("acme/family").tags in vectors.values()


async def test_what_settling_costs() -> None:
    async with FakeRegistry() as registry:
        variants = [f"v{number}" for number in range(7)]
        assert await publish(registry, "core 1", dict.fromkeys(variants, ""))
        heads = [one for one in registry.log if one.method == "HEAD"]
        after = [one for one in registry.log[-7:] if one.method == "HEAD"]
        assert (len(heads), len(after)) == (14, 7), "one for each tag before, as nothing is known, and one after"
        assert digest_of(release(*variants).indexes[0].content) in registry.repository("acme/family").tags.values()
