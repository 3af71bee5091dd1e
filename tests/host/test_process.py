from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.testhost.errors import HostError
from scripts.testhost.process import (
    NOT_FOUND,
    TIMED_OUT,
    Service,
    await_ready,
    demand,
    find_marked,
    is_ours,
    read_pid,
    run,
    start,
    stop,
)

SLEEP = "import sys, time; print('slept', flush=True); time.sleep(60)"


def service(folder: Path, script: str = SLEEP) -> Service:
    marker = str(folder / "configuration")
    return Service(
        name="sleeper",
        argv=(sys.executable, "-c", script, marker),
        marker=marker,
        pid_file=folder / "run" / "sleeper.pid",
        log=folder / "sleeper.log",
        env={},
    )


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Service]:
    sleeper = service(tmp_path)
    sleeper.pid_file.parent.mkdir()
    start(sleeper)
    await_ready(sleeper, lambda: "slept" in sleeper.log.read_text(), seconds=10)
    yield sleeper
    pid = read_pid(sleeper.pid_file, sleeper.marker)
    if pid is not None:
        stop(pid, sleeper.marker)


def test_a_service_is_found_by_its_record(sleeper: Service) -> None:
    pid = read_pid(sleeper.pid_file, sleeper.marker)
    assert pid is not None
    assert is_ours(pid, sleeper.marker)
    assert os.getsid(pid) == pid


def test_a_service_is_found_by_its_argument(sleeper: Service) -> None:
    pid = read_pid(sleeper.pid_file, sleeper.marker)
    program = Path(sys.executable).resolve().name
    assert find_marked(program, sleeper.marker) == [pid]
    assert find_marked("another", sleeper.marker) == []


def test_a_stopped_service_is_gone(sleeper: Service) -> None:
    pid = read_pid(sleeper.pid_file, sleeper.marker)
    assert pid is not None
    assert stop(pid, sleeper.marker)
    assert read_pid(sleeper.pid_file, sleeper.marker) is None
    assert not stop(pid, sleeper.marker)


def test_a_service_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    deaf = service(
        tmp_path, "import signal, time; signal.signal(15, signal.SIG_IGN); print('slept', flush=True);" + SLEEP
    )
    start(deaf)
    await_ready(deaf, lambda: "slept" in deaf.log.read_text(), seconds=10)
    pid = read_pid(deaf.pid_file, deaf.marker)
    assert pid is not None
    assert stop(pid, deaf.marker, seconds=0.2)
    assert read_pid(deaf.pid_file, deaf.marker) is None


def test_a_process_that_got_the_id_later_is_not_touched(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    pid_file.write_text(str(os.getpid()))
    assert read_pid(pid_file, str(tmp_path / "configuration")) is None
    assert not stop(os.getpid(), str(tmp_path / "configuration"))


@pytest.mark.parametrize("content", [None, "", "none"], ids=["missing", "empty", "garbled"])
def test_a_record_that_says_nothing_is_no_process(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "pid").write_text(content)
    assert read_pid(tmp_path / "pid", "marker") is None


def test_a_service_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    failing = service(tmp_path, "raise SystemExit('no such configuration')")
    start(failing)
    with pytest.raises(HostError, match="sleeper ended at once") as caught:
        await_ready(failing, lambda: False, seconds=30)
    assert "no such configuration" in caught.value.render()


def test_a_silent_service_is_not_waited_for_forever(sleeper: Service) -> None:
    with pytest.raises(HostError, match=r"did not answer within 0\.1 s"):
        await_ready(sleeper, lambda: False, seconds=0.1)


def test_a_command_that_is_missing_or_slow_has_an_exit_code() -> None:
    assert run(["/nonexistent/command"]).code == NOT_FOUND
    assert run(["sleep", "5"], timeout=0.05).code == TIMED_OUT


def test_a_demanded_command_that_fails_is_shown_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="the tour is off") as caught:
        demand(run, ["sh", "-c", "pwd; echo reason >&2; exit 3"], what="the tour is off", folder=tmp_path)
    message = caught.value.render()
    assert "exit code 3" in message
    assert str(tmp_path) in message
    assert "reason" in message
