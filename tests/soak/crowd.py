"""Many processes that ship two commits into one store, again and again."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.soak.family import PLATFORMS, VARIANTS, write_project
from tests.soak.forks import Forks
from tests.soak.readers import Tags, Watch
from tests.soak.zygote import Order

COMMITS = ("one", "two")
PROCESSES = 20
SECONDS = 180.0 if os.environ.get("BUILDONCE_SOAK") else 3.0


class Crowd:
    """Processes on two machines, half of them with one commit, half with the other."""

    def __init__(
        self, folder: Path, running: Forks, environment: Mapping[str, str], *, base: str = "busybox:1"
    ) -> None:
        self._folder = folder
        self._running = running
        self._environment = environment
        for commit in COMMITS:
            write_project(folder / commit, commit, base)

    def order(self, number: int, *arguments: str, until: float = 0.0) -> Order:
        """Return what process ``number`` is to do."""
        return Order(
            arguments=("build", f"--platform={','.join(PLATFORMS)}", *arguments),
            folder=str(self._folder / COMMITS[number % 2]),
            environment={**self._environment, "BUILDONCE_STATE": str(self._folder / f"machine-{number // 2 % 2}")},
            said=str(self._folder / f"said-{number}"),
            compiles=str(self._folder / "compiles"),
            until=until,
            compile_seconds=0.3,
        )

    def releases(self, arguments: Callable[[str], tuple[str, ...]], tags: Callable[[str], Tags]) -> Mapping[str, Tags]:
        """Return the release of each commit, made by a run alone elsewhere."""
        found = {}
        for number, commit in enumerate(COMMITS):
            assert self._running.run([self.order(number + 100, *arguments(commit))]) == [0], self.said(number + 100)
            found[commit] = dict(tags(commit))
            assert set(found[commit]) == set(VARIANTS)
        (self._folder / "compiles").unlink()
        assert not set(found["one"].items()) & set(found["two"].items())
        return found

    def ship(self, *arguments: str) -> None:
        """Have all processes ship until the time is over."""
        until = time.time() + SECONDS
        codes = self._running.run([self.order(number, *arguments, until=until) for number in range(PROCESSES)])
        failed = [number for number, code in enumerate(codes) if code]
        assert not failed, self.said(failed[0])
        assert not any("interrupted" in self.said(number) for number in range(PROCESSES)), "nobody was"

    def said(self, number: int) -> str:
        """Return what a process said at the end."""
        return (self._folder / f"said-{number}").read_text()

    def compiles(self) -> Counter[str]:
        """Return how often each core was compiled."""
        return Counter((self._folder / "compiles").read_text().splitlines())

    @staticmethod
    def check(watch: Watch, releases: Mapping[str, Tags]) -> None:
        """Fail unless all tags always led to indexes of the releases, and in the end to those of one."""
        assert watch.broken == []
        right = {item for release in releases.values() for item in release.items()}
        assert all(item in right for seen in watch.seen for item in seen.items())
        assert watch.seen[-1] in releases.values(), "the tags end on one release"
