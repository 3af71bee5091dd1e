"""Runs of buildonce in processes that can be killed, as many and as fast as a soak needs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.soak.zygote import Order

CHECKOUT = Path(__file__).parents[2]


class Forks:
    """The process that forks them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, orders: Sequence[Order], started: Callable[[Sequence[int]], None] | None = None) -> Sequence[int]:
        """Run the orders at the same time; return their exit codes, negative for a signal.

        ``started`` gets the numbers of the processes before they begin.
        """
        pids = self._ask(msgspec.json.encode(orders).decode())
        if started:
            started(pids)
        return self._ask("go")

    def _ask(self, line: str) -> Sequence[int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer: list[int] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def forks() -> Iterator[Forks]:
    """Give what runs buildonce."""
    path = os.pathsep.join((str(CHECKOUT / "src"), str(CHECKOUT), os.environ.get("PYTHONPATH", "")))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.soak.zygote"],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Forks(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def plain_environment(folder: Path, mirror: str) -> dict[str, str]:
    """Return what buildonce finds in its environment where Docker Hub is ``mirror``: nothing of the user's."""
    return {
        "HOME": str(folder),
        "PATH": str(folder / "bin"),
        "DOCKER_CONFIG": str(folder / "docker"),
        "BUILDONCE_MIRRORS": f"docker.io={mirror}",
        "CI": "1",
    }
