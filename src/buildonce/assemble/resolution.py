"""Paths resolved inside a root, as containerd's continuity/fs `RootPath` resolves them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import TypeAlias

from buildonce.assemble.entries import Entry, EntryType
from buildonce.errors import AssemblyError

Lookup: TypeAlias = Callable[[str], Entry | None]
"""The entry under a path (no slash at either end), links not followed; None if there is none.

It may raise `NotADirectory` if a component before the last is a file.
"""

LINK_LIMIT = 255
PATH_LIMIT = 4096


class NotADirectory(AssemblyError):
    """A path goes through something that is no directory."""


def resolve_path(lookup: Lookup, path: str) -> str:
    """Return the real path of ``path``, all symbolic links followed inside the root, dangling ones too.

    What does not exist is taken as it is written. Raises `AssemblyError` after 255 links.
    """
    return _Resolution(lookup).resolve(path)


def follow_links(lookup: Lookup, path: str) -> str:
    """Return the real path of ``path`` as the kernel has it, in the root: ``..`` after a link leaves the link's target.

    BuildKit's cache keys (cache/contenthash, `getFollowLinks`) are made so, where `resolve_path` takes ``link/..`` as
    it is written. Raises `AssemblyError` after 255 links.
    """
    current, rest, links = "/", path.strip("/"), 0
    while rest:
        name, _, rest = rest.partition("/")
        joined = clean(f"{current}/{name}")
        try:
            entry = lookup(joined[1:]) if joined != "/" else None
        except NotADirectory:
            entry = None
        if entry is None or entry.type is not EntryType.SYMLINK:
            current = joined
            continue
        links += 1
        if links > LINK_LIMIT:
            raise AssemblyError(f"too many symbolic links in `{path}`")
        target = entry.link or ""
        rest = f"{target}/{rest}".strip("/")
        current = "/" if target.startswith("/") else current
    return current[1:]


def clean(path: str) -> str:
    """Return ``path`` as Go's ``filepath.Join("/", path)``: absolute, without ``.``, ``..`` and double slashes."""
    return _join("", path)


class _Resolution:
    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup
        self.links = 0

    def resolve(self, path: str) -> str:
        current = path or "/"
        while True:
            before = self.links
            walked = self.walk(current)
            if before == self.links:
                cleaned = clean(walked)
                if cleaned == walked:
                    return cleaned[1:]
                walked = cleaned
            current = walked

    def walk(self, path: str) -> str:
        """Follow each component's link once; links in the result are left to the next round."""
        if len(path) > PATH_LIMIT:
            raise AssemblyError(f"`{path[:100]}...` is too long a path")
        current = "/" if path.startswith("/") else ""
        is_clean = is_missing = False
        for name in path.split("/"):
            if not name:
                continue
            is_plain = name not in (".", "..")
            joined = f"{current}/{name}" if is_clean and is_plain else clean(f"{current}/{name}")
            is_missing = is_missing and is_plain
            entry = None if is_missing else self.look(joined)
            is_missing = entry is None and joined != "/"
            if entry is None or entry.type is not EntryType.SYMLINK:
                current, is_clean = joined, joined != "/"
                continue
            self.links += 1
            target, is_clean = entry.link or "", False
            current = target if not current or target.startswith("/") else _join(current, target)
        return current or "/"

    def look(self, path: str) -> Entry | None:
        if self.links > LINK_LIMIT:
            raise AssemblyError(f"too many symbolic links in `{path}`")
        return self.lookup(path[1:]) if path != "/" else None


def _join(directory: str, name: str) -> str:
    joined = posixpath.normpath(f"{directory}/{name}")
    return joined[1:] if joined.startswith("//") else joined
