"""The last phase of a release: its tags, over all its repositories, moved together when everything else is there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from buildonce.errors import Error, MissingBlobs
from buildonce.ship.release import Release, VariantIndex
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

    def moves(self, release: Release) -> Sequence[Move]:
        """Return what of the release is not under its tag yet."""
        ...

    async def move(self, move: Move) -> None:
        """Put an index under its tag. Raises `MissingBlobs` if an image of it is not there after all."""
        ...

    async def send_again(self, release: Release) -> None:
        """Send the release's images once more."""
        ...


async def move_tags(parts: Sequence[tuple[Tagger, Release]]) -> None:
    """Move the tags of all parts of a release at once.

    Where a store turns out to lack something, the images are sent again and what is left is tried once more. Raises
    the first failure, with notes that say which tags moved and which did not.
    """
    try:
        await _move(parts)
    except MissingBlobs:
        await together(tagger.send_again(release) for tagger, release in parts)
        await _move(parts)


async def _move(parts: Sequence[tuple[Tagger, Release]]) -> None:
    wanted = [(tagger, move) for tagger, release in parts for move in tagger.moves(release)]
    results = await asyncio.gather(*(tagger.move(move) for tagger, move in wanted), return_exceptions=True)
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
