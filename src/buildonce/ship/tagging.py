"""The last phase of a release: its tags, over all its repositories, moved together when everything else is there.

Registries have no transactions. When one tag cannot be moved, those that moved already are put back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from buildonce.errors import MissingBlobs, StoreError
from buildonce.oci import Digest
from buildonce.ship.release import Release, VariantIndex
from buildonce.ship.settling import PlacedTag, pauses, settle
from buildonce.tasks import together


class Move(Struct, frozen=True):
    """An index that is to be put under one of its tags."""

    index: VariantIndex
    tag: str


class Tagger(Protocol):
    """Moves the tags of releases whose images are complete in one store."""

    @property
    def name(self) -> str:
        """How messages call the store."""
        ...

    @property
    def is_atomic(self) -> bool:
        """Say whether all tags of a release move in one step."""
        ...

    def moves(self, release: Release) -> Sequence[Move]:
        """Return what of the release is to be moved: what is not under its tag yet, or all of it in one step."""
        ...

    async def move(self, moves: Sequence[Move]) -> Sequence[BaseException | None]:
        """Put indexes under their tags; return what kept each from it: `MissingBlobs` for an incomplete one."""
        ...

    @property
    def before(self) -> Mapping[str, Digest | None]:
        """Where the tags of the release pointed before."""
        ...

    def moved(self, release: Release) -> Sequence[Move]:
        """Return what of the release has been moved."""
        ...

    async def look(self, tag: str) -> Digest | None:
        """Return where a tag points."""
        ...

    async def put_back(self, move: Move) -> None:
        """Point a tag that was moved, and has not been moved again by others, to where it pointed before."""
        ...

    def places(self, release: Release) -> Sequence[PlacedTag]:
        """Return all tags of the release."""
        ...

    async def send_again(self, release: Release, missing: MissingBlobs) -> None:
        """Send the release's images once more, as far as they may be concerned."""
        ...


async def move_tags(parts: Sequence[tuple[Tagger, Release]]) -> None:
    """Move the tags of all parts of a release at once.

    Where a store turns out to lack something, the images are sent again and what is left is tried again. Raises the
    first failure, when the tags are back where they were, or with notes that say which are not.
    """
    try:
        await _move_all(parts)
    except StoreError as error:
        await _put_back(parts, error)
        raise


async def settle_tags(parts: Sequence[tuple[Tagger, Release]]) -> bool:
    """See that the tags of all parts, which moved, are together; see `settle`."""
    if len(parts) == 1 and parts[0][0].is_atomic:
        return True
    return await settle([place for tagger, release in parts for place in tagger.places(release)])


async def _move_all(parts: Sequence[tuple[Tagger, Release]]) -> None:
    pause = pauses()
    while True:
        try:
            await _move(parts)
        except MissingBlobs as missing:
            if not await pause():
                raise
            await together(tagger.send_again(release, missing) for tagger, release in parts)
        else:
            break


async def _move(parts: Sequence[tuple[Tagger, Release]]) -> None:
    done = await asyncio.gather(*(tagger.move(tagger.moves(release)) for tagger, release in parts))
    failures = [result for part in done for result in part if result is not None]
    if failures:
        raise next((one for one in failures if not isinstance(one, MissingBlobs)), failures[0])


async def _put_back(parts: Sequence[tuple[Tagger, Release]], error: StoreError) -> None:
    """Put back the tags that moved; note with ``error`` what came of it.

    A tag goes to where it pointed as far as this run knows. Whether that is still true is asked of the tags that did
    not move: the tags of a family move together.
    """
    left = [(tagger, move) for tagger, release in parts for move in _left(tagger, release)]
    moved = [(tagger, move) for tagger, release in parts for move in tagger.moved(release)]
    if not moved:
        return
    old = [(tagger, move) for tagger, move in moved if tagger.before[move.tag]]
    if await _are_known(left):
        failures = await asyncio.gather(*(tagger.put_back(move) for tagger, move in old), return_exceptions=True)
        for one in failures:
            if isinstance(one, BaseException) and not isinstance(one, StoreError):
                raise one
    staying = [(tagger, move) for tagger, release in parts for move in tagger.moved(release)]
    created = [(tagger, move) for tagger, move in staying if not tagger.before[move.tag]]
    stuck = [one for one in staying if one not in created]
    is_apart = len(parts) > 1
    error.notes += (
        f"not moved: {', '.join(_labels(left, is_apart=is_apart))}",
        *([f"moved, and put back: {len(moved) - len(staying)}"] if len(moved) > len(staying) else []),
        *([f"moved already: {', '.join(_labels(stuck, is_apart=is_apart))}"] if stuck else []),
        *([f"new, and complete: {', '.join(_labels(created, is_apart=is_apart))}"] if created else []),
    )
    if staying:
        error.help = error.help or "every image is complete in the registry; run the same command again"


async def _are_known(tags: Sequence[tuple[Tagger, Move]]) -> bool:
    """Say whether tags that did not move are where this run thought that they were."""
    try:
        found = await together(tagger.look(move.tag) for tagger, move in tags)
    except StoreError:
        return False
    return all(digest == tagger.before[move.tag] for digest, (tagger, move) in zip(found, tags, strict=True))


def _left(tagger: Tagger, release: Release) -> Iterator[Move]:
    moved = tagger.moved(release)
    return (move for move in tagger.moves(release) if move not in moved)


def _labels(tags: Sequence[tuple[Tagger, Move]], *, is_apart: bool) -> Sequence[str]:
    return sorted(f"{tagger.name}:{move.tag}" if is_apart else move.tag for tagger, move in tags)
