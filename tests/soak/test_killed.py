"""Killed at any request and at any operation on a file, and run again: always right, never a tag too early.

A release is 14 images. In an ordinary run a few of the places are tried, others each time; with BUILDONCE_SOAK=1 all.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak.family import PLATFORMS, VARIANTS, write_project
from tests.soak.forks import Forks, plain_environment
from tests.soak.places import places
from tests.soak.readers import LayoutReader, watching
from tests.soak.strikes import Strike
from tests.soak.striking import TARGET, StrikingRegistry
from tests.soak.zygote import Order

TRIED = 3


class World:
    """A project at a commit, a user's memory, and where it ships to; all of it can be put back."""

    def __init__(self, folder: Path, running: Forks, registry: StrikingRegistry) -> None:
        self.folder = folder
        self.running = running
        self.registry = registry
        self.compiles = folder / "compiles"
        self._kept = folder / "kept"
        self._registry = registry.snapshot()

    def commit(self, name: str) -> None:
        """Check out a commit."""
        write_project(self.folder / "project", name)

    def order(self, *arguments: str, state: str = "world/state", strike: Strike | None = None) -> Order:
        """Return the order to ship the family."""
        return Order(
            arguments=("build", f"--platform={','.join(PLATFORMS)}", *arguments),
            folder=str(self.folder / "project"),
            environment={
                **plain_environment(self.folder, self.registry.url),
                "BUILDONCE_STATE": str(self.folder / state),
            },
            said=str(self.folder / "said"),
            compiles=str(self.compiles),
            strike=strike,
        )

    def run(self, order: Order) -> None:
        """Run an order that must succeed."""
        (self.folder / "said").unlink(missing_ok=True)
        code = self.running.run([order])
        assert code == [0], (self.folder / "said").read_text()

    def keep(self) -> None:
        """Remember everything."""
        (self.folder / "world").mkdir(exist_ok=True)
        shutil.copytree(self.folder / "world", self._kept)
        self._registry = self.registry.snapshot()

    def put_back(self) -> None:
        """Have everything as it was."""
        shutil.rmtree(self.folder / "world")
        shutil.copytree(self._kept, self.folder / "world")
        self.registry.restore(self._registry)


@pytest.fixture
def world(tmp_path: Path, running: Forks, registry: StrikingRegistry) -> Iterator[World]:
    registry.repositories = {name: registry.repositories[name] for name in ("library/busybox",)}
    yield World(tmp_path, running, registry)
    registry.expect(0, 0, before=True)
    registry.release, registry.old, registry.images = {}, {}, frozenset()
    assert registry.watch.broken == []


@pytest.mark.parametrize("story", ["first", "changed"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_killed_at_a_request(world: World, story: str, before: bool) -> None:
    registry = world.registry
    order = world.order("--push", f"{registry.host}/{TARGET}")
    old: dict[str, str] = {}
    world.commit("one")
    if story == "changed":
        world.run(order)
        old = registry.tags()
        world.commit("two")
    world.keep()
    registry.log.clear()
    world.run(order)
    count, new = len(registry.log), registry.tags()
    assert set(new) == set(VARIANTS)
    assert not set(new.items()) & set(old.items())
    images = {
        child["digest"]
        for digest in new.values()
        for child in json.loads(registry.repository(TARGET).manifests[digest][1])["manifests"]
    }
    assert len(images) == 14
    registry.release, registry.old, registry.images = new, old, frozenset(images)
    killed, chosen = 0, places(count, TRIED)
    for number in chosen:
        world.put_back()
        codes = world.running.run(
            [order],
            lambda pids, number=number: registry.expect(pids[0], number, before=before),  # type: ignore[misc]
        )
        registry.expect(0, 0, before=True)
        assert codes in ([-signal.SIGKILL], [0]), f"request {number} of {count}"
        killed += codes == [-signal.SIGKILL]
        found = registry.tags()
        assert found.items() <= old.items() | new.items(), f"request {number}: {found}"
        # The next run is on this machine or on another one, whose memory knows nothing of the first.
        world.run(order if number % 2 else world.order("--push", f"{registry.host}/{TARGET}", state="world/other"))
        assert registry.tags() == new, f"request {number}"
        assert registry.watch.broken == [], f"request {number}"
    assert killed >= len(chosen) - 2, "what runs at the same time may need a request more or less"


@pytest.mark.parametrize("story", ["first", "changed"])
def test_killed_at_an_operation_on_a_layout(world: World, story: str) -> None:
    target, cache = world.folder / "world" / "out", world.folder / "world" / "cache"
    reader = LayoutReader(target)
    log = world.folder / "operations"

    def striking(number: int) -> Order:
        strike = Strike(folders=(str(target), str(cache)), at=number, log=str(log))
        return world.order("--output", f"oci:{target}", "--cache", f"oci:{cache}", strike=strike)

    world.commit("one")
    old: dict[str, str] = {}
    if story == "changed":
        world.run(striking(0))
        old = reader.tags()
        world.commit("two")
    world.keep()
    world.run(striking(0))
    operations = log.read_text().splitlines()
    new = reader.tags()
    assert set(new) == set(VARIANTS)
    assert not set(new.items()) & set(old.items())
    assert {line.partition(" ")[0] for line in operations} >= {"open", "write", "fsync", "os.rename", "fcntl.flock"}
    killed, chosen = 0, places(len(operations), TRIED)
    for number in chosen:
        world.put_back()
        with watching(reader.tags) as watch:
            codes = world.running.run([striking(number)])
            assert codes in ([-signal.SIGKILL], [0]), f"operation {number}: {(world.folder / 'said').read_text()}"
            killed += codes == [-signal.SIGKILL]
            assert reader.tags() in (old, new), f"operation {number}"
            for path in (target, cache):
                LayoutReader(path).check_blobs()
            world.run(striking(0))
        assert watch.broken == [], f"operation {number}"
        assert all(seen in (old, new) for seen in watch.seen), f"operation {number}: the tags move together"
        assert reader.tags() == new
        for path in (target, cache):
            LayoutReader(path).check_blobs()
    assert killed >= len(chosen) - 2
