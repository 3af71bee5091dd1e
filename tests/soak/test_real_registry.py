"""The same against a real registry: killed at requests that a proxy counts, and many runs at once."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.proxy import CountingProxy, counting_proxy
from tests.e2e.harness import Host, load_host
from tests.soak.crowd import Crowd
from tests.soak.family import PLATFORMS, VARIANTS, write_project
from tests.soak.forks import Forks
from tests.soak.places import places
from tests.soak.readers import RegistryReader, Tags, watching
from tests.soak.zygote import Order

pytestmark = pytest.mark.host

BASE = "busybox:1.36-glibc"


@pytest.fixture(scope="module")
def host() -> Host:
    return load_host()


@pytest.fixture(scope="module")
def proxy(host: Host) -> Iterator[CountingProxy]:
    with counting_proxy(host.registry) as found:
        yield found


@pytest.fixture
def name() -> str:
    return f"soak-{secrets.token_hex(6)}"


class Requests:
    """Counts requests that pass the proxy, and kills their client at one of them."""

    def __init__(self) -> None:
        self.number = 0
        self.at = 0
        self.victim = 0

    def __call__(self, _method: str, _path: str) -> None:
        self.number += 1
        if self.number == self.at and self.victim:
            os.kill(self.victim, signal.SIGKILL)


@pytest.mark.parametrize("moment", ["arrived", "answered"])
@pytest.mark.parametrize("story", ["first", "changed"])
def test_killed_at_a_request(
    host: Host, proxy: CountingProxy, running: Forks, tmp_path: Path, name: str, story: str, moment: str
) -> None:
    requests = Requests()
    setattr(proxy, moment, requests)
    other = {"arrived": "answered", "answered": "arrived"}[moment]
    setattr(proxy, other, lambda *_: None)

    def ship(commit: str, number: int, memory: str, at: int = 0) -> int:
        write_project(tmp_path / "project", commit, BASE)
        order = Order(
            arguments=("build", f"--platform={','.join(PLATFORMS)}", "--push", f"{proxy.address}/{name}/{number}"),
            folder=str(tmp_path / "project"),
            environment={**host.environment, "BUILDONCE_STATE": str(tmp_path / memory)},
            said=str(tmp_path / "said"),
            compiles=str(tmp_path / "compiles"),
        )

        def started(pids: object) -> None:
            assert isinstance(pids, list)
            requests.number, requests.at, requests.victim = 0, at, pids[0]

        return running.run([order], started)[0]

    def said() -> str:
        return (tmp_path / "said").read_text()[-3000:]

    old: Tags = {}
    if story == "changed":
        assert ship("one", 0, "0") == 0, said()
        old = RegistryReader(host.registry, f"{name}/0").tags()
    commit = "two" if old else "one"
    assert ship(commit, 0, "0") == 0, said()
    count = requests.number
    new = RegistryReader(host.registry, f"{name}/0").tags()
    assert set(new) == set(VARIANTS)
    killed, chosen = 0, places(count, 2)
    for at in chosen:
        reader = RegistryReader(host.registry, f"{name}/{at}")
        if old:
            assert ship("one", at, f"memory-{at}") == 0, said()
            assert reader.tags() == old
        with watching(reader.tags, seconds=0.02) as watch:
            code = ship(commit, at, f"memory-{at}", at)
            assert code in (0, -signal.SIGKILL), said()
            killed += code == -signal.SIGKILL
            assert reader.tags().items() <= old.items() | new.items(), f"request {at} of {count}"
            assert ship(commit, at, f"memory-{at}" if at % 2 else "another") == 0, said()
        assert watch.broken == [], f"request {at} of {count}"
        assert reader.tags() == new, f"request {at} of {count}"
    assert killed >= len(chosen) - 2


def test_many_runs_at_once(host: Host, running: Forks, tmp_path: Path, name: str) -> None:
    crowd = Crowd(tmp_path, running, {**host.environment}, base=BASE)
    releases = crowd.releases(
        lambda commit: ("--push", f"{host.registry}/{name}/{commit}"),
        lambda commit: RegistryReader(host.registry, f"{name}/{commit}").tags(),
    )
    with watching(RegistryReader(host.registry, f"{name}/both").tags, seconds=0.02) as watch:
        crowd.ship("--push", f"{host.registry}/{name}/both")
    crowd.check(watch, releases)
    assert max(crowd.compiles().values()) <= 2, "each of the two machines compiles once at most"
