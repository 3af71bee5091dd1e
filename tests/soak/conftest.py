"""One process that starts the others, and one registry, for each module."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tests.cli.bases import push_bases
from tests.soak.forks import Forks, forks
from tests.soak.striking import StrikingRegistry


@pytest.fixture(scope="module")
def running() -> Iterator[Forks]:
    """What runs buildonce."""
    with forks() as found:
        yield found


@pytest.fixture(scope="module")
def registry() -> Iterator[StrikingRegistry]:
    """A registry that has the family's base image."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    fake = StrikingRegistry()
    asyncio.run_coroutine_threadsafe(fake.__aenter__(), loop).result(10)
    push_bases(fake)
    yield fake
    asyncio.run_coroutine_threadsafe(fake.__aexit__(None, None, None), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
