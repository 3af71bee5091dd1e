"""A registry, a session and a clock for the tests of this folder."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from buildonce.store.registry import RegistrySession
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import FakeClock, new_session


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as fake:
        yield fake


@pytest.fixture
async def session(clock: FakeClock) -> AsyncIterator[RegistrySession]:
    async with new_session(clock) as one:
        yield one
