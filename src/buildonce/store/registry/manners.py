"""How a run behaves towards each host: it keeps to the host's pace, learns what it can do, and hears its warnings."""

from __future__ import annotations

from collections.abc import Callable

from buildonce.store.registry.capabilities import Capabilities, CapabilityTable, learned_from
from buildonce.store.registry.endpoints import origin_of
from buildonce.store.registry.faults import Refused
from buildonce.store.registry.messages import Head, Kind, Request
from buildonce.store.registry.notices import read_warnings
from buildonce.store.registry.pace import Pace
from buildonce.store.registry.retrying import Clock


class Manners:
    """The manners of one run. ``warn`` gets each warning of a host once."""

    def __init__(self, table: CapabilityTable, clock: Clock, warn: Callable[[str], None]) -> None:
        self._table = table
        self._clock = clock
        self._warn = warn
        self._paces: dict[tuple[str, str, int], Pace] = {}
        self._warned: set[str] = set()

    async def take_turn(self, request: Request) -> None:
        """Wait until the request may go."""
        pace = self._pace(request)
        wait = pace.take_turn(self._clock.monotonic())
        while wait > 0:
            await self._clock.sleep(wait)
            wait = pace.paused_for(self._clock.monotonic())

    def notice(self, request: Request, head: Head) -> None:
        """Take in what an answer says beside what was asked."""
        pace = self._pace(request)
        if head.status < 400 and pace.went_well():
            self._learn_interval(request, pace)
        if is_own(request):
            self._table.learn(request.access.endpoint.origin, learned_from(request, head))
        for text in read_warnings(head):
            self._say(f"{origin_of(request.url)[1]} says: {text}")

    def heed(self, fault: Refused, seconds: float) -> None:
        """Have all requests to a host wait that complains about too many, or says when it will be there again."""
        pace, now = self._pace(fault.request), self._clock.monotonic()
        if fault.is_limit:
            pace.slow_down(now)
            self._learn_interval(fault.request, pace)
        if fault.is_limit or fault.wait is not None:
            pace.hold(now, seconds if fault.wait is None else fault.wait)

    def _learn_interval(self, request: Request, pace: Pace) -> None:
        if is_own(request):
            self._table.learn(request.access.endpoint.origin, Capabilities(min_interval=pace.interval))

    def _pace(self, request: Request) -> Pace:
        origin = origin_of(request.url)
        if origin not in self._paces:
            known = self._table.of(request.access.endpoint.origin).min_interval if is_own(request) else None
            self._paces[origin] = Pace(known or 0.0)
        return self._paces[origin]

    def _say(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._warn(text)


def is_own(request: Request) -> bool:
    """Say whether a request goes to the registry itself, not to a token server or where the registry sent us."""
    return request.kind is not Kind.TOKEN and origin_of(request.url) == origin_of(request.access.endpoint.origin)
