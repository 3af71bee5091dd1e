"""Staged releases: what their record holds, and when its tags may move."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from buildonce.errors import StaleRelease, StoreError, UsageError
from buildonce.events import Event, Warned
from buildonce.oci import digest_of
from buildonce.reference import Repository, parse_repository
from buildonce.run.journal import Journal
from buildonce.run.releasing import release_record, staged_record, tag_release, warn_of_unfinished
from buildonce.ship.family import Family
from buildonce.ship.publication import Publisher, TagOutcome
from buildonce.ship.receipts import Receipt
from buildonce.ship.record import ReleaseRecord, decode_record, encode_record
from buildonce.ship.release import Release
from buildonce.store.protocol import Store
from buildonce.store.registry import RegistrySession, RegistryStore
from tests.fakes.registry import FakeRegistry, status
from tests.fakes.sessions import new_session
from tests.ship.releases import release

VARIANTS = ("a", "b")


class Shop:
    """Two repositories, a journal, and releases staged to them."""

    def __init__(self, registry: FakeRegistry, session: RegistrySession, folder: Path) -> None:
        self.registry = registry
        self.session = session
        self.journal = Journal(folder)
        self.events: list[Event] = []
        self.targets = {name: f"{registry.host}/acme/{name}" for name in VARIANTS}

    def open(self, name: str) -> Store:
        return RegistryStore(parse_repository(name), self.session)

    def family(self) -> Family:
        return Family({name: Publisher(self.open(text), Receipt(target=text)) for name, text in self.targets.items()})

    async def stage(self, wanted: Release) -> ReleaseRecord:
        family = self.family()
        await family.send(wanted)
        return staged_record(wanted, family, self.targets)

    async def release(self, record: ReleaseRecord, *, force: bool = False) -> list[TagOutcome]:
        results = await release_record(record, self.open, self.journal, self.events.append, force=force)
        return [one.outcome for one in results]

    async def tags(self) -> dict[str, str | None]:
        return {name: await self.open(text).head_manifest(name) for name, text in self.targets.items()}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with FakeRegistry() as registry, new_session() as session:
        yield Shop(registry, session, tmp_path / "journal")


def digests(wanted: Release) -> dict[str, str | None]:
    return {index.variant: index.digest for index in wanted.indexes}


async def test_staging_moves_no_tag_and_the_record_moves_them_all(shop: Shop) -> None:
    record = await shop.stage(release(*VARIANTS))
    assert await shop.tags() == {"a": None, "b": None}
    read = decode_record(encode_record(record), "it")
    assert read == record
    assert await shop.release(read) == [TagOutcome.CREATED] * 2
    assert await shop.tags() == digests(release(*VARIANTS))
    assert await shop.release(read) == [TagOutcome.UNCHANGED] * 2, "the same once more changes nothing"


async def test_a_release_older_than_the_tags_is_refused_unless_forced(shop: Shop) -> None:
    await shop.release(await shop.stage(release(*VARIANTS)))
    old, new = await shop.stage(release(*VARIANTS, core="2")), await shop.stage(release(*VARIANTS, core="3"))
    await shop.release(new)
    with pytest.raises(StaleRelease) as error:
        await shop.release(old)
    assert f"{shop.targets['a']}:a" in error.value.message
    assert await shop.tags() == digests(release(*VARIANTS, core="3"))
    assert await shop.release(old, force=True) == [TagOutcome.MOVED] * 2
    assert any(isinstance(one, Warned) and "moved since" in one.message for one in shop.events)


async def test_an_image_that_is_gone_moves_no_tag(shop: Shop) -> None:
    record = await shop.stage(release(*VARIANTS))
    gone = release(*VARIANTS).indexes[1].images[0].descriptor.digest
    shop.registry.faults.append(status(404, method="HEAD", path=f"/manifests/{gone}", times=99))
    with pytest.raises(StoreError, match="has the image of `b` for linux/amd64 no more"):
        await shop.release(record)
    assert await shop.tags() == {"a": None, "b": None}


async def test_an_interruption_between_tags_is_in_the_journal_until_a_run_completes(shop: Shop) -> None:
    wanted = release(*VARIANTS)
    shop.registry.faults.append(status(403, method="PUT", path=r"/acme/b/manifests/b$", times=1))
    family = shop.family()
    await family.send(wanted)
    with pytest.raises(StoreError):
        await tag_release(wanted, family, shop.journal, shop.targets, shop.events.append)
    path = shop.journal.unfinished(shop.targets.values())
    assert path is not None
    warn_of_unfinished(shop.journal, shop.targets.values(), shop.events.append)
    assert any(isinstance(one, Warned) and str(path) in one.message for one in shop.events)
    assert await shop.release(decode_record(path.read_bytes(), str(path))) == [TagOutcome.UNCHANGED, TagOutcome.CREATED]
    assert shop.journal.unfinished(shop.targets.values()) is None
    assert await shop.tags() == digests(wanted)


async def test_tags_that_were_put_back_leave_nothing_in_the_journal(shop: Shop) -> None:
    old = release(*VARIANTS)
    await shop.release(await shop.stage(old))
    record = await shop.stage(release(*VARIANTS, core="core 2"))
    shop.registry.faults.append(status(403, method="PUT", path=r"/acme/b/manifests/b$", times=1))
    with pytest.raises(StoreError, match="denies access"):
        await shop.release(record)
    assert await shop.tags() == digests(old)
    assert shop.journal.unfinished(shop.targets.values()) is None
    assert await shop.release(record) == [TagOutcome.MOVED, TagOutcome.MOVED]


async def test_a_release_that_goes_on_is_none_that_was_interrupted(shop: Shop) -> None:
    targets = shop.targets.values()
    record = await shop.stage(release(*VARIANTS))
    first, second = shop.journal.begin(record), shop.journal.begin(record)
    assert shop.journal.unfinished(targets) is None
    first.close()
    interrupted = shop.journal.unfinished(targets)
    assert interrupted
    assert shop.journal.unfinished(["another"]) is None
    second.done()
    assert shop.journal.unfinished(targets) is None
    assert not interrupted.exists(), "a later release has moved all tags"


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(lambda one: one.update(schema="buildonce.release/9"), "of the form", id="schema"),
        pytest.param(lambda one: one.update(indexes=[]), "has 0 indexes", id="empty"),
        pytest.param(lambda one: one.pop("indexes"), "is no record", id="field"),
        pytest.param(lambda one: one["indexes"][0].update(content="{}"), "has not the digest", id="content"),
        pytest.param(
            lambda one: one["indexes"][0].update(content="{}", digest=digest_of(b"{}")),
            "is not an image index",
            id="no index",
        ),
        pytest.param(lambda one: one["indexes"][1].update(variant="a"), "comes twice", id="variant"),
        pytest.param(lambda one: one["indexes"][0]["tags"][0].update(tag="../x"), "is no tag", id="tag"),
        pytest.param(
            lambda one: one["indexes"][1].update(target=one["indexes"][0]["target"], tags=one["indexes"][0]["tags"]),
            "two variants have the tag",
            id="same tag",
        ),
    ],
)
async def test_a_record_that_was_changed_is_refused(shop: Shop, change: Change, problem: str) -> None:
    document = msgspec.json.decode(encode_record(await shop.stage(release(*VARIANTS))))
    change(document)
    with pytest.raises((UsageError, StoreError)) as error:
        decode_record(msgspec.json.encode(document), "it")
    assert problem in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 10_000])
def test_what_is_no_record_is_said(content: bytes) -> None:
    with pytest.raises(UsageError, match="is no record of a release"):
        decode_record(content, "it")


def test_repositories_are_named_as_they_are_opened() -> None:
    assert str(parse_repository("registry.example/acme/a")) == str(Repository("registry.example", "acme/a"))


@pytest.mark.parametrize("end", ["done", "dropped"])
async def test_a_run_that_ends_well_is_never_taken_for_one_that_was_interrupted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    record = await shop.stage(release(*VARIANTS))
    targets = tuple(record.targets.values())
    entry = shop.journal.begin(record)
    seen: list[Path | None] = []

    def close(file: int) -> None:
        monkeypatch.undo()
        os.close(file)
        seen.append(shop.journal.unfinished(targets))

    monkeypatch.setattr(os, "close", close)
    getattr(entry, end)()
    assert seen == [None]


async def test_a_run_that_ends_between_two_looks_of_another_was_not_interrupted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await shop.stage(release(*VARIANTS))
    entry = shop.journal.begin(record)

    def flock(file: int, how: int) -> None:
        monkeypatch.undo()
        entry.done()
        fcntl.flock(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert shop.journal.unfinished(record.targets.values()) is None
