"""[io] Wait until what is built would be built otherwise: the plan itself says whether a change is one.

A saved file that no instruction takes, or a change that is taken back, changes no key and builds nothing. The digests
of external images are not asked for again meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from buildonce.errors import Error, StoreError
from buildonce.oci import Platform
from buildonce.plan.file_plans import Images
from buildonce.plan.images import ExternalImage
from buildonce.plan.nodes import Plan
from buildonce.plan.recipes import key_of
from buildonce.run.resolving import OpenRepository, resolve_images
from buildonce.run.state import State

_PAUSE = 0.3
_SHARE = 4
"""At most a fifth of the time is spent on looking."""


class KnownImages:
    """Resolves external images, each once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Platform], ExternalImage] = {}

    async def resolve(
        self,
        wanted: Iterable[tuple[str, Platform]],
        *,
        open_repository: OpenRepository,
        state: State,
        explain: Callable[[str, StoreError], Error],
    ) -> Images:
        """Return the images, those that are not known yet from their registries; see `resolve_images`."""
        asked = set(wanted)
        missing = asked - self._known.keys()
        if missing:
            self._known |= await resolve_images(missing, open_repository=open_repository, state=state, explain=explain)
        return {pair: self._known[pair] for pair in asked}


def keys_of(plan: Plan) -> frozenset[str]:
    """Return what tells a plan from others: the keys of all that it makes."""
    return frozenset((*plan.cores, *plan.bases, *(key_of(image.recipe) for image in plan.images)))


async def wait_for_change(
    look: Callable[[], Awaitable[frozenset[str]]],
    before: frozenset[str] | None,
    complain: Callable[[Error], None],
) -> None:
    """Return when ``look`` gives other keys than ``before``; what keeps it from looking is said once."""
    said = ""
    while True:
        started = time.monotonic()
        try:
            if await look() != before:
                return
            said = ""
        except Error as error:
            if str(error) != said:
                complain(error)
            said = str(error)
        await asyncio.sleep(max(_PAUSE, _SHARE * (time.monotonic() - started)))
