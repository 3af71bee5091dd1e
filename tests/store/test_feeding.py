"""Streams read by what blocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from buildonce.errors import IntegrityError, StoreError
from buildonce.oci import OCI_LAYER, Descriptor, digest_of
from buildonce.store.feeding import read_in_thread
from buildonce.store.protocol import Readable
from buildonce.store.streams import file_chunks, verified

SECONDS = 20.0


class Stream:
    """Chunks, and what became of them."""

    def __init__(self, *chunks: bytes | Exception, pause: float = 0) -> None:
        self.chunks = chunks
        self.pause = pause
        self.given = 0
        self.closed = False

    async def open(self) -> AsyncIterator[bytes]:
        try:
            for chunk in self.chunks:
                await asyncio.sleep(self.pause)
                if isinstance(chunk, Exception):
                    raise chunk
                self.given += 1
                yield chunk
        finally:
            self.closed = True


def read_in_pieces(file: Readable) -> list[bytes]:
    pieces = []
    while piece := file.read(3):
        pieces.append(piece)
    return pieces


async def test_pieces_are_those_of_the_stream_in_their_order() -> None:
    stream = Stream(b"abcd", b"", b"e", b"fghijk")
    assert await read_in_thread(stream.open(), read_in_pieces) == [b"abc", b"d", b"e", b"fgh", b"ijk"]
    assert stream.closed


async def test_nothing_is_read_from_an_empty_stream() -> None:
    assert await read_in_thread(Stream().open(), read_in_pieces) == []
    assert await read_in_thread(Stream(b"", b"").open(), lambda file: (file.read(5), file.read(5))) == (b"", b"")


async def test_a_stream_that_breaks_breaks_the_reader() -> None:
    stream = Stream(b"abc", StoreError("gone"))
    with pytest.raises(StoreError, match="gone"):
        await read_in_thread(stream.open(), read_in_pieces)
    assert stream.closed


async def test_a_stream_stays_little_ahead_of_its_reader_and_ends_with_it() -> None:
    stream = Stream(*[b"x"] * 100)

    def fail(file: Readable) -> None:
        for _ in range(5):
            file.read(1)
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        await read_in_thread(stream.open(), fail)
    assert stream.closed
    assert stream.given <= 8


async def test_what_is_not_read_to_its_end_is_closed() -> None:
    stream = Stream(*[b"x"] * 100)
    assert await read_in_thread(stream.open(), lambda file: file.read(1)) == b"x"
    assert stream.closed


async def test_one_that_is_given_up_leaves_nothing_behind() -> None:
    stream = Stream(b"x", b"y", pause=0.01)
    began, ended = threading.Event(), threading.Event()

    def read(file: Readable) -> None:
        try:
            file.read(1)
            began.set()
            while file.read(1):
                pass
        finally:
            ended.set()

    async def forever() -> AsyncIterator[bytes]:
        async for chunk in stream.open():
            yield chunk
        await asyncio.Event().wait()

    task = asyncio.create_task(read_in_thread(forever(), read))
    await asyncio.to_thread(began.wait, SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert stream.closed


async def test_more_readers_than_the_common_threads_do_not_wait_for_each_other(tmp_path: Path) -> None:
    content = b"x" * 3_000_000
    path = tmp_path / "file"
    path.write_bytes(content)
    descriptor = Descriptor(media_type=OCI_LAYER, digest=digest_of(content), size=len(content))

    async def read() -> int:
        return await read_in_thread(
            verified(file_chunks(path), descriptor, "it"), lambda file: len(b"".join(_all(file)))
        )

    async with asyncio.timeout(SECONDS):
        assert await asyncio.gather(*(read() for _ in range(40))) == [len(content)] * 40


def _all(file: Readable) -> list[bytes]:
    chunks = []
    while chunk := file.read(1 << 16):
        chunks.append(chunk)
    return chunks


async def test_what_is_checked_at_the_end_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"other")
    descriptor = Descriptor(media_type=OCI_LAYER, digest=digest_of(b"right"), size=5)
    with pytest.raises(IntegrityError):
        await read_in_thread(verified(file_chunks(path), descriptor, "it"), _all)
