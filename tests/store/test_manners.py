"""Requests to one host share its limits; its warnings are passed on once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from buildonce.reference import Repository
from buildonce.store.registry import RegistrySession, RegistryStore
from buildonce.store.registry.capabilities import Capabilities, CapabilityTable
from buildonce.store.registry.messages import Head
from buildonce.store.registry.notices import read_warnings
from buildonce.store.registry.pace import Pace
from tests.fakes import registry as fake
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import FakeClock, Incurious, new_session


@pytest.fixture
def table() -> CapabilityTable:
    return Incurious(now=lambda: 0.0)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
async def session(clock: FakeClock, table: CapabilityTable, said: list[str]) -> AsyncIterator[RegistrySession]:
    async with new_session(clock, capabilities=table, warn=said.append) as one:
        yield one


class Standing(FakeClock):
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = asyncio.Event()
        self.moved = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was moved."""
        self.slept.append(seconds)
        self.asleep.set()
        await self.moved.wait()


@pytest.mark.parametrize("code", [429, 503])
async def test_a_wait_that_a_registry_asks_for_holds_for_all(registry: FakeRegistry, code: int) -> None:
    clock = Standing()
    registry.faults.append(fake.status(code, headers={"Retry-After": "7"}))
    async with new_session(clock) as session:
        store = RegistryStore(Repository(registry.host, "app"), session)
        failing = asyncio.create_task(store.get_manifest("v1"))
        await clock.asleep.wait()
        others = [asyncio.create_task(store.head_manifest(f"v{number}")) for number in range(5)]
        await asyncio.sleep(0.05)
        assert len(registry.log) == 1
        assert len(clock.slept) == 6
        assert min(clock.slept) >= 7
        clock.time += 10
        clock.moved.set()
        await asyncio.gather(failing, *others)
    assert len(registry.log) == 7


async def test_a_wait_does_not_hold_for_another_host(registry: FakeRegistry, session: RegistrySession) -> None:
    clock = session._clock
    assert isinstance(clock, FakeClock)
    registry.faults.append(fake.status(429, headers={"Retry-After": "7"}))
    await RegistryStore(Repository(registry.host, "app"), session).get_manifest("v1")
    slept = len(clock.slept)
    async with FakeRegistry() as other:
        await RegistryStore(Repository(other.host, "app"), session).get_manifest("v1")
    assert len(clock.slept) == slept


async def test_a_limit_spaces_requests_out_and_is_remembered(
    registry: FakeRegistry, session: RegistrySession, table: CapabilityTable, clock: FakeClock
) -> None:
    registry.faults.append(fake.status(429, times=2))
    store = RegistryStore(Repository(registry.host, "app"), session)
    await store.get_manifest("v1")
    assert table.of(registry.url).min_interval == pytest.approx(0.04)
    slept = sum(clock.slept)
    for number in range(10):
        await store.get_manifest(f"v{number}")
    assert sum(clock.slept) - slept == pytest.approx(10 * 0.04)


async def test_a_remembered_distance_is_kept_from_the_start(
    registry: FakeRegistry, session: RegistrySession, table: CapabilityTable, clock: FakeClock
) -> None:
    table.learn(registry.url, Capabilities(min_interval=0.5))
    store = RegistryStore(Repository(registry.host, "app"), session)
    for number in range(3):
        await store.get_manifest(f"v{number}")
    assert clock.slept == [0.5, 0.5]


def test_the_distance_shrinks_when_nobody_complains() -> None:
    pace = Pace(0.04)
    assert [pace.went_well() for _ in range(100)] == [False] * 99 + [True]
    assert pace.interval == pytest.approx(0.02)
    assert any(pace.went_well() for _ in range(100))
    assert pace.interval == 0
    assert not any(pace.went_well() for _ in range(200))


def test_complaints_of_one_moment_count_once_and_the_distance_has_a_limit() -> None:
    pace = Pace()
    for _ in range(16):
        pace.slow_down(10.0)
        pace.hold(10.0, 5.0)
    assert pace.interval == pytest.approx(0.02)
    for moment in range(20, 200, 10):
        pace.slow_down(float(moment))
    assert pace.interval == 1.0


def test_turns_come_one_after_the_other_and_after_a_pause() -> None:
    pace = Pace(1.0)
    assert [pace.take_turn(0.0) for _ in range(3)] == [0.0, 1.0, 2.0]
    pace.hold(0.5, 10.0)
    assert pace.paused_for(1.0) == 9.5
    assert pace.take_turn(1.0) == 9.5
    assert pace.paused_for(11.0) == 0


async def test_a_warning_is_passed_on_once(registry: FakeRegistry, session: RegistrySession, said: list[str]) -> None:
    registry.warning = '299 - "this registry closes in June", 299 - "use \\"other\\""'
    store = RegistryStore(Repository(registry.host, "app"), session)
    for number in range(3):
        await store.get_manifest(f"v{number}")
    assert said == ["127.0.0.1 says: this registry closes in June", '127.0.0.1 says: use "other"']


@pytest.mark.parametrize(
    ("header", "texts"),
    [
        ('299 - "x"', ["x"]),
        ('199 - "x"', []),
        ("299 - x", []),
        ('299 - ""', []),
        ('299 - "a\x1b[31mb"', ["a [31mb"]),
        ('299 registry.example "x"', ["x"]),
        ('299 - "' + "y" * 5000 + '"', []),
    ],
)
def test_warnings_are_read_as_the_specification_has_them(header: str, texts: list[str]) -> None:
    assert list(read_warnings(Head(status=200, headers=(("warning", header),)))) == texts
