"""[io] The files of a build context that an engine would receive: what is not excluded, each directory read once."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from buildonce.context.identity import STATE, identify
from buildonce.context.listings import Listings, unreadable
from buildonce.context.opening import Context
from buildonce.dockerfile.ignore import IgnoreRules
from buildonce.errors import ContextError

_MOST_LINKS = 255


class Entry(Struct, frozen=True, gc=False):
    """A path in the context and its state; ``mode`` has the type too, ``links`` counts the hard links."""

    path: str
    mode: int
    size: int
    mtime_ns: int
    links: int
    identity: bytes
    is_excluded: bool = False

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)


@dataclass(slots=True)
class Tree:
    """The context as BuildKit receives it. Its directories may be as deep as the system can open them.

    ``listed`` are the directories whose entries were asked for, ``looked_up`` the names that were asked for in one.
    """

    context: Context
    listings: Listings
    listed: dict[str, None] = field(default_factory=dict)
    looked_up: dict[tuple[str, str], None] = field(default_factory=dict)
    _any_rule: re.Pattern[str] = field(init=False)
    _read: dict[str, tuple[Entry, ...]] = field(default_factory=dict)
    _names: dict[str, dict[str, Entry]] = field(default_factory=dict)
    _matched: dict[str, tuple[bool, ...]] = field(default_factory=lambda: {"": ()})

    def __post_init__(self) -> None:
        self._any_rule = _any_of(self.context.ignore)

    def walk(self, path: str) -> Iterator[Entry]:
        """Yield the visible entries below a directory, in byte order, a directory before what is in it.

        Visible are those that are not excluded, and excluded directories that lead to one.
        """
        if self.context.ignore.has_exceptions:
            return kept_with_parents(self._walk_all(path))
        return (entry for entry, _ in self._walk_all(path))  # then no excluded directory leads anywhere

    def is_visible(self, entry: Entry) -> bool:
        """Say whether an entry is part of the context."""
        if not entry.is_excluded:
            return True
        return self.may_hold_exceptions(entry) and any(not below.is_excluded for below, _ in self._walk_all(entry.path))

    def entries(self, path: str) -> tuple[Entry, ...]:
        """Return all entries of a directory, in byte order, excluded ones marked."""
        self.listed[path] = None
        return self._entries(path)

    def look_up(self, directory: str, name: str) -> Entry | None:
        """Return an entry of a directory; None when nothing visible has the name."""
        self.looked_up[directory, name] = None
        if directory not in self._names:
            self._names[directory] = {entry.name: entry for entry in self._entries(directory)}
        entry = self._names[directory].get(name)
        return entry if entry is not None and self.is_visible(entry) else None

    def follow(self, path: str) -> Entry | None:
        """Return what is at ``path`` after following links inside the context; None when nothing visible is."""
        current = self._entry("")
        remaining = list(reversed(path.split("/"))) if path else []
        links = 0
        while remaining:
            part = remaining.pop()
            if part in ("", "."):
                continue
            if part == "..":
                current = self._entry(current.path.rpartition("/")[0])
                continue
            child = self.look_up(current.path, part) if current.is_directory else None
            if child is None:
                return None
            if not child.is_link:
                current = child
                continue
            links += 1
            if links > _MOST_LINKS:
                return None
            target = self.read_link(child.path)
            if target.startswith("/"):
                current = self._entry("")
            remaining += reversed(target.split("/"))
        return current

    def read_link(self, path: str) -> str:
        """Return where a symbolic link leads, as it is written there."""
        try:
            return os.readlink(self.listings.place(path))  # noqa: PTH115 - Path would tidy the target up
        except OSError as error:
            raise unreadable(path, error) from error

    def _walk_all(self, path: str) -> Iterator[tuple[Entry, bool]]:
        """Yield what is below a directory, each with whether it is visible by itself."""
        remaining = list(reversed(self.entries(path)))
        while remaining:
            entry = remaining.pop()
            if not entry.is_excluded:
                yield entry, True
                if stat.S_ISDIR(entry.mode):
                    remaining += reversed(self.entries(entry.path))
            elif self.may_hold_exceptions(entry):
                yield entry, False
                try:
                    remaining += reversed(self.entries(entry.path))
                except ContextError:
                    continue  # what is excluded need not be readable

    def may_hold_exceptions(self, entry: Entry) -> bool:
        return entry.is_directory and self.context.ignore.has_exceptions

    def _entries(self, path: str) -> tuple[Entry, ...]:
        if path not in self._read:
            self._read[path] = tuple(self._mark(path))
        return self._read[path]

    def _mark(self, path: str) -> Iterator[Entry]:
        """Yield the entries of a directory, excluded ones marked."""
        listing = self.listings.get(path)
        prefix = f"{path}/" if path else ""
        inherited = self._matches(path)
        is_match, enter = self._any_rule.fullmatch, self.context.ignore.enter
        is_plain = not any(inherited)
        states = STATE.iter_unpack(listing.states)
        for (name, identity), (_, _, size, mtime_ns, _, mode, links) in zip(listing.entries(), states, strict=True):
            inside, is_excluded, matched = prefix + name, False, inherited
            if not is_plain or is_match(inside):
                is_excluded, matched = enter(inside, inherited)
            if stat.S_ISDIR(mode):
                self._matched[inside] = matched
            yield Entry(inside, mode, size, mtime_ns, links, identity, is_excluded)

    def _matches(self, path: str) -> tuple[bool, ...]:
        """Return what each pattern matched of a directory and those that lead to it."""
        end = len(path)
        while path[:end] not in self._matched:
            end = max(path.rfind("/", 0, end), 0)
        while end < len(path):
            above = self._matched[path[:end]]
            end = path.find("/", end + 1)
            end = len(path) if end < 0 else end
            self._matched[path[:end]] = self.context.ignore.enter(path[:end], above)[1]
        return self._matched[path]

    def _entry(self, path: str) -> Entry:
        """Return a directory as it is, the root even through links."""
        try:
            state = Path(self.listings.place(path)).stat(follow_symlinks=not path)
        except OSError as error:
            raise unreadable(path, error) from error
        return Entry(path, state.st_mode, state.st_size, state.st_mtime_ns, state.st_nlink, identify(state))


def kept_with_parents(walked: Iterable[tuple[Entry, bool]]) -> Iterator[Entry]:
    """Yield the entries that are marked as kept, each after the directories that lead to it, kept or not."""
    pending: list[Entry] = []
    for entry, is_kept in walked:
        while pending and not entry.path.startswith(f"{pending[-1].path}/"):
            pending.pop()
        if is_kept:
            if pending:
                yield from pending
                pending.clear()
            yield entry
        elif entry.is_directory:
            pending.append(entry)


def _any_of(rules: IgnoreRules) -> re.Pattern[str]:
    """Return the expression of paths that any pattern matches; most paths match none, and this says so at once."""
    parts = []
    for pattern in rules.patterns:
        flags = "s" if pattern.expression.flags & re.DOTALL else ""
        parts.append(f"(?{flags}:{pattern.expression.pattern})")
    return re.compile("|".join(parts) or "(?!)")
