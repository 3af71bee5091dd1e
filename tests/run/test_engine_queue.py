"""Who has a turn with the engine, and who waits."""

from __future__ import annotations

import asyncio

import pytest

from buildonce.run.engine_queue import EngineQueue, Wish, choose


def wish(steps: str = "", *, repeats: bool = False, goes_first: bool = False) -> Wish:
    return Wish(steps=frozenset(steps), repeats=repeats, goes_first=goes_first)


def held(steps: str) -> Wish:
    return wish(steps, repeats=True)


@pytest.mark.parametrize(
    ("waiting", "running", "done", "chosen"),
    [
        pytest.param([], [], "", None, id="nobody"),
        pytest.param([wish("a"), wish("b")], [], "", 0, id="the first"),
        pytest.param([wish("a")], [wish("b"), wish("c")], "", None, id="no place"),
        pytest.param([wish("b"), wish("ac")], [wish("ab")], "", 0, id="of equals the first"),
        pytest.param([wish("c"), wish("ad")], [wish("ab")], "", 1, id="what shares a running step"),
        pytest.param([wish("c"), wish("ad")], [], "a", 1, id="what shares a finished step"),
        pytest.param([wish("ad"), wish("c", goes_first=True)], [wish("ab")], "", 1, id="what others wait for"),
        pytest.param([held("ad"), held("c")], [held("ab")], "", 1, id="an unrelated one overtakes"),
        pytest.param([held("ad")], [held("ab")], "", None, id="held back"),
        pytest.param([held("ad")], [held("ab")], "a", 0, id="the shared step is built"),
        pytest.param([wish("ad")], [held("ab")], "", 0, id="an engine that shares"),
    ],
)
def test_choosing(waiting: list[Wish], running: list[Wish], done: str, chosen: int | None) -> None:
    assert choose(waiting, running, frozenset(done), 2) == chosen


class Builds:
    """Builds that last until they are told to end."""

    def __init__(self, limit: int) -> None:
        self.queue = EngineQueue(limit)
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, name: str, wish: Wish) -> None:
        self._ends[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._build(name, wish))
        await asyncio.sleep(0.01)

    async def _build(self, name: str, wish: Wish) -> None:
        async with self.queue.turn(wish):
            self.begun.append(name)
            await self._ends[name].wait()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self._tasks[name]
        await asyncio.sleep(0.01)

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        with pytest.raises(asyncio.CancelledError):
            await self._tasks[name]
        await asyncio.sleep(0.01)


async def test_no_more_builds_than_allowed_run_at_once() -> None:
    builds = Builds(limit=2)
    for name in "abc":
        await builds.start(name, wish(name))
    assert builds.begun == ["a", "b"]
    await builds.end("a")
    assert builds.begun == ["a", "b", "c"]


async def test_one_that_would_repeat_a_running_step_waits_for_it_and_an_unrelated_one_does_not() -> None:
    builds = Builds(limit=2)
    await builds.start("first", held("ab"))
    await builds.start("second", held("ac"))
    await builds.start("third", held("ad"))
    await builds.start("unrelated", held("e"))
    assert builds.begun == ["first", "unrelated"]
    await builds.end("first")
    assert builds.begun == ["first", "unrelated", "second"]
    await builds.end("unrelated")
    assert builds.begun == ["first", "unrelated", "second", "third"], "what they share is built by now"


async def test_a_build_that_is_cancelled_leaves_its_place_and_has_built_nothing() -> None:
    builds = Builds(limit=1)
    for name in ("first", "second", "third"):
        await builds.start(name, held("a"))
    await builds.cancel("second")
    await builds.cancel("first")
    assert builds.begun == ["first", "third"]
    await builds.start("fourth", held("a"))
    assert builds.begun == ["first", "third"]
    await builds.end("third")
    await builds.end("fourth")
