"""Twenty processes ship two commits into one store, again and again: every reader finds complete releases only.

They run for some seconds; with BUILDONCE_SOAK=1 for some minutes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.crowd import COMMITS, Crowd
from tests.soak.family import PLATFORMS
from tests.soak.forks import Forks, plain_environment
from tests.soak.readers import LayoutReader, Tags, watching
from tests.soak.striking import TARGET, StrikingRegistry


@pytest.fixture
def crowd(tmp_path: Path, running: Forks, registry: StrikingRegistry) -> Crowd:
    return Crowd(tmp_path, running, plain_environment(tmp_path, registry.url))


def test_into_a_layout(crowd: Crowd, tmp_path: Path) -> None:
    target = tmp_path / "out"
    releases = crowd.releases(
        lambda commit: ("--output", f"oci:{tmp_path / f'out-{commit}'}", "--cache", f"oci:{tmp_path / f'c-{commit}'}"),
        lambda commit: LayoutReader(tmp_path / f"out-{commit}").tags(),
    )
    with watching(LayoutReader(target).tags) as watch:
        crowd.ship("--output", f"oci:{target}", "--cache", f"oci:{tmp_path / 'cache'}")
    crowd.check(watch, releases)
    states = [dict(release) for release in releases.values()]
    assert all(seen in states or not seen for seen in watch.seen), "all tags move in one step"
    assert len(watch.seen) > 2, "both releases were there"
    for path in (target, tmp_path / "cache"):
        LayoutReader(path).check_blobs()
    assert set(crowd.compiles().values()) == {1}, "runs with one cache on disk compile once"
    assert len(crowd.compiles()) == len(COMMITS) * len(PLATFORMS)


def test_into_a_registry(crowd: Crowd, registry: StrikingRegistry) -> None:
    def releases_of(commit: str) -> Tags:
        return dict(registry.repository(f"alone/{commit}").tags)

    releases = crowd.releases(lambda commit: ("--push", f"{registry.host}/alone/{commit}"), releases_of)
    with watching(registry.tags, seconds=0.01) as watch:
        crowd.ship("--push", f"{registry.host}/{TARGET}")
    crowd.check(watch, releases)
    assert registry.watch.broken == []
    assert len(watch.seen) > 2, "both releases were there"
    assert max(crowd.compiles().values()) <= 2, "each of the two machines compiles once at most"
