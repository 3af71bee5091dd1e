"""[io] Many directories scanned by several processes.

To ask the kernel for the state of a file takes about as long as to take its answer into Python, and threads do not
help: each call gives the interpreter's lock away for a moment, and then waits for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO, TypeAlias

from buildonce.context import scanning

_MOST_PROCESSES = 4
_LENGTHS = 16
_Answer: TypeAlias = Callable[[], Iterable[tuple[str, tuple[bytes, bytes]]]]


def scan_many(places: Sequence[str]) -> Mapping[str, tuple[bytes, bytes]]:
    """Return what `scanning.scan` returns for directories. Some may be missing: unreadable ones, and any others."""
    count = min(_MOST_PROCESSES, os.cpu_count() or 1) if sys.executable else 1
    shares = [places[number::count] for number in range(count)]
    found: dict[str, tuple[bytes, bytes]] = {}
    with ExitStack() as processes:
        answers: list[_Answer] = []
        with suppress(OSError):  # no room for another process or its files
            answers += (processes.enter_context(_scan_elsewhere(share)) for share in shares[1:])
        for place in shares[0]:
            with suppress(OSError):
                found[place] = scanning.scan(place)
        for answer in answers:
            found.update(answer())
    return found


@contextmanager
def _scan_elsewhere(places: Sequence[str]) -> Iterator[_Answer]:
    """Start a process that scans directories; give what waits for it and yields its answer.

    It reads and writes files, not pipes, so that neither waits for the other.
    """
    from subprocess import DEVNULL, Popen

    with TemporaryFile() as asked, TemporaryFile() as answered:
        asked.write(b"\0".join(os.fsencode(place) for place in places))
        asked.seek(0)
        process = Popen([sys.executable, "-I", "-S", scanning.__file__], stdin=asked, stdout=answered, stderr=DEVNULL)
        try:
            yield lambda: _read_answer(places, answered) if process.wait() == 0 else ()
        finally:
            process.kill()
            process.wait()


def _read_answer(places: Sequence[str], file: IO[bytes]) -> Iterator[tuple[str, tuple[bytes, bytes]]]:
    file.seek(0)
    content = file.read()
    position = 0
    for place in places:
        names, states = memoryview(content[position : position + _LENGTHS]).cast("Q")
        position += _LENGTHS
        if names != scanning.UNREADABLE:
            middle, end = position + names, position + names + states
            yield place, (content[position:middle], content[middle:end])
            position = end
