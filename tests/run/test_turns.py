"""Turns: one at a time, free again when their process is gone, and no obstacle where there are no locks."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from buildonce.run.turns import Turn

HOLDING = """
import sys, time
from pathlib import Path
from buildonce.run.turns import Turn
turn = Turn(Path(sys.argv[1]), "core")
assert turn.try_take()
print("taken", flush=True)
time.sleep(60)
"""


def test_one_has_its_turn_and_the_next_knows_of_it(tmp_path: Path) -> None:
    first, second, other = Turn(tmp_path, "core"), Turn(tmp_path, "core"), Turn(tmp_path, "another")
    assert first.try_take()
    assert not first.is_late(), "nobody was there before"
    assert not second.try_take()
    assert other.try_take()
    first.end()
    first.end()
    assert second.try_take()
    assert second.is_late(), "the first was there meanwhile"
    second.end()
    late = Turn(tmp_path, "core")
    assert late.try_take()
    assert not late.is_late(), "nobody was there since it began to look"


def test_who_looks_while_another_has_its_turn_knows_of_its_end(tmp_path: Path) -> None:
    first = Turn(tmp_path, "core")
    assert first.try_take()
    second, third = Turn(tmp_path, "core"), Turn(tmp_path, "core")
    first.end()
    assert second.try_take()
    assert second.is_late()
    second.end()
    assert third.try_take()
    assert third.is_late()


async def test_who_waits_goes_on_when_the_turn_is_free(tmp_path: Path) -> None:
    first, second = Turn(tmp_path, "core"), Turn(tmp_path, "core")
    first.try_take()
    waiting = asyncio.create_task(second.wait())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    first.end()
    await waiting
    assert second.is_late()


async def test_the_turn_of_a_killed_process_is_free(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDING, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    turn = Turn(tmp_path, "core")
    assert not turn.try_take()
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    assert turn.try_take()


def test_nobody_waits_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refusing)
    for turn in (Turn(tmp_path, "core"), Turn(tmp_path, "core")):
        assert turn.try_take()
        assert not turn.is_late()


def test_nobody_waits_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    turn = Turn(tmp_path / "file" / "turns", "core")
    assert turn.try_take()
    assert not turn.is_late()
    turn.end()


def test_what_nobody_took_for_long_goes_away(tmp_path: Path) -> None:
    for name in ("old", "new"):
        turn = Turn(tmp_path, name)
        turn.try_take()
        turn.end()
    old, new = sorted(tmp_path.iterdir(), key=lambda path: path.name != Turn(tmp_path, "old")._path.name)
    os.utime(old, (time.time() - 8 * 24 * 3600,) * 2)
    Turn(tmp_path, "another").try_take()
    assert not old.exists()
    assert new.exists()
