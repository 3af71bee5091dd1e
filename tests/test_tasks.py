"""Structured concurrency: what is ended, what goes on, and which error comes out."""

from __future__ import annotations

import asyncio

import pytest

from buildonce.tasks import finishing, to_the_end, together


async def test_the_first_failure_cancels_the_others_and_is_raised_itself() -> None:
    ended: list[str] = []

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("first")

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waiting")

    with pytest.raises(ValueError, match="first"):
        await together((wait(), fail()))
    assert ended == ["waiting"]


async def test_to_the_end_finishes_before_the_caller_is_cancelled() -> None:
    done: list[str] = []

    async def clean() -> None:
        for _ in range(5):
            await asyncio.sleep(0.01)
        done.append("clean")

    caller = asyncio.create_task(to_the_end(clean()))
    await asyncio.sleep(0)
    for _ in range(3):
        caller.cancel()
        await asyncio.sleep(0.005)
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == ["clean"]


@pytest.mark.parametrize(("takes", "ended"), [(0.05, "itself"), (60, "force")])
async def test_what_is_finishing_has_some_time_left_when_its_caller_is_cancelled(takes: float, ended: str) -> None:
    done: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(takes)
        except asyncio.CancelledError:
            done.append("force")
            raise
        done.append("itself")

    caller = asyncio.create_task(finishing(work(), 0.5))
    await asyncio.sleep(0.01)
    for _ in range(2):
        caller.cancel()
        await asyncio.sleep(0.005)
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == [ended]
    assert len(asyncio.all_tasks()) == 1


async def test_what_is_finishing_gives_its_result_or_its_error() -> None:
    async def give() -> int:
        return 7

    async def fail() -> int:
        raise ValueError("why")

    assert await finishing(give(), 1) == 7
    with pytest.raises(ValueError, match="why"):
        await finishing(fail(), 1)


async def test_to_the_end_gives_the_result_or_the_error() -> None:
    async def give() -> int:
        return 7

    async def fail() -> None:
        raise ValueError("no")

    assert await to_the_end(give()) == 7
    with pytest.raises(ValueError, match="no"):
        await to_the_end(fail())
