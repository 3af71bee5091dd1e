"""Publication against the fake registry and a layout: the order, the counts, and what a failure leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

import pytest
from aiohttp import web
from msgspec import structs

from buildonce.errors import IntegrityError, MissingBlobs, StoreError
from buildonce.oci import DOCKER_MANIFEST, Digest, decode_index, digest_of
from buildonce.reference import Repository
from buildonce.ship.late_copies import LATE_COPIES, LateCopy, read_late_copies
from buildonce.ship.publication import Publisher, TagOutcome
from buildonce.ship.receipts import Receipt, Receipts
from buildonce.ship.release import Release, index_images
from buildonce.store.layout import LayoutStore
from buildonce.store.protocol import Outcome, Store
from buildonce.store.registry import RegistryStore
from buildonce.store.registry.capabilities import CapabilityTable
from tests.fakes.registry import FakeRegistry, Fault, status
from tests.fakes.sessions import new_session
from tests.ship.releases import EMPTY, PLATFORMS, image, release


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as registry:
        yield registry


@pytest.fixture
async def store(registry: FakeRegistry) -> AsyncIterator[Store]:
    async with new_session() as session:
        yield RegistryStore(Repository(registry.host, "acme/family"), session)


async def where_tags_point(store: Store, tags: Iterable[str]) -> dict[str, Digest | None]:
    return {tag: await store.head_manifest(tag) for tag in tags}


async def until_moved(registry: FakeRegistry, variant: str, wanted: Release) -> None:
    """Wait until a variant's tag points to the release."""
    [digest] = [index.digest for index in wanted.indexes if index.variant == variant]
    async with asyncio.timeout(10):
        while registry.repository("acme/family").tags.get(variant) != digest:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_everything_goes_by_digest_before_any_tag(registry: FakeRegistry, store: Store) -> None:
    await Publisher(store, EMPTY).publish(release("a", "b", "c"))
    puts = [one.path for one in registry.log if one.method == "PUT" and "/manifests/" in one.path]
    by_digest = ["sha256:" in path for path in puts]
    first_tag = by_digest.index(False)
    assert by_digest[:first_tag]
    assert not any(by_digest[first_tag:])


async def test_nothing_changed_costs_one_head_for_each_tag(registry: FakeRegistry, store: Store) -> None:
    first = Publisher(store, EMPTY)
    await first.publish(release("a", "b"))
    registry.log.clear()
    published = await Publisher(store, first.receipt).publish(release("a", "b"))
    assert [one.method for one in registry.log] == ["HEAD", "HEAD"]
    assert {tag.outcome for tag in published.tags} == {TagOutcome.UNCHANGED}
    assert not published.sent


async def test_without_a_receipt_unchanged_tags_are_found_by_asking(registry: FakeRegistry, store: Store) -> None:
    await Publisher(store, EMPTY).publish(release("a", "b"))
    registry.log.clear()
    published = await Publisher(store, EMPTY).publish(release("a", "b=other"))
    assert [tag.outcome for tag in published.tags] == [TagOutcome.UNCHANGED, TagOutcome.MOVED]
    assert len(published.sent) == 2
    assert sum(one.method == "HEAD" for one in registry.log) == 2


async def test_a_tag_that_someone_else_moved_is_moved_back(store: Store) -> None:
    first = Publisher(store, EMPTY)
    await first.publish(release("a"))
    await Publisher(store, EMPTY).publish(release("a", core="core 2"))
    published = await Publisher(store, first.receipt).publish(release("a"))
    assert published.tags[0].outcome is TagOutcome.MOVED
    assert await store.head_manifest("a") == release("a").indexes[0].digest


async def test_a_receipt_that_is_wrong_is_forgotten(store: Store) -> None:
    wanted = release("a", "b")
    manifests = frozenset(one.descriptor.digest for index in wanted.indexes for one in index.images)
    receipt = Receipt(target="test", manifests=manifests)
    published = await Publisher(store, receipt).publish(wanted)
    assert {tag.outcome for tag in published.tags} == {TagOutcome.CREATED}
    assert published.sent == manifests


