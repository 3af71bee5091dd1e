"""The files that tell a loader where libraries are: glibc's ld.so.cache, the ld.so.conf it is made of, musl's path."""

from __future__ import annotations

import fnmatch
import posixpath
import re
import struct
from collections.abc import Callable, Iterable, Iterator

CACHE, CONFIGURATION = "etc/ld.so.cache", "etc/ld.so.conf"
MUSL_DEFAULT = ("/lib", "/usr/local/lib", "/usr/lib")

_OLD_MAGIC, _NEW_MAGIC = b"ld.so-1.7.0\0", b"glibc-ld.so.cache1.1"
_NEW_HEADER, _NEW_ENTRY = 48, 24
_DEPTH = 10
_MUSL_PATH = re.compile(r"etc/ld-musl-([A-Za-z0-9_-]+)\.path")


def is_loader_file(path: str) -> bool:
    """Say whether the content of a file of the base counts here."""
    return path in (CACHE, CONFIGURATION) or path.startswith(f"{CONFIGURATION}.d/") or musl_architecture(path) != ""


def musl_architecture(path: str) -> str:
    """Return for which architecture a file is musl's list of directories; nothing for another file."""
    found = _MUSL_PATH.fullmatch(path)
    return found[1] if found else ""


def parse_musl_path(content: bytes) -> tuple[str, ...]:
    """Return the directories in musl's list (ldso/dynlink.c: divided by colons and lines)."""
    return tuple(one for one in re.split(r"[:\n]", content.decode("utf-8", "backslashreplace")) if one)


def parse_cache(content: bytes) -> tuple[tuple[str, str], ...] | None:
    """Return the names and paths in an ld.so.cache, in their order; None if it cannot be read (dl-cache.h)."""
    start = 0
    if content.startswith(_OLD_MAGIC) and len(content) >= 16:
        start = -(-(16 + 12 * struct.unpack_from("<I", content, 12)[0]) // 8) * 8
    if content[start : start + len(_NEW_MAGIC)] != _NEW_MAGIC or len(content) < start + _NEW_HEADER:
        return None
    table = content[start:]
    for order in "<>":
        count = struct.unpack_from(f"{order}I", table, len(_NEW_MAGIC))[0]
        if _NEW_HEADER + count * _NEW_ENTRY <= len(table):
            return tuple(_cached(table, count, order))
    return None


def _cached(table: bytes, count: int, order: str) -> Iterator[tuple[str, str]]:
    for number in range(count):
        _, name, path, _, _ = struct.unpack_from(f"{order}iIIIQ", table, _NEW_HEADER + number * _NEW_ENTRY)
        yield _string(table, name), _string(table, path)


def _string(table: bytes, at: int) -> str:
    return table[at : at + 4096].split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def listed_directories(read: Callable[[str], bytes | None], paths: Iterable[str]) -> tuple[str, ...]:
    """Return the directories that /etc/ld.so.conf lists, with what it includes (ldconfig(8)).

    ``read`` gives the content of one of ``paths``, which are without a slash at the beginning.
    """
    return tuple(dict.fromkeys(_listed(read, sorted(paths), CONFIGURATION, _DEPTH)))


def _listed(read: Callable[[str], bytes | None], paths: list[str], path: str, depth: int) -> Iterator[str]:
    for line in (read(path) or b"").decode("utf-8", "backslashreplace").splitlines():
        words = line.partition("#")[0].replace("=", " ").split()
        if not words or words[0] == "hwcap":
            continue
        if words[0] != "include":
            yield from (
                word.rstrip("/") or "/" for word in re.split(r"[\s:,]+", line.partition("#")[0].strip()) if word
            )
            continue
        for pattern in words[1:] if depth else ():
            wanted = posixpath.normpath(posixpath.join("/etc", pattern))[1:]
            for found in fnmatch.filter(paths, wanted):
                yield from _listed(read, paths, found, depth - 1)
