"""[io] What this machine remembers of registries from run to run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from buildonce.errors import DiskError
from buildonce.run.state import State
from buildonce.store.registry.capabilities import CapabilityTable, Lesson, Memory, merge

_KIND, _KEY = "registries", "capabilities"


@contextmanager
def remembered(state: State) -> Iterator[CapabilityTable]:
    """Give the table of what is known; what a run learns is there for the next, also after a failure."""
    table = CapabilityTable(_recall(state), now=time.time)
    try:
        yield table
    finally:
        if table.learned:
            # A machine without a place to remember things learns them again.
            with suppress(OSError, DiskError):
                state.remember(_KIND, _KEY, merge(_recall(state), table.learned, now=time.time()))


def _recall(state: State) -> Memory:
    return state.recall(_KIND, _KEY, dict[str, dict[str, Lesson]]) or {}
