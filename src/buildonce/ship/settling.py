"""[io] Are the tags of a release together, when several runs move the same tags at the same time?

Registries have no transactions: two runs that move the same tags can leave some of each release. So a run that moved
tags looks at all of them afterwards. It is done when it finds all where it put them, or none: then another run was
later and moved them all. Else it moves those of the others once more, and looks again.

When every run has ended, the tags are on one release. Whoever made the last change of all looked at all tags after it,
and nothing changed any more. It found at least one where it put it, and ended; so it found all of them there (ADR 13).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from buildonce.errors import ContestedTags, MissingBlobs
from buildonce.oci import Digest
from buildonce.tasks import together

_ATTEMPTS = 14
_FIRST_WAIT = 0.05
_LONGEST_WAIT = 5.0
_REPAIRS = 5

Pause = Callable[[], Awaitable[bool]]
"""Let some time pass and say True, or say that it was enough."""


class PlacedTag(Protocol):
    """A tag of a release in its store."""

    @property
    def label(self) -> str:
        """How messages call it."""
        ...

    @property
    def digest(self) -> Digest:
        """Where it is to point."""
        ...

    async def look(self) -> Digest | None:
        """Return where it points."""
        ...

    async def put(self) -> None:
        """Point it to where it belongs."""
        ...


def pauses(count: int = _REPAIRS) -> Pause:
    """Return what pauses ``count`` times, each time about twice as long as before.

    Whoever pauses longer than others lets one of them end; chance sees to it that not all pause alike.
    """
    waits = iter([min(_LONGEST_WAIT, _FIRST_WAIT * 2**number) for number in range(count)])

    async def pause() -> bool:
        wait = next(waits, None)
        if wait is not None:
            await asyncio.sleep(wait * (0.5 + random.random()))  # noqa: S311  not for secrets
        return wait is not None

    return pause


async def settle(tags: Sequence[PlacedTag], pause: Pause | None = None) -> bool:
    """Return when the ``tags``, which were just moved, are together; move those again that others moved until then.

    Says False when all of them were moved by others since. One tag alone is not looked at: it is in its place, or in
    that of a run that was later. Raises `ContestedTags` when others keep moving them.
    """
    pause = pause or pauses(_ATTEMPTS)
    trouble: MissingBlobs | None = None
    while len(tags) > 1:
        stray = await _stray(tags)
        if len(stray) in (0, len(tags)):
            return not stray
        if not await pause():
            names = ", ".join(sorted(one.label for one in stray))
            raise ContestedTags(
                f"other runs keep moving tags of this release: {names}",
                notes=("each tag points to a complete image, but they may be of several releases",),
                help="let one run at a time ship to these tags (a concurrency group in CI), and run this one again",
            ) from trouble
        # Another run may be about to move the rest: it is left to do so if it has.
        stray = await _stray(tags)
        if len(stray) == len(tags):
            return False
        try:
            await together(one.put() for one in stray)
        except MissingBlobs as missing:  # busy registries miss for a moment what another run puts there once more
            trouble = missing
    return True


async def _stray(tags: Sequence[PlacedTag]) -> Sequence[PlacedTag]:
    """Return the tags that point elsewhere."""
    found = await together(one.look() for one in tags)
    return [one for one, digest in zip(tags, found, strict=True) if digest != one.digest]
