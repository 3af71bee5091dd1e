"""[io] What a directory holds: the names and the states of its entries, each in one string of bytes.

A state is enough to see any change of a file's content, unless that was too recent: `FIELDS`, 8 bytes each. Every
program can set the time of modification; the time of change is the kernel's.

This file is also run as a program of its own (`ahead`), so it imports next to nothing.
"""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Sequence
from operator import attrgetter, itemgetter

FIELDS = ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_mode", "st_nlink")
SIZE = 8 * len(FIELDS)
"""Bytes of a state."""

UNREADABLE = (1 << 64) - 1
"""What `main` writes instead of the length of the names of a directory that it cannot read."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_64_BITS = (1 << 64) - 1
_name_of = itemgetter(0)
fields_of = attrgetter(*FIELDS)


def pack(numbers: Sequence[int]) -> bytes:
    """Return numbers in 8 bytes each, in the machine's order."""
    try:
        return array("Q", numbers).tobytes()
    except OverflowError:  # a time before 1970
        return array("Q", [number & _64_BITS for number in numbers]).tobytes()


def scan(place: str) -> tuple[bytes, bytes]:
    """Return the names in a directory, in byte order and with a NUL between two, and their states in that order.

    Raises OSError for a directory that cannot be read.
    """
    # Relative to a descriptor of the directory the kernel need not walk the whole path for each of its files.
    directory = os.open(place, _DIRECTORY)
    try:
        with os.scandir(directory) as entries:
            found = [(one.name, fields_of(one.stat(follow_symlinks=False))) for one in entries]
    finally:
        os.close(directory)
    found.sort(key=_name_of)
    names = "\0".join([name for name, _ in found])
    if not names.isascii():
        found.sort(key=lambda one: os.fsencode(one[0]))
        names = "\0".join([name for name, _ in found])
    numbers: list[int] = []
    for _, fields in found:
        numbers += fields
    return os.fsencode(names), pack(numbers)


def main() -> None:
    """Scan the directories that stand on the standard input; write for each two lengths, the names and the states.

    Nothing is written before all is scanned: who started this is scanning too, and does not read meanwhile.
    """
    written: list[bytes] = []
    for place in sys.stdin.buffer.read().split(b"\0"):
        try:
            names, states = scan(os.fsdecode(place))
        except OSError:
            written.append(pack((UNREADABLE, 0)))
        else:
            written += (pack((len(names), len(states))), names, states)
    sys.stdout.buffer.write(b"".join(written))


if __name__ == "__main__":
    main()