async def test_a_failing_image_moves_no_tag(registry: FakeRegistry, store: Store) -> None:
    first = Publisher(store, EMPTY)
    await first.publish(release("a", "b"))
    changed = release("a", "b", core="core 2")
    last = changed.indexes[1].images[1].descriptor.digest
    registry.faults.append(status(403, method="PUT", path=f"/manifests/{last}", times=99))
    second = Publisher(store, first.receipt)
    with pytest.raises(StoreError):
        await second.publish(changed)
    for index in release("a", "b").indexes:
        assert await store.head_manifest(index.tags[0]) == index.digest
    registry.faults.clear()
    registry.log.clear()
    published = await Publisher(store, second.receipt).publish(changed)
    assert {tag.outcome for tag in published.tags} == {TagOutcome.MOVED}
    sent = [one.path for one in registry.log if one.method == "PUT" and "/manifests/sha256" in one.path]
    assert len(sent) == len(published.sent) < 4, "what was sent before the failure is not sent again"


async def test_new_tags_that_could_not_all_be_made_are_named(registry: FakeRegistry, store: Store) -> None:
    registry.faults.append(status(403, method="PUT", path=r"/manifests/b$", times=99))
    with pytest.raises(StoreError) as error:
        await Publisher(store, EMPTY).publish(release("a", "b"))
    assert {"new, and complete: a", "not moved: b"} <= set(error.value.notes)


async def test_tags_that_moved_are_put_back_when_one_cannot_be_moved(registry: FakeRegistry, store: Store) -> None:
    first = Publisher(store, EMPTY)
    await first.publish(release("a", "b", "c"))
    old = await where_tags_point(store, "abc")
    registry.faults.append(status(403, method="PUT", path=r"/manifests/b$", times=1))
    second = Publisher(store, first.receipt)
    changed = release("a", "b", "c", core="core 2")
    with pytest.raises(StoreError) as error:
        await second.publish(changed)
    assert {"not moved: b", "moved, and put back: 2"} <= set(error.value.notes)
    assert await where_tags_point(store, "abc") == old == second.receipt.tags
    registry.log.clear()
    await Publisher(store, second.receipt).publish(changed)
    assert await where_tags_point(store, "abc") == {index.variant: index.digest for index in changed.indexes}
    assert not registry.requests("POST"), "every image was there already"


async def test_a_tag_is_not_put_back_to_where_others_had_moved_it_from(registry: FakeRegistry, store: Store) -> None:
    ours = Publisher(store, EMPTY)
    await ours.publish(release("a", "b"))
    await Publisher(store, EMPTY).publish(release("a", "b", core="others' core"))
    registry.faults.append(status(403, method="PUT", path=r"/manifests/b$", times=1))
    with pytest.raises(StoreError) as error:
        await Publisher(store, ours.receipt).publish(release("a", "b", core="core 2"))
    assert {"not moved: b", "moved already: a"} <= set(error.value.notes)
    tags = await where_tags_point(store, "ab")
    assert tags["b"] == release("b", core="others' core").indexes[0].digest
    assert tags["a"] == release("a", core="core 2").indexes[0].digest


async def test_a_tag_that_others_moved_since_is_not_put_back(registry: FakeRegistry, store: Store) -> None:
    first = Publisher(store, EMPTY)
    await first.publish(release("a", "b"))
    others = release("a", core="others' core").indexes[0]

    async def move_and_deny(registry: FakeRegistry, _request: web.Request, _body: bytes) -> web.StreamResponse:
        await until_moved(registry, "a", changed)
        await Publisher(store, EMPTY).publish(Release(indexes=(others,)))
        return web.Response(status=403)

    changed = release("a", "b", core="core 2")
    registry.faults.append(Fault(act=move_and_deny, method="PUT", path=r"/manifests/b$"))
    second = Publisher(store, first.receipt)
    with pytest.raises(StoreError):
        await second.publish(changed)
    assert (await where_tags_point(store, "ab")) == {"a": others.digest, "b": release("b").indexes[0].digest}


@pytest.mark.parametrize("method", ["HEAD", "GET", "PUT"])
async def test_what_could_not_be_put_back_is_named(registry: FakeRegistry, store: Store, method: str) -> None:
    first = Publisher(store, EMPTY)
    await first.publish(release("a", "b"))

    async def deny(registry: FakeRegistry, _request: web.Request, _body: bytes) -> web.StreamResponse:
        await until_moved(registry, "a", changed)
        path = "/manifests/sha256" if method == "GET" else "/manifests/a$"
        registry.faults.append(status(400, method=method, path=path, times=99))
        return web.Response(status=400)

    changed = release("a", "b", core="core 2")
    registry.faults.append(Fault(act=deny, method="PUT", path=r"/manifests/b$"))
    with pytest.raises(StoreError) as error:
        await Publisher(store, first.receipt).publish(changed)
    assert {"not moved: b", "moved already: a"} <= set(error.value.notes)
    assert "run the same command again" in str(error.value.help)


