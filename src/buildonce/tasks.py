"""Structured concurrency: run coroutines together, fail as one, and with one error."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

_T = TypeVar("_T")


class Tasks(asyncio.TaskGroup):
    """A task group that raises the first failure itself instead of a group with that failure in it."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await super().__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            raise first_error(group) from group


async def together(coroutines: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Run the coroutines at the same time; return their results in order. The first failure cancels the others."""
    async with Tasks() as tasks:
        running = [tasks.create_task(coroutine) for coroutine in coroutines]
    return [task.result() for task in running]


async def to_the_end(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end, however often the caller is cancelled meanwhile; the caller is cancelled after it."""
    task = asyncio.ensure_future(coroutine)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()


async def finishing(coroutine: Coroutine[Any, Any, _T], seconds: float) -> _T:
    """Run a coroutine, which gets some ``seconds`` more to end by itself when the caller is cancelled."""
    task = asyncio.ensure_future(coroutine)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        try:
            await to_the_end(asyncio.wait({task}, timeout=seconds))
        finally:
            await end(task)
        raise


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end; what it fails with is known already, or of no interest any more."""
    task.cancel()
    await to_the_end(asyncio.wait({task}))
    if not task.cancelled():
        task.exception()


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first failure in a group of failures that is not a group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
