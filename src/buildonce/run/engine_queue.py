"""Whose turn it is with the engine: a few builds at once, and where it must not be, no two that are at the same step.

Some engines let builds that need the same step wait for it together. With others, two builds at once run it twice:
there the second waits until the first is done, and finds its results.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

ENGINE_JOBS = 2
"""How many builds an engine is given at once where nothing else is said: drivers were seen to fail under more."""


class Wish(Struct, frozen=True, kw_only=True):
    """A build that wants its turn: the steps that it has run, and whether it runs again what is running elsewhere.

    One that ``goes_first`` is waited for by others.
    """

    steps: frozenset[str]
    repeats: bool
    goes_first: bool = False


def choose(waiting: Sequence[Wish], running: Collection[Wish], done: Collection[str], limit: int) -> int | None:
    """Return which of the waiting builds starts next, if one may.

    Of those that may, it is one that others wait for, then the one that shares most steps with what was built or is
    being built: builds that share steps follow each other closely. Among equals the first has its turn.
    """
    if len(running) >= limit:
        return None
    begun = frozenset[str]().union(*(one.steps for one in running))
    fresh = begun.difference(done)
    known = begun.union(done)
    free = [n for n, one in enumerate(waiting) if not (one.repeats and one.steps & fresh)]
    return max(free, key=lambda n: (waiting[n].goes_first, len(waiting[n].steps & known)), default=None)


class EngineQueue:
    """Gives builds their turns, at most ``limit`` at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: list[tuple[Wish, asyncio.Future[None]]] = []
        self._running: list[Wish] = []
        self._done: set[str] = set()

    @asynccontextmanager
    async def turn(self, wish: Wish) -> AsyncIterator[None]:
        """Wait for a turn, and have it while the context lasts."""
        entry = (wish, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._admit()
        try:
            await entry[1]
            yield
            self._done |= wish.steps
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)
            else:
                self._running.remove(wish)
            self._admit()

    def _admit(self) -> None:
        """Start what may start."""
        while (
            next_ := choose([wish for wish, _ in self._waiting], self._running, self._done, self._limit)
        ) is not None:
            wish, started = self._waiting.pop(next_)
            self._running.append(wish)
            if not started.done():
                started.set_result(None)
