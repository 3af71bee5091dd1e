"""[io] The tags of a release: moved together when every image is there, in a run or later from its record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping

from buildonce.errors import StaleRelease, StoreError
from buildonce.events import Emit, Warned
from buildonce.oci import Digest
from buildonce.run.journal import Journal
from buildonce.ship.family import Family
from buildonce.ship.publication import Published, Publisher, TagResult
from buildonce.ship.receipts import Receipt
from buildonce.ship.record import RecordedIndex, ReleaseRecord, images_of, make_record, recorded_release
from buildonce.ship.release import Release
from buildonce.store.protocol import Store
from buildonce.tasks import together


async def release_record(
    record: ReleaseRecord, open_target: Callable[[str], Store], journal: Journal, emit: Emit, *, force: bool = False
) -> tuple[TagResult, ...]:
    """Move the tags of a staged release, whose stores ``open_target`` gives by name; return what became of each.

    Raises `StoreError` when an image of it is not in its store any more, and `StaleRelease`, unless ``force``, when
    somebody moved one of its tags since it was staged; no tag has moved then.
    """
    stores = {name: open_target(name) for name in sorted(set(record.targets.values()))}
    await together(_demand_images(index, stores[index.target]) for index in record.indexes)
    publishers = {name: Publisher(store, Receipt(target=name)) for name, store in stores.items()}
    family = Family({variant: publishers[target] for variant, target in record.targets.items()})
    release = recorded_release(record)
    await family.send(release)
    now = {(target, tag): digest for target, tag, digest in family.before(release)}
    if moved := tuple(_moved_since(record, now)):
        if not force:
            raise StaleRelease(
                f"{len(moved)} of the release's tags moved since it was staged: {', '.join(moved)}",
                help="stage the release again, or move them all the same with --force",
            )
        emit(Warned(message=f"moved since the release was staged: {', '.join(moved)}"))
    return (await tag_release(release, family, journal, record.targets, emit)).tags


async def tag_release(
    release: Release, family: Family, journal: Journal, targets: Mapping[str, str], emit: Emit
) -> Published:
    """Move the tags of a release that was sent to ``targets`` (by variant), with an entry in the journal meanwhile."""
    if not family.has_moves(release):
        return family.published(release)
    entry = await asyncio.to_thread(journal.begin, staged_record(release, family, targets))
    try:
        published = await family.tag(release)
        if not await family.settle(release):
            emit(Warned(message="another run shipped to the same tags at the same time; they point to its release now"))
        await asyncio.to_thread(entry.done)
    except StoreError:
        if not family.has_moved(release):
            await asyncio.to_thread(entry.dropped)
        raise
    finally:
        entry.close()
    return published


def staged_record(release: Release, family: Family, targets: Mapping[str, str]) -> ReleaseRecord:
    """Return the record of a release that was sent and whose tags have not moved."""
    before = {(target, tag): digest for target, tag, digest in family.before(release)}
    return make_record(release, targets, before)


def warn_of_unfinished(journal: Journal, targets: Iterable[str], emit: Emit) -> None:
    """Say so if an earlier release to these stores was interrupted while its tags moved."""
    if path := journal.unfinished(targets):
        emit(
            Warned(
                message="an earlier release was interrupted while its tags moved, so they may be of two releases; "
                f"this run moves its own tags, and `buildonce release --force {path}` completes the earlier one"
            )
        )


async def _demand_images(index: RecordedIndex, store: Store) -> None:
    async def demand(platform: str, digest: Digest) -> None:
        if await store.head_manifest(digest) is None:
            raise StoreError(
                f"{store.name} has the image of `{index.variant}` for {platform} no more ({digest[:19]})",
                notes=("it was there when the release was staged; no tag has moved",),
                help="stage the release again: `buildonce build --stage`",
            )

    await together(demand(platform, digest) for platform, digest in images_of(index))


def _moved_since(record: ReleaseRecord, now: Mapping[tuple[str, str], Digest | None]) -> Iterator[str]:
    for index in record.indexes:
        for one in index.tags:
            if now[index.target, one.tag] not in (one.before, index.digest):
                yield f"{index.target}:{one.tag}"
