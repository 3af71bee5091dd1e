"""Starts buildonce many times without starting Python each time: one process imports it, and forks for every run.

    python -m tests.soak.zygote

reads orders as JSON, several that run at the same time in one line. It answers with the numbers of the processes, waits
for any line, lets them go, and answers with how each ended.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path

import msgspec

from tests.soak.family import PretendEngine, tell_file
from tests.soak.strikes import Strike


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A run: ``arguments`` of the command line, again and again until ``until`` (by the clock) if that is given.

    ``strike`` is where the process kills itself. ``said`` is the file for what it says, ``compiles`` the file that gets
    a line for every compile.
    """

    arguments: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    said: str
    compiles: str
    strike: Strike | None = None
    until: float = 0.0
    compile_seconds: float = 0.0


def main() -> None:
    """Serve orders until there are no more."""
    _preload()
    gc.freeze()
    for line in sys.stdin:
        ready, go = os.pipe()
        pids = [_fork(order, ready, go) for order in msgspec.json.decode(line, type=list[Order])]
        os.close(ready)
        _say(pids)
        sys.stdin.readline()
        os.close(go)
        _say([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])


def _fork(order: Order, ready: int, go: int) -> int:
    pid = os.fork()
    if not pid:
        os.close(go)
        os.read(ready, 1)
        _run(order)
    return pid


def _preload() -> None:
    import aiohttp.web  # noqa: F401
    import isal.igzip_threaded  # noqa: F401

    import buildonce.cli.wiring
    import buildonce.engines.buildx
    import buildonce.report.documents
    import buildonce.report.outcomes
    import buildonce.run.building
    import buildonce.run.planned
    import buildonce.store.registry.transport  # noqa: F401


def _run(order: Order) -> None:
    """Do what a process of its own does; never returns."""
    code = 99
    try:
        said = os.open(order.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.chdir(order.folder)
        os.environ.clear()
        os.environ.update(order.environment)
        code = _call(order)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _call(order: Order) -> int:
    from buildonce.cli.main import guarded
    from buildonce.engines import finding

    async def find(*_: object) -> PretendEngine:
        return PretendEngine(tell_file(Path(order.compiles)), order.compile_seconds)

    setattr(finding, "find_engine", find)  # noqa: B010  the one seam: no engine is looked for
    if order.strike is not None:
        order.strike.arm()
    code = guarded(list(order.arguments))
    while not code and time.time() < order.until:
        code = guarded(list(order.arguments))
    if order.strike is not None:
        order.strike.disarm()
    return code


def _say(answer: list[int]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
