"""A real registry whose disk is full: nothing is torn, and what arrived is not sent again."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from buildonce.errors import IntegrityError, RegistryFails, StoreError
from buildonce.ship.release import Release
from scripts.testhost.registry import render_configuration
from tests.e2e.disks import growing_disk
from tests.e2e.tools import find_tool
from tests.faults.proxy import FaultyProxy
from tests.faults.shops import Shop, digests, family

pytestmark = pytest.mark.host

SMALL, LARGE = 2, 64
"""MiB: one release of the family fits, not two; any number does."""


MANIFESTS = 9


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def registry_on(folder: Path, address: str) -> Iterator[None]:
    """Run Debian's registry at ``address`` with its data in ``folder``."""
    with TemporaryDirectory() as settings:
        configuration = Path(settings) / "registry.yml"
        configuration.write_text(render_configuration(folder, address))
        argv = [*find_tool("docker-registry"), "serve", str(configuration)]
        environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
        with subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                _await(address)
                yield
            finally:
                process.terminate()


def _await(address: str) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"http://{address}/v2/", timeout=5).close()
        except OSError:
            assert time.monotonic() < end, "the registry does not start"
            time.sleep(0.05)
        else:
            return


async def test_a_registry_without_space_keeps_the_release_that_it_has() -> None:
    old, new = family("core 1"), family("core 2", size=900_000)
    address = free_address()
    with growing_disk() as sized:
        async with FaultyProxy(address) as proxy:
            shop = Shop(proxy, "full")
            disk = sized(SMALL)
            with registry_on(disk, address):
                assert await shop.ship(old) is None
                assert isinstance(await shop.ship(new), RegistryFails)
                assert await shop.tags() == digests(old)
                await shop.check(old)
            sized(LARGE)
            await until_shipped(shop, new, old, disk=disk)
            with registry_on(disk, address):
                assert await shop.tags() == digests(new)
                await shop.check(new)
            assert set(proxy.uploads().values()) == {1}


async def until_shipped(shop: Shop, new: Release, old: Release, *, disk: Path) -> None:
    """Ship until the registry takes all, and do each time what the error says; no tag moves before."""
    for _ in range(MANIFESTS):
        with registry_on(disk, shop.proxy.upstream):
            damaged = await shop.ship(new)
            if damaged is None:
                return
            assert await shop.tags() == digests(old)
        mend(disk, damaged)
    pytest.fail("what an error says to do does not help")


def mend(disk: Path, error: StoreError) -> None:
    """Remove the file that an error names, which the registry left empty when it had no space."""
    assert isinstance(error, IntegrityError), (str(error), error.notes)
    found = re.search(r"blobs/sha256/\S+/data", str(error.help))
    assert found
    (damaged,) = disk.rglob(found.group())
    assert not damaged.stat().st_size
    damaged.unlink()
