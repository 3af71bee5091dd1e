"""[io] Registries of other makers, each a process on loopback."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.tools import find_tool

_PORT = re.compile(r"serving on port (\d+)")


@contextmanager
def crane_registry() -> Iterator[str]:
    """Give the address of go-containerregistry's own registry, which keeps everything in memory."""
    argv = [*find_tool("crane"), "registry", "serve", "--address", "127.0.0.1:0"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            # The first line says where; the others, one for each request, go nowhere.
            found = _PORT.search(process.stderr.readline())
            assert found, "crane does not say where it serves"
            with _drained(process):
                yield f"127.0.0.1:{found[1]}"
        finally:
            process.terminate()


@contextmanager
def _drained(process: subprocess.Popen[str]) -> Iterator[None]:
    def drain() -> None:
        assert process.stderr
        for _ in process.stderr:
            pass

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    yield
