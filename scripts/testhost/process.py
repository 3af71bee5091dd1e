"""Commands that end, and services that stay. [io]"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .errors import HostError, log_tail

NOT_FOUND = 127
TIMED_OUT = 124


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a command ended."""

    code: int
    out: str = ""
    err: str = ""


class Runner(Protocol):
    """Runs a command to its end; never raises for a command that fails, is missing, or takes too long."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
        timeout: float = 600,
    ) -> Result: ...


def run(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, folder: Path | None = None, timeout: float = 600
) -> Result:
    """Run a command in `folder` with no input; `env` is added to this process's own."""
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, **(env or {})},
            cwd=folder,
            timeout=timeout,
            check=False,
            close_fds=False,  # a command that outlives us keeps the lock: nobody works beside it
        )
    except (FileNotFoundError, PermissionError) as error:
        return Result(code=NOT_FOUND, err=str(error))
    except subprocess.TimeoutExpired:
        return Result(code=TIMED_OUT, err=f"no end after {timeout:g} s")
    return Result(code=done.returncode, out=done.stdout, err=done.stderr)


def demand(
    runner: Runner,
    argv: Sequence[str],
    *,
    what: str,
    advice: str = "",
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout: float = 600,
) -> str:
    """Run a command that must succeed and return what it printed; `what` names the failure otherwise."""
    result = runner(argv, env=env, folder=folder, timeout=timeout)
    if result.code:
        detail = f"{' '.join(argv)} (exit code {result.code})\n{result.out}\n{result.err}"
        raise HostError(what, detail=detail, advice=advice)
    return result.out


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A process that outlives the command that starts it.

    `marker` is an argument that no process but this service carries: it is what tells it from another process that
    got the same id later.
    """

    name: str
    argv: tuple[str, ...]
    marker: str
    pid_file: Path
    log: Path
    env: Mapping[str, str]


def start(service: Service) -> None:
    """Start a service in a session of its own; the process itself records its id before it becomes the service."""
    service.pid_file.parent.mkdir(parents=True, exist_ok=True)
    record_and_become = 'echo $$ >"$1"; shift; exec "$@"'
    with service.log.open("wb") as log:
        subprocess.run(
            # It is nobody's child here: whoever started it may end, or go on, without caring for it.
            ["setsid", "--fork", "/bin/sh", "-c", record_and_become, "sh", str(service.pid_file), *service.argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **service.env},
            cwd="/",
            check=True,
        )


def read_pid(pid_file: Path, marker: str) -> int | None:
    """Return the recorded process, if it still runs and is the one that was recorded."""
    try:
        pid = int(pid_file.read_text())
    except (OSError, ValueError):
        return None
    return pid if is_ours(pid, marker) else None


def is_ours(pid: int, marker: str) -> bool:
    """Whether the process carries the marker among its arguments and is not just waiting to be reaped."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(marker in argument.decode(errors="replace") for argument in arguments)


def find_marked(program: str, marker: str) -> list[int]:
    """Return the processes of that program that carry the marker: children whose ids no file records."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return sorted(pid for pid in pids if _program(pid) == program and is_ours(pid, marker))


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return ""


def await_ready(service: Service, is_ready: Callable[[], bool], *, seconds: float) -> None:
    """Wait until the service answers; raises when it ends first or stays silent."""
    deadline = time.monotonic() + seconds
    # The shell that becomes the service needs a moment to record its id.
    grace = time.monotonic() + 2
    while not is_ready():
        now = time.monotonic()
        died = now > grace and read_pid(service.pid_file, service.marker) is None
        if died or now > deadline:
            what = f"{service.name} ended at once" if died else f"{service.name} did not answer within {seconds:g} s"
            raise HostError(what, detail=log_tail(service.log), advice="after a look at its log: `scripts/host up`")
        time.sleep(0.05)


def stop(pid: int, marker: str, *, seconds: float = 20) -> bool:
    """End a process, with SIGKILL if it does not go in time; False if it was not there, or is not ours."""
    if not is_ours(pid, marker):
        return False
    _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while is_ours(pid, marker):
        if time.monotonic() > deadline:
            _signal(pid, signal.SIGKILL)
            deadline += seconds
        time.sleep(0.05)
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
