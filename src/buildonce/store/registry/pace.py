"""How fast one host may be asked: pauses that hold for all requests to it, and a distance between them."""

from __future__ import annotations

from dataclasses import dataclass, field

_FIRST = 0.02
_WIDEST = 1.0
_PROVEN = 100
"""So many requests without a complaint, and the distance is halved."""


@dataclass(slots=True)
class Pace:
    """The turns of all requests to one host. Times are a monotonic clock's seconds.

    ``interval`` is the distance between requests; it is zero until the host complains about too many.
    """

    interval: float = 0.0
    _resume: float = field(default=0.0, init=False)
    _next: float = field(default=0.0, init=False)
    _fine: int = field(default=0, init=False)

    def take_turn(self, now: float) -> float:
        """Return how many seconds to wait before the next request may go; the turn after it comes later."""
        start = max(now, self._resume, self._next)
        self._next = start + self.interval
        return start - now

    def paused_for(self, now: float) -> float:
        """Return how many seconds are left of a pause, for who has waited for a turn."""
        return max(0.0, self._resume - now)

    def hold(self, now: float, seconds: float) -> None:
        """Let no request go for some seconds."""
        self._resume = max(self._resume, now + seconds)

    def slow_down(self, now: float) -> None:
        """Widen the distance; complaints about requests that were under way when a pause began count as one."""
        if now >= self._resume:
            self.interval = min(_WIDEST, max(_FIRST, 2 * self.interval))
        self._fine = 0

    def went_well(self) -> bool:
        """Count an answer without a complaint; say whether the distance became smaller."""
        self._fine += 1
        if not self.interval or self._fine < _PROVEN:
            return False
        self._fine = 0
        self.interval = self.interval / 2 if self.interval > _FIRST else 0.0
        return True