@pytest.fixture
async def curious(registry: FakeRegistry) -> AsyncIterator[Store]:
    """A store that tries out what its registry can do."""
    async with new_session(capabilities=CapabilityTable(now=lambda: 0.0)) as session:
        yield RegistryStore(Repository(registry.host, "acme/family"), session)


def tagged(wanted: Release, *tags: str) -> Release:
    """Return a release of one variant under these tags."""
    (index,) = wanted.indexes
    return Release(indexes=(structs.replace(index, tags=tags),))


@pytest.mark.parametrize("able", [True, False])
async def test_several_tags_of_an_index_take_one_request_where_the_registry_can_do_that(
    registry: FakeRegistry, curious: Store, able: bool
) -> None:
    store, registry.multi_tag = curious, able
    await Publisher(store, EMPTY).publish(tagged(release("a"), "a", "b", "c"))
    registry.log.clear()
    second = tagged(release("a=other"), "a", "b", "c")
    published = await Publisher(store, EMPTY).publish(second)
    assert [tag.outcome for tag in published.tags] == [TagOutcome.MOVED] * 3
    assert set((await where_tags_point(store, "abc")).values()) == {second.indexes[0].digest}
    puts = registry.requests("PUT", "/manifests/")
    assert len(puts) == len(PLATFORMS) + (1 if able else 3)


async def test_tags_that_could_not_be_moved_in_one_request_are_where_they_were(
    registry: FakeRegistry, curious: Store
) -> None:
    store, registry.multi_tag = curious, True
    first = tagged(release("a"), "a", "b")
    await Publisher(store, EMPTY).publish(first)
    second = tagged(release("a=other"), "a", "b")
    registry.faults.append(status(403, method="PUT", path=f"/manifests/{second.indexes[0].digest}"))
    with pytest.raises(StoreError):
        await Publisher(store, EMPTY).publish(second)
    assert set((await where_tags_point(store, "ab")).values()) == {first.indexes[0].digest}


