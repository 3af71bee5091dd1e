"""Symbol versions: the tables that say which ones a file needs and which it offers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping

_LIMIT = 20_000
"""How many entries of a table are looked at: glibc's largest has some fifty."""

_WEAK, _OF_THE_FILE = 2, 1

_ReadAt = Callable[[int, int], bytes]


def versions_needed(read: _ReadAt | None, string: Callable[[int], str], order: str) -> Mapping[str, tuple[str, ...]]:
    """Return the versions that must be there by the name of the library that offers them (Elf_Verneed, Elf_Vernaux)."""
    found: dict[str, tuple[str, ...]] = {}
    left = _LIMIT
    for at, (_, count, name, first) in _chain(read, f"{order}HHIII", 0, _LIMIT):
        versions: list[str] = []
        for _, (_, flags, _, version) in _chain(read, f"{order}IHHII", at + first, min(count, left)):
            left -= 1
            if not flags & _WEAK and (text := string(version)):
                versions.append(text)
        if versions and (library := string(name)):
            found[library] = tuple(dict.fromkeys((*found.get(library, ()), *versions)))
        if left <= 0:
            break
    return found


def versions_offered(read: _ReadAt | None, string: Callable[[int], str], order: str) -> tuple[str, ...]:
    """Return the versions that a library defines (Elf_Verdef), its own name left out."""
    found: list[str] = []
    for at, (_, flags, _, count, _, first) in _chain(read, f"{order}HHHHIII", 0, _LIMIT):
        if flags & _OF_THE_FILE or not count:
            continue
        for _, (name,) in _chain(read, f"{order}II", at + first, 1):
            found.append(string(name))
    return tuple(dict.fromkeys(name for name in found if name))


def _chain(read: _ReadAt | None, form: str, at: int, limit: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield the entries of a list in which each says, in its last field, how far it is to the next."""
    size = struct.calcsize(form)
    for _ in range(limit if read else 0):
        content = read(at, size) if read else b""
        if len(content) < size:
            return
        *fields, following = struct.unpack(form, content)
        yield at, tuple(fields)
        if not following:
            return
        at += following
