"""[io] Streams for readers that block: read in a thread of their own, fed from the event loop a little ahead."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from buildonce.store.protocol import Readable

_AHEAD = 2
"""How many chunks wait for the reader at most."""

_T = TypeVar("_T")


async def read_in_thread(chunks: AsyncIterator[bytes], read: Callable[[Readable], _T]) -> _T:
    """Return what ``read`` makes of a stream; raises what either raises.

    Afterwards the stream is closed and the reader has ended, also where it is given up half-way. The reader has a
    thread of its own: in one of the common pool it could wait for chunks that wait for a thread.
    """
    loop = asyncio.get_running_loop()
    feed = _Feed(loop)
    pump = loop.create_task(feed.pump(chunks))
    with ThreadPoolExecutor(1, "buildonce-reader") as thread:
        reading = loop.run_in_executor(thread, read, feed)
        try:
            return await asyncio.shield(reading)
        finally:
            pump.cancel()
            await asyncio.wait((pump, reading))
            for ended in (pump, reading):
                with suppress(asyncio.CancelledError):
                    ended.exception()  # it is raised above, if it is anybody's business


class _Feed:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots = asyncio.Semaphore(_AHEAD)
        self._queue: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()
        self._rest = memoryview(b"")
        self._ended = False

    async def pump(self, chunks: AsyncIterator[bytes]) -> None:
        """Hand on every chunk, then nothing, or what the stream raises."""
        try:
            async for chunk in chunks:
                if chunk:
                    await self._slots.acquire()
                    self._queue.put(chunk)
        except BaseException as error:
            self._queue.put(error)
            raise
        else:
            self._queue.put(b"")
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()

    def read(self, size: int = -1, /) -> bytes:
        while not self._rest and not self._ended:
            chunk = self._queue.get()
            if isinstance(chunk, BaseException):
                raise chunk
            self._ended = not chunk
            self._rest = memoryview(chunk)
            self._loop.call_soon_threadsafe(self._slots.release)
        end = len(self._rest) if size < 0 else min(size, len(self._rest))
        data, self._rest = self._rest[:end], self._rest[end:]
        return bytes(data)