async def test_what_is_said_to_be_missing_is_asked_for_before_it_is_sent_again(
    registry: FakeRegistry, store: Store
) -> None:
    wanted = release("a", "b")
    missed = wanted.indexes[0].images[0]
    core = missed.new[0].descriptor.digest
    lacks = [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown", "detail": {"digest": core}}]
    fault = status(400, errors=lacks, method="PUT", path=f"/manifests/{missed.descriptor.digest}")
    registry.faults.append(fault)
    await Publisher(store, EMPTY).publish(wanted)
    asked = [one.path.rpartition("/")[2] for one in registry.requests("HEAD", "/blobs/")]
    assert asked == [core]
    uploads = [one.query["digest"] for one in registry.requests("PUT", "/uploads/")]
    assert len(uploads) == len(set(uploads))
    # A registry that goes on to miss what it says is there gets it again.
    registry.log.clear()
    fault.times = 3
    changed = release("a", "b", core="core 2")
    missed = changed.indexes[0].images[0]
    core = missed.new[0].descriptor.digest
    lacks[0]["detail"] = {"digest": core}
    fault.path = f"/manifests/{missed.descriptor.digest}"
    await Publisher(store, EMPTY).publish(changed)
    uploads = [one.query["digest"] for one in registry.requests("PUT", "/uploads/")]
    assert uploads.count(core) >= 2


async def test_what_a_busy_registry_misses_for_a_moment_is_sent_again(registry: FakeRegistry, store: Store) -> None:
    """Debian's registry writes names in place: another run's PUT of the same image hides it for a moment."""
    wanted = release("a", "b")
    image = wanted.indexes[0].images[0]
    lacks = [
        {"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown", "detail": {"digest": digest}}
        for digest in (image.descriptor.digest, image.new[0].descriptor.digest)
    ]
    registry.faults.append(status(400, errors=lacks[:1], method="PUT", path="/manifests/a$", times=3))
    registry.faults.append(status(400, errors=lacks[1:], method="PUT", path=f"/manifests/{image.descriptor.digest}"))
    published = await Publisher(store, EMPTY).publish(wanted)
    assert {tag.outcome for tag in published.tags} == {TagOutcome.CREATED}
    for index in wanted.indexes:
        assert await store.head_manifest(index.tags[0]) == index.digest


async def test_what_a_registry_goes_on_missing_is_an_error(registry: FakeRegistry, store: Store) -> None:
    wanted = release("a", "b")
    lacks = [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown", "detail": {}}]
    registry.faults.append(status(404, errors=lacks, method="PUT", path="/manifests/a$", times=99))
    with pytest.raises(MissingBlobs):
        await Publisher(store, EMPTY).publish(wanted)
    assert len(registry.requests("PUT", "/manifests/a$")) == 6


async def test_in_a_layout_all_tags_move_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that are where they belong: another run may have moved them since they were looked at."""
    layout = LayoutStore(tmp_path / "layout")
    await Publisher(layout, EMPTY).publish(release("a", "b", "c"))
    late = Publisher(layout, EMPTY)
    wanted = release("a", "b=other", "c")
    await late.send(wanted)
    await Publisher(layout, EMPTY).publish(release("a", "b", "c", core="core 2"))
    before = (layout.path / "index.json").stat().st_ino
    steps = []
    real = LayoutStore.set_tags

    async def counted(self: LayoutStore, tags: Mapping[str, Digest]) -> None:
        steps.append(sorted(tags))
        await real(self, tags)

    monkeypatch.setattr(LayoutStore, "set_tags", counted)
    await late.tag(wanted)
    assert steps == [["a", "b", "c"]]
    assert (layout.path / "index.json").stat().st_ino != before
    assert {tag: one.digest for tag, one in (await layout.tags()).items()} == {
        index.tags[0]: index.digest for index in wanted.indexes
    }


async def test_a_layout_takes_the_same_release(tmp_path: Path) -> None:
    layout = LayoutStore(tmp_path / "layout")
    published = await Publisher(layout, EMPTY).publish(release("a", "b"))
    assert sorted(await layout.tags()) == ["a", "b"]
    assert published.blobs.count(Outcome.UPLOADED) == 8, "2 bases, 2 cores, 4 configs, each once"


def test_receipts_survive_and_are_kept_apart(tmp_path: Path) -> None:
    receipts = Receipts(tmp_path)
    receipt = Receipt(target="one", manifests=frozenset({digest_of(b"x")}))
    receipts.save(receipt)
    assert receipts.load("one") == receipt
    assert receipts.load("two") == Receipt(target="two")


def test_a_broken_receipt_counts_as_none(tmp_path: Path) -> None:
    receipts = Receipts(tmp_path)
    receipts.save(Receipt(target="one"))
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"{")
    assert receipts.load("one") == Receipt(target="one")


async def test_an_index_says_which_layers_are_late_copies(store: Store) -> None:
    copies = (LateCopy(core="builder", layer=1, sources=("/out/app",), destination="/bin/"),)
    plain, other = (image("a", platform, "core 1") for platform in PLATFORMS)
    made = index_images("a", ("a",), (structs.replace(plain, late_copies=copies), other))
    await Publisher(store, EMPTY).publish(Release(indexes=(made,)))
    stored = await store.get_manifest("a")
    assert stored is not None
    first, second = decode_index(stored.content).manifests
    assert read_late_copies(first) == copies
    assert read_late_copies(second) == ()
    assert read_late_copies(plain.descriptor) is None
    assert first.digest == plain.descriptor.digest


def test_an_index_of_docker_s_type_says_nothing() -> None:
    copies = (LateCopy(core="builder", layer=1, sources=("/out/app",), destination="/bin/"),)
    plain = image("a", PLATFORMS[0], "core 1")
    docker = structs.replace(plain.descriptor, media_type=DOCKER_MANIFEST)
    made = index_images("a", ("a",), (structs.replace(plain, descriptor=docker, late_copies=copies),))
    assert b"annotations" not in made.content


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"core":"x"}]', "[" * 5000])
def test_an_annotation_of_another_form_is_refused(text: str) -> None:
    descriptor = structs.replace(image("a", PLATFORMS[0], "x").descriptor, annotations={LATE_COPIES: text})
    with pytest.raises(IntegrityError):
        read_late_copies(descriptor)
