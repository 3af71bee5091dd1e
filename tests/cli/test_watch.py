"""A build that goes on: again after each change of what is built from, and never for another."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.registry import FakeRegistry

DOCKERFILE = "FROM busybox:1 AS one\nCOPY file /file\nFROM busybox:1 AS two\nCOPY other /other\n"
WAITING = "waiting for a change"
_PATIENCE = 60


class Watched:
    """A build that watches, and what it prints: lines of the standard error stream, and documents."""

    def __init__(self, project: Path, environment: Mapping[str, str]) -> None:
        argv = [sys.executable, "-m", "buildonce", "build", "--watch", "--json", "two", "--platform=linux/amd64"]
        self.process = subprocess.Popen(
            argv, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.out: list[str] = []
        self._threads = [threading.Thread(target=self._read_lines), threading.Thread(target=self._read_out)]
        for thread in self._threads:
            thread.start()

    def until(self, text: str) -> list[str]:
        """Return the lines up to the next one that has this text."""
        found: list[str] = []
        while not found or text not in found[-1]:
            found.append(self.lines.get(timeout=_PATIENCE))
        return found

    def end(self) -> int:
        """End it as a user does; return its exit status."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(_PATIENCE)
        for thread in self._threads:
            thread.join()
        return status

    @property
    def documents(self) -> list[dict[str, Any]]:
        """What it printed when it had ended."""
        decoder, text = json.JSONDecoder(), "".join(self.out)
        found: list[dict[str, Any]] = []
        while text.strip():
            document, length = decoder.raw_decode(text.lstrip())
            found.append(document)
            text = text.lstrip()[length:]
        return found

    def _read_lines(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.put(line)
        self.process.stderr.close()

    def _read_out(self) -> None:
        assert self.process.stdout
        self.out.extend(self.process.stdout)
        self.process.stdout.close()


@pytest.fixture
def watch(project: Path, environment: Mapping[str, str], registry: FakeRegistry) -> Iterator[Callable[[], Watched]]:
    """Give what starts to watch a project that needs no engine."""
    (project / "Dockerfile").write_text(DOCKERFILE)
    for name in ("file", "other", "junk"):
        (project / name).write_text("1")
    started: list[Watched] = []

    def start() -> Watched:
        source = str(Path(__file__).parents[2] / "src")
        started.append(Watched(project, {**environment, "PYTHONPATH": source}))
        return started[-1]

    yield start
    for watched in started:
        if watched.process.poll() is None:
            watched.process.kill()
            watched.end()


def test_it_builds_again_after_a_change_and_says_what_keeps_it_from_that(
    watch: Callable[[], Watched], project: Path
) -> None:
    watched = watch()
    watched.until(WAITING)

    (project / "junk").write_text("2")  # in the context, and taken by nothing
    (project / "file").write_text("2")  # taken by a variant that is not built
    (project / "other").write_text("2")
    assert not any("one" in line for line in watched.until(WAITING))

    (project / "Dockerfile").write_text(DOCKERFILE + "COPPY x /\n")
    watched.until("unknown instruction")
    (project / "Dockerfile").write_text(DOCKERFILE + "ENV A=1\n")
    watched.until(WAITING)

    (project / "other").unlink()
    watched.until("other")
    (project / "other").write_text("3")
    watched.until(WAITING)

    assert watched.end() == 130
    digests = [document["images"][0]["digest"] for document in watched.documents]
    assert len(digests) == len(set(digests)) == 4
