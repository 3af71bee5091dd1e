"""Where to strike: everywhere in a soak, else at a few places, at other ones each time."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

EVERYWHERE = bool(os.environ.get("BUILDONCE_SOAK"))


def places(count: int, tried: int) -> Sequence[int]:
    """Return which of ``count`` places (from 1) to strike at: all, or about as many as are to be ``tried``."""
    if EVERYWHERE:
        return range(1, count + 1)
    step = max(1, count // tried)
    return range(1 + random.randrange(step), count + 1, step)
