"""Structured concurrency: what is ended, what goes on, and which error comes out."""

from __future__ import annotations

import asyncio

import pytest

from buildonce.tasks import to_the_end, together


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


async def test_to_the_end_gives_the_result_or_the_error() -> None:
    async def give() -> int:
        return 7

    async def fail() -> None:
        raise ValueError("no")

    assert await to_the_end(give()) == 7
    with pytest.raises(ValueError, match="no"):
        await to_the_end(fail())
