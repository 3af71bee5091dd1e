"""The last phase of a release: its tags, over all its repositories, moved together when everything else is there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from buildonce.errors import Error, MissingBlobs
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

    def places(self, release: Release) -> Sequence[PlacedTag]:
        """Return all tags of the release."""
        ...

    async def send_again(self, release: Release, missing: MissingBlobs) -> None:
        """Send the release's images once more, as far as they may be concerned."""
        ...


async def move_tags(parts: Sequence[tuple[Tagger, Release]]) -> None:
    """Move the tags of all parts of a release at once.

    Where a store turns out to lack something, the images are sent again and what is left is tried again. Raises the
    first failure, with notes that say which tags moved and which did not.
    """
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


async def settle_tags(parts: Sequence[tuple[Tagger, Release]]) -> bool:
    """See that the tags of all parts, which moved, are together; see `settle`."""
    if len(parts) == 1 and parts[0][0].is_atomic:
        return True
    return await settle([place for tagger, release in parts for place in tagger.places(release)])


async def _move(parts: Sequence[tuple[Tagger, Release]]) -> None:
    todo = [(tagger, tagger.moves(release)) for tagger, release in parts]
    wanted = [(tagger, move) for tagger, moves in todo for move in moves]
    done = await asyncio.gather(*(tagger.move(moves) for tagger, moves in todo))
    results = [result for part in done for result in part]
    failures = [result for result in results if isinstance(result, BaseException)]
    if not failures:
        return
    error = next((one for one in failures if not isinstance(one, MissingBlobs)), failures[0])
    if isinstance(error, Error) and not isinstance(error, MissingBlobs):
        labels = [f"{tagger.name}:{move.tag}" if len(parts) > 1 else move.tag for tagger, move in wanted]
        pairs = list(zip(labels, results, strict=True))
        moved = sorted(label for label, result in pairs if not isinstance(result, BaseException))
        left = sorted(label for label, result in pairs if isinstance(result, BaseException))
        if moved:
            error.notes += (f"moved already: {', '.join(moved)}", f"not moved: {', '.join(left)}")
            error.help = error.help or "every image is complete in the registry; run the same command again"
    raise error
