"""What reading an image may cost. Small archives can come to anything, so what counts is what they come to.

The limits are far above what images have. What only takes too much memory is left to an engine (`NotExpressible`);
what no honest writer makes is refused (`ArchiveError`).
"""

from __future__ import annotations

from buildonce.assemble.entries import NotExpressible

MEMORY = 1 << 30
"""Bytes that the entries of one image may take: about 1.5 million files."""

ENTRY = 600
"""Bytes that an entry takes besides its names."""

HEADER = 200
"""Bytes that count for a header, whatever comes of it: so their number is bounded too."""

EXPANDED, RATIO = 4 << 30, 200
"""A layer may come to so many bytes, and beyond them to so many for each compressed one."""

RECORDS = 1000
"""How many records an extended header may have."""

DEPTH = 300
"""How deep directories may be."""

LOOKUPS = 10_000_000
"""How many names may be looked up to follow links while layers are applied."""

LAYERS = 500
"""How many layers an image may have: no kernel stacks more in an overlay."""


class TooLarge(NotExpressible):
    """An image has more files than are read into memory."""


class Budget:
    """The memory that one image's entries may take, in bytes; what is taken is taken from ``whole`` too."""

    def __init__(self, limit: int | None = None, *, whole: Budget | None = None) -> None:
        self.taken = 0
        self._limit = MEMORY if limit is None else limit
        self._whole = whole

    def take(self, size: int) -> None:
        """Take ``size`` bytes; raise `TooLarge` when there are none left."""
        self.taken += size
        if self.taken > self._limit:
            raise TooLarge("an image has more files than are read into memory")
        if self._whole is not None:
            self._whole.take(size)
