"""Programs as child processes: their output, and that none outlives its caller."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from buildonce.engines.process import run_process

SLOW_TO_END = "trap 'sleep 0.3; exit 9' TERM; echo $$; sleep 30 & wait; sleep 30 & wait"


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


async def test_output_comes_line_by_line_and_the_status_at_the_end() -> None:
    lines: list[str] = []
    status = await run_process(
        ("sh", "-c", "echo a; echo b >&2; printf c; exit 3"), environment=os.environ, on_line=lines.append
    )
    assert (status, sorted(lines)) == (3, ["a", "b", "c"])


@pytest.mark.parametrize("cancellations", [1, 2, 5])
async def test_a_program_has_ended_when_its_caller_has_however_often_it_is_cancelled(
    cancellations: int,
) -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    running = asyncio.create_task(
        run_process(("sh", "-c", SLOW_TO_END), environment=os.environ, on_line=said.put_nowait)
    )
    number = int(await asyncio.wait_for(said.get(), 20))
    for _ in range(cancellations):
        running.cancel()
        await asyncio.sleep(0.02)
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(number, signal.SIGCONT)


async def test_the_output_is_closed_when_the_program_has_ended_before_what_it_started() -> None:
    """A child that ends a moment later holds the pipe; left open, the pipe would be collected after its loop."""
    said: asyncio.Queue[str] = asyncio.Queue()
    before = open_files()
    script = "(trap 'sleep 0.2; exit 0' TERM; echo ready; sleep 30 & wait) & trap 'exit 9' TERM; wait"
    running = asyncio.create_task(run_process(("sh", "-c", script), environment=os.environ, on_line=said.put_nowait))
    await asyncio.wait_for(said.get(), 20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0)
    assert open_files() <= before
