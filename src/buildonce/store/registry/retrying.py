"""When to try again, and after how long: a policy without a clock."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

from msgspec import Struct

from buildonce.store.registry.faults import Fault, Refused

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s)?")


class Clock(Protocol):
    """Time, as it is needed for retries and the expiry of tokens."""

    def monotonic(self) -> float:
        """Return seconds since some fixed moment."""
        ...

    def now(self) -> datetime:
        """Return the time of day."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        ...


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Return seconds since some fixed moment."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the time of day."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        await asyncio.sleep(seconds)


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """At most ``attempts`` in all; waits double from ``first`` up to ``ceiling`` seconds, each shortened by chance.

    When a registry says how long to wait, that is done instead, unless it is longer than ``patience`` seconds.
    """

    attempts: int = 5
    first: float = 0.2
    ceiling: float = 10.0
    patience: float = 120.0

    def wait(self, fault: Fault, attempt: int, chance: float) -> float | None:
        """Return the seconds to wait after failed attempt number ``attempt`` (from 1), or None to give up.

        ``chance`` is a random number from 0 to 1.
        """
        if not fault.transient or attempt >= self.attempts:
            return None
        if isinstance(fault, Refused) and fault.wait is not None:
            return fault.wait + self.first * chance if fault.wait <= self.patience else None
        return float(min(self.ceiling, self.first * 2 ** (attempt - 1)) * (0.5 + chance / 2))


def parse_retry_after(text: str | None, now: datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, or None if it cannot be read.

    Seconds and dates are RFC 9110's; GHCR also sends milliseconds such as ``12.5ms``.
    """
    if text is None:
        return None
    if number := _NUMBER.fullmatch(text.strip()):
        return float(number[1]) / (1000 if number[2] == "ms" else 1)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
