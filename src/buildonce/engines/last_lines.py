"""The last lines of an engine's output: enough to see why it failed, however much it repeats itself. Pure."""

from __future__ import annotations

import re
from collections import deque

_LIMIT = 25
_TIME = r"(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d[^\s\]]*"
_STAMP = rf'(?:time="[^"]*"|\[?{_TIME}\]?|\d+\.\d+|\[ *\d+\.\d+\])'
_STAMPS = re.compile(rf"(#\d+ )?{_STAMP}(?:\s+{_STAMP})*\s+")
"""What may stand before a line to say when it was written; BuildKit puts the number of the step before that."""


class LastLines:
    """The last lines that were added; a line that is repeated, if only at another time, counts once.

    Blank lines and those that match ``noise`` are not kept; ``dropped`` counts the latter.
    """

    def __init__(self, noise: re.Pattern[str] | None = None, *, limit: int = _LIMIT) -> None:
        self._noise = noise
        self._kept: deque[tuple[str, str, int]] = deque(maxlen=limit)
        self.dropped = 0

    def add(self, line: str) -> bool:
        """Add a line; say whether it is more than noise."""
        if self._noise and self._noise.search(line):
            self.dropped += 1
            return False
        if line.strip():
            bare, times = _STAMPS.sub(r"\1", line, count=1) if _STAMPS.match(line) else line, 1
            if self._kept and self._kept[-1][0] == bare:
                times += self._kept.pop()[2]
            self._kept.append((bare, line, times))
        return True

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines, the oldest first; one that was repeated says how often, and is the last of its kind."""
        return tuple(line if times == 1 else f"{line} ({times} times)" for _, line, times in self._kept)
