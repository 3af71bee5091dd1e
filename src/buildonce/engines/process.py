"""[io] Run a program, hand on its output line by line, and end it when the caller is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from buildonce.tasks import to_the_end

_GRACE = 5.0
_LONGEST_LINE = 1 << 20


async def run_process(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
    folder: Path | None = None,
) -> int:
    """Run ``argv`` and return its exit status; ``on_line`` gets each line of its output, both streams in one.

    It runs in ``folder``, or where this process does.
    The program has its own session, so a keyboard interrupt reaches this process alone, which then ends the program
    and its children. Raises `FileNotFoundError` when there is no such program.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environment),
        cwd=folder,
        start_new_session=True,
        limit=_LONGEST_LINE,
    )
    try:
        async for line in _lines(_stdout(process)):
            on_line(line)
        return await process.wait()
    finally:
        if process.returncode is None or not _stdout(process).at_eof():
            await to_the_end(_end(process))


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # longer than the limit: the stream dropped it, the rest follows
            continue
        if not line:
            return
        yield line.decode(errors="replace").rstrip("\r\n")


async def _end(process: asyncio.subprocess.Process) -> None:
    _signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(_GRACE):
            await process.wait()
    except TimeoutError:
        _signal(process, signal.SIGKILL)
        await process.wait()
    # The pipe is closed at its end only. A process that left the session may hold it, and is not waited for.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE):
            while await _stdout(process).read(_LONGEST_LINE):
                pass


def _stdout(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    assert process.stdout is not None  # noqa: S101  every process here is started with a pipe
    return process.stdout


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
