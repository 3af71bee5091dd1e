"""What is learned of a registry from its answers, what it saves, and what a wrong memory costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from buildonce.errors import MissingBlobs, StoreError
from buildonce.oci import OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, digest_of
from buildonce.reference import Repository
from buildonce.store.protocol import Blob, Outcome, Presence
from buildonce.store.registry import RegistryStore
from buildonce.store.registry.capabilities import Capabilities, CapabilityTable, Lesson, merge
from buildonce.store.registry.uploads import RESUMABLE, TINY, Way, Wish, choose_way
from buildonce.store.streams import blob_of_bytes
from tests.fakes import registry as fake
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import image, index, new_session

DAY = 24 * 3600.0


@pytest.fixture
def table() -> CapabilityTable:
    return CapabilityTable(now=lambda: 0.0)


@pytest.fixture
async def store(registry: FakeRegistry, table: CapabilityTable) -> AsyncIterator[RegistryStore]:
    async with new_session(capabilities=table) as session:
        yield RegistryStore(Repository(registry.host, "app"), session)


def blob(content: bytes = b"layer", *origins: Repository, perhaps: bool = False) -> Blob:
    made = blob_of_bytes(content, OCI_LAYER_GZIP, origins=origins)
    return Blob(
        descriptor=made.descriptor,
        open=made.open,
        origins=origins,
        presence=Presence.PERHAPS if perhaps else Presence.UNKNOWN,
    )


def blobs(count: int) -> list[Blob]:
    return [blob(b"blob %d" % number) for number in range(count)]


def methods(registry: FakeRegistry) -> list[str]:
    return [entry.method for entry in registry.log]


# One request for an upload


async def test_one_request_is_tried_once_and_then_relied_on(
    registry: FakeRegistry, store: RegistryStore, table: CapabilityTable
) -> None:
    registry.single_post = True
    for each in blobs(3):
        assert await store.put_blob(each) is Outcome.UPLOADED
    assert methods(registry) == ["POST"] * 3
    assert len(registry.repository("app").blobs) == 3
    assert table.of(registry.url).single_post is True


async def test_a_registry_that_only_begins_an_upload_is_told_the_rest_there(
    registry: FakeRegistry, store: RegistryStore, table: CapabilityTable
) -> None:
    for each in blobs(3):
        assert await store.put_blob(each) is Outcome.UPLOADED
    assert methods(registry) == ["POST", "PUT"] * 3, "finding out takes no request more"
    assert ["digest" in entry.query for entry in registry.requests("POST")] == [True, False, False]
    assert table.of(registry.url).single_post is False


async def test_only_one_upload_at_a_time_finds_out(registry: FakeRegistry, store: RegistryStore) -> None:
    await asyncio.gather(*(store.put_blob(each) for each in blobs(8)))
    assert sum("digest" in entry.query for entry in registry.requests("POST")) == 1


async def test_a_large_blob_finds_nothing_out(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.single_post = True
    await store.put_blob(blob(b"x" * TINY))
    assert methods(registry) == ["POST", "PUT"]


@pytest.mark.parametrize("code", [400, 405, 415])
async def test_a_refused_single_request_becomes_two(
    registry: FakeRegistry, store: RegistryStore, table: CapabilityTable, code: int
) -> None:
    registry.faults.append(fake.status(code, method="POST"))
    assert await store.put_blob(blob()) is Outcome.UPLOADED
    assert methods(registry) == ["POST", "POST", "PUT"]
    assert table.of(registry.url).single_post is False


@pytest.mark.parametrize(("code", "asks"), [(500, True), (503, True), (429, False)])
async def test_a_passing_fault_teaches_nothing(
    registry: FakeRegistry, store: RegistryStore, table: CapabilityTable, code: int, *, asks: bool
) -> None:
    registry.single_post = True
    registry.faults.append(fake.status(code, method="POST"))
    assert await store.put_blob(blob()) is Outcome.UPLOADED
    assert methods(registry) == ["POST", *(["HEAD"] if asks else []), "POST", "PUT"]
    assert table.of(registry.url).single_post is None


async def test_a_lost_answer_to_a_single_request_sends_nothing_twice(
    registry: FakeRegistry, store: RegistryStore
) -> None:
    registry.single_post = True
    registry.faults.append(fake.lost_answer(method="POST"))
    assert await store.put_blob(blob()) is Outcome.UPLOADED
    assert methods(registry) == ["POST", "HEAD"]


async def test_a_registry_that_lies_about_single_requests_is_found_out(
    registry: FakeRegistry, store: RegistryStore
) -> None:
    one = image()
    registry.faults.append(fake.status(201, method="POST", times=2))
    for each in one.blobs:
        assert await store.put_blob(each) is Outcome.UPLOADED
    with pytest.raises(MissingBlobs):
        await store.put_manifest(one.content, OCI_MANIFEST)
    for each in one.blobs:
        assert await store.put_blob(each) is Outcome.UPLOADED
    await store.put_manifest(one.content, OCI_MANIFEST)


async def test_a_denied_single_request_is_denied(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.status(403, errors=[{"code": "DENIED"}], method="POST"))
    with pytest.raises(StoreError, match="denies access"):
        await store.put_blob(blob())
    assert methods(registry) == ["POST"]


# Mounts


async def test_a_mount_of_what_is_surely_there_says_whether_mounts_are_done(
    registry: FakeRegistry, store: RegistryStore, table: CapabilityTable
) -> None:
    other = RegistryStore(Repository(registry.host, "other"), store.session)
    for mounts in (False, True):
        registry.mounts = mounts
        one = blob(b"layer %d" % mounts)
        await store.put_blob(one)
        assert await other.put_blob(one) is (Outcome.MOUNTED if mounts else Outcome.UPLOADED)
        assert table.of(registry.url).mount is mounts


async def test_a_mount_of_what_may_not_be_there_says_nothing_when_it_is_not_done(
    registry: FakeRegistry, store: RegistryStore, table: CapabilityTable
) -> None:
    await store.put_blob(blob(b"layer", Repository(registry.host, "base")))
    assert table.of(registry.url).mount is None


async def test_where_mounts_are_not_done_one_request_is_still_enough(
    registry: FakeRegistry, store: RegistryStore, table: CapabilityTable
) -> None:
    registry.single_post, registry.mounts = True, False
    table.learn(registry.url, Capabilities(single_post=True, mount=False))
    other = RegistryStore(Repository(registry.host, "other"), store.session)
    await store.put_blob(blob())
    assert await other.put_blob(blob()) is Outcome.UPLOADED
    assert methods(registry) == ["POST", "POST"]


async def test_a_blob_that_may_be_there_is_asked_for_when_it_is_not_mounted(
    registry: FakeRegistry, store: RegistryStore
) -> None:
    registry.mounts = False
    content = b"x" * TINY
    registry.add_blob("app", content)
    registry.add_blob("base", content)
    one = blob(content, Repository(registry.host, "base"), perhaps=True)
    assert await store.put_blob(one) is Outcome.EXISTED
    assert methods(registry) == ["POST", "HEAD"]


async def test_an_anonymous_mount_is_tried_only_where_it_was_learned(
    registry: FakeRegistry, store: RegistryStore, table: CapabilityTable
) -> None:
    registry.anonymous_mounts = True
    large = b"x" * TINY
    registry.add_blob("elsewhere", large)
    table.learn(registry.url, Capabilities(single_post=False))
    assert await store.put_blob(blob(large)) is Outcome.UPLOADED
    table.learn(registry.url, Capabilities(anonymous_mount=True))
    other = b"y" * TINY
    registry.add_blob("elsewhere", other)
    assert await store.put_blob(blob(other)) is Outcome.MOUNTED
    assert await store.put_blob(blob(b"z" * TINY)) is Outcome.UPLOADED
    assert methods(registry) == ["POST", "PUT", "POST", "POST", "PUT"]


async def test_a_refused_anonymous_mount_is_not_tried_again(
    registry: FakeRegistry, store: RegistryStore, table: CapabilityTable
) -> None:
    table.learn(registry.url, Capabilities(single_post=False, anonymous_mount=True))
    registry.faults.append(fake.status(400, method="POST"))
    for content in (b"one", b"two"):
        assert await store.put_blob(blob(content)) is Outcome.UPLOADED
    assert methods(registry) == ["POST", "POST", "PUT", "POST", "PUT"]
    assert table.of(registry.url).anonymous_mount is False


# Several tags


async def put_tags(store: RegistryStore, content: bytes, tags: Sequence[str]) -> None:
    """Set tags as a release does: together, and one by one those for which that was not possible."""
    done = await store.put_together(content, OCI_INDEX, tags)
    for tag in tags:
        if tag not in done:
            await store.put_manifest(content, OCI_INDEX, tag=tag)


async def two_manifests(store: RegistryStore) -> bytes:
    for one in (image("one"), image("two")):
        for each in one.blobs:
            await store.put_blob(each)
        await store.put_manifest(one.content, OCI_MANIFEST)
    return index(image("one"), image("two"))


@pytest.mark.parametrize("count", [1, 2, 10, 25])
@pytest.mark.parametrize("known", [True, False, None])
@pytest.mark.parametrize("able", [True, False])
async def test_tags_are_set_at_the_least_cost(
    registry: FakeRegistry, store: RegistryStore, table: CapabilityTable, count: int, able: bool, known: bool | None
) -> None:
    content = await two_manifests(store)
    registry.multi_tag = able
    if known is not None:
        table.learn(registry.url, Capabilities(multi_tag=known))
    registry.log.clear()
    tags = [f"v{number}" for number in range(count)]
    await put_tags(store, content, tags)
    assert registry.repository("app").tags == dict.fromkeys(tags, digest_of(content))
    batches = (count + 9) // 10
    tried = count > 1 and known is not False
    expected = batches if tried and able else count + (batches if tried else 0)
    assert methods(registry) == ["PUT"] * expected
    assert table.of(registry.url).multi_tag is (able if tried else known)


async def test_tags_that_a_registry_leaves_out_are_set_one_by_one(registry: FakeRegistry, store: RegistryStore) -> None:
    content = await two_manifests(store)
    registry.log.clear()
    registry.faults.append(fake.status(201, headers={"OCI-Tag": "a"}, method="PUT"))
    await put_tags(store, content, ["a", "b", "c"])
    assert [entry.path.rpartition("/")[2] for entry in registry.log[1:]] == ["b", "c"]


async def test_several_tags_of_what_is_incomplete_say_what_is_missing(
    registry: FakeRegistry, store: RegistryStore, table: CapabilityTable
) -> None:
    registry.multi_tag = True
    table.learn(registry.url, Capabilities(multi_tag=True))
    with pytest.raises(MissingBlobs) as caught:
        await store.put_together(index(image()), OCI_INDEX, ["a", "b"])
    assert caught.value.digests == (digest_of(image().content),)
    assert registry.repository("app").tags == {}


# What comes with other answers


async def test_limits_are_learned_in_passing(
    registry: FakeRegistry, store: RegistryStore, table: CapabilityTable
) -> None:
    registry.chunk_min, registry.max_manifest = 5_000_000, 10
    await store.put_blob(blob())
    with pytest.raises(StoreError):
        await store.put_manifest(image().content, OCI_MANIFEST)
    known = table.of(registry.url)
    assert (known.chunk_min, known.max_manifest) == (5_000_000, len(image().content) - 1)


async def test_a_registry_that_indexes_a_subject_has_referrers(
    registry: FakeRegistry, store: RegistryStore, table: CapabilityTable
) -> None:
    registry.faults.append(fake.status(201, headers={"OCI-Subject": digest_of(b"x")}, method="PUT"))
    await store.put_manifest(image().content, OCI_MANIFEST)
    assert table.of(registry.url).referrers is True


# Memory


def test_facts_of_one_host_say_nothing_of_another(table: CapabilityTable) -> None:
    table.learn("https://a", Capabilities(single_post=True))
    assert table.of("https://b") == Capabilities()


@pytest.mark.parametrize(
    ("name", "value", "days"),
    [("single_post", True, 30), ("single_post", False, 7), ("chunk_min", 5, 30), ("min_interval", 0.1, 1 / 24)],
)
def test_facts_have_an_age(name: str, value: bool | float, days: float) -> None:
    memory = {"https://a": {name: Lesson(value, 1000.0)}}
    for age, expected in ((days * DAY - 1, value), (days * DAY, None)):
        table = CapabilityTable(memory, now=lambda age=age: 1000.0 + age)  # type: ignore[misc]
        assert getattr(table.of("https://a"), name) == expected


def test_facts_of_another_version_are_passed_over() -> None:
    table = CapabilityTable({"https://a": {"flies": Lesson(True, 0.0)}}, now=lambda: 1.0)
    assert table.of("https://a") == Capabilities()


def test_what_is_confirmed_is_worth_writing_once_a_day() -> None:
    for later, learned in ((DAY, {}), (DAY + 1, {"https://a": {"mount": Lesson(True, DAY + 1)}})):
        table = CapabilityTable({"https://a": {"mount": Lesson(True, 0.0)}}, now=lambda later=later: later)  # type: ignore[misc]
        table.learn("https://a", Capabilities(mount=True))
        assert table.learned == learned


def test_what_others_learned_meanwhile_is_kept() -> None:
    before = {"https://a": {"mount": Lesson(True, 5.0), "single_post": Lesson(False, 5.0)}}
    learned = {"https://a": {"single_post": Lesson(True, 9.0)}, "https://b": {"mount": Lesson(False, 9.0)}}
    assert merge(before, learned, now=10.0) == {
        "https://a": {"mount": Lesson(True, 5.0), "single_post": Lesson(True, 9.0)},
        "https://b": {"mount": Lesson(False, 9.0)},
    }
    assert merge({"https://old": {"mount": Lesson(False, 0.0)}}, {}, now=100 * DAY) == {}


@asynccontextmanager
async def remembering(registry: FakeRegistry, known: Capabilities) -> AsyncIterator[RegistryStore]:
    table = CapabilityTable(now=lambda: 0.0)
    table.learn(registry.url, known)
    async with new_session(capabilities=table) as session:
        yield RegistryStore(Repository(registry.host, "app"), session)


@pytest.mark.parametrize(
    ("wrong", "able", "requests"),
    [
        pytest.param(Capabilities(single_post=True), False, 2, id="one request: yes, but no"),
        pytest.param(Capabilities(single_post=False), True, 2, id="one request: no, but yes"),
        pytest.param(Capabilities(anonymous_mount=True, single_post=False), False, 2, id="anonymous mount"),
        pytest.param(Capabilities(mount=False, single_post=False), True, 2, id="mount: no, but yes"),
    ],
)
async def test_a_wrong_memory_costs_no_more_than_the_plain_way(
    registry: FakeRegistry, wrong: Capabilities, able: bool, requests: int
) -> None:
    registry.single_post = able
    async with remembering(registry, wrong) as store:
        assert await store.put_blob(blob()) is Outcome.UPLOADED
    assert len(registry.log) == requests
    assert registry.repository("app").blobs


def never() -> bool:
    raise AssertionError("nothing is to be found out here")


@pytest.mark.parametrize(
    ("known", "size", "wish", "way"),
    [
        (Capabilities(), 10, Wish(origin="base"), Way.MOUNT),
        (Capabilities(mount=False), 10, Wish(origin="base"), Way.MOUNT),
        (Capabilities(mount=False, single_post=True), 10, Wish(origin="base"), Way.SINGLE),
        (Capabilities(mount=False, single_post=True), RESUMABLE, Wish(origin="base"), Way.MOUNT),
        (Capabilities(mount=True, single_post=True), 10, Wish(origin="base"), Way.MOUNT),
        (Capabilities(single_post=True), RESUMABLE - 1, Wish(), Way.SINGLE),
        (Capabilities(single_post=True), RESUMABLE, Wish(), Way.PLAIN),
        (Capabilities(), TINY, Wish(), Way.PLAIN),
        (Capabilities(single_post=False), 10, Wish(), Way.PLAIN),
        (Capabilities(single_post=True, anonymous_mount=True), 10, Wish(), Way.SINGLE),
        (Capabilities(anonymous_mount=True), RESUMABLE, Wish(), Way.ANONYMOUS),
    ],
)
def test_the_cheapest_way_is_chosen(known: Capabilities, size: int, wish: Wish, way: Way) -> None:
    assert choose_way(known, size, wish, may_probe=never) is way


@pytest.mark.parametrize(("may", "way"), [(lambda: True, Way.SINGLE), (lambda: False, Way.PLAIN)])
def test_what_is_unknown_is_tried_with_a_small_blob(may: Callable[[], bool], way: Way) -> None:
    assert choose_way(Capabilities(), TINY - 1, Wish(), may_probe=may) is way
