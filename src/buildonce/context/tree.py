"""[io] The files of a build context that the engine would receive, and the way of a source word through them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from buildonce.context.opening import Context
from buildonce.context.problems import SourceMissing, SpecialFile
from buildonce.context.selection import Selected
from buildonce.dockerfile.globs import has_wildcard, match_glob
from buildonce.dockerfile.ignore import IgnoreRules, compile_patterns
from buildonce.dockerfile.paths import clean_path
from buildonce.dockerfile.problems import Fault, suggest
from buildonce.errors import ContextError

_MOST_LINKS = 255


class _Entry(Struct, frozen=True):
    """A path in the context with its state; ``children`` are a directory's visible entries, in byte order."""

    path: str
    state: os.stat_result
    is_excluded: bool = False
    children: tuple[_Entry, ...] = ()

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.state.st_mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.state.st_mode)


@dataclass(slots=True)
class Tree:
    """The context as BuildKit receives it: without what is excluded; directories are read once."""

    context: Context
    _read: dict[str, tuple[_Entry, ...]] = field(default_factory=dict)
    _seen: dict[str, tuple[_Entry, ...]] = field(default_factory=dict)
    _matched: dict[str, tuple[bool, ...]] = field(default_factory=lambda: {"": ()})

    def select(self, source: str, exclude: IgnoreRules) -> list[Selected]:
        """Return what one source word selects."""
        return [one for match in self._matches(source) for one in self._copy(source, match, exclude)]

    def select_parents(self, source: str, exclude: IgnoreRules) -> list[Selected]:
        """Return what one source word selects under ``--parents``, with the directories that lead to it.

        A ``/./`` in the word divides it: what stands before is where the selected paths begin.
        """
        base, pivot, pattern = source.partition("/./")
        base, pattern = (base, pattern) if pivot else ("", source)
        text = clean_path("/" + pattern)[1:]
        include = _compile_include(text)
        found: list[Selected] = []
        for match in self._matches(base):
            top = self._follow(match)
            if top is not None:
                found += _with_leading(match, self._whole(top), include, exclude)
        if not found and not has_wildcard(source):
            raise self._missing(source, f"{base}/{text}".strip("/"))
        return found

    def _matches(self, source: str) -> list[str]:
        """Return the paths that a word means: itself, or all that match its wildcards."""
        path = clean_path("/" + source)[1:]
        parts = path.split("/") if path else []
        fixed = next((number for number, part in enumerate(parts) if has_wildcard(part)), len(parts))
        if fixed == len(parts):
            return [path]
        base = self._follow("/".join(parts[:fixed]))
        if base is None:
            raise self._missing(source, "/".join(parts[:fixed]))
        return list(self._glob(self._whole(base), "/".join(parts[fixed:]), source))

    def _glob(self, base: _Entry, pattern: str, source: str) -> Iterator[str]:
        """Yield the paths below ``base`` that match; what is inside a match is not tried."""
        pending = list(reversed(base.children))
        start = len(base.path) + 1 if base.path else 0
        try:
            match_glob(pattern, "")
        except Fault as fault:
            raise ContextError(f"the source `{source}` is malformed: {fault.message}", help=fault.help) from fault
        while pending:
            entry = pending.pop()
            if match_glob(pattern, entry.path[start:]):
                yield entry.path
            else:
                pending += reversed(entry.children)

    def _copy(self, source: str, match: str, exclude: IgnoreRules) -> Iterator[Selected]:
        top = self._follow(match)
        if top is None:
            raise self._missing(source, match)
        top = self._whole(top)
        yield _select_entry(match, top, "")
        yield from (_select_entry(match, entry, relative) for entry, relative in _kept(top, exclude))

    def _whole(self, entry: _Entry) -> _Entry:
        """Return a directory's entry with everything below it, others as they are."""
        if not entry.is_directory:
            return entry
        return replace(entry, children=self._visible(entry.path))

    def _visible(self, path: str) -> tuple[_Entry, ...]:
        """Return the visible entries of a directory: those not excluded, and directories that lead to one."""
        if path not in self._seen:
            self._seen[path] = tuple(visible for entry in self._list(path) if (visible := self._reduced(entry)))
        return self._seen[path]

    def _reduced(self, entry: _Entry) -> _Entry | None:
        """Return an entry with its visible children, or None when it is not visible itself."""
        if not entry.is_directory or (entry.is_excluded and not self.context.ignore.has_exceptions):
            return None if entry.is_excluded else entry
        try:
            children = self._visible(entry.path)
        except ContextError:
            if not entry.is_excluded:
                raise
            children = ()  # what is excluded need not be readable
        return replace(entry, children=children) if children or not entry.is_excluded else None

    def _list(self, path: str) -> tuple[_Entry, ...]:
        """Return all entries of a directory, in byte order, excluded ones marked."""
        if path not in self._read:
            self._read[path] = tuple(self._scan(path))
        return self._read[path]

    def _scan(self, path: str) -> Iterator[_Entry]:
        directory = self.context.root / path
        try:
            with os.scandir(directory) as found:
                states = [(one.name, one.stat(follow_symlinks=False)) for one in found]
        except OSError as error:
            raise ContextError(f"cannot read `{path or '.'}` in the build context: {error.strerror}") from error
        for name, state in sorted(states, key=lambda one: os.fsencode(one[0])):
            inside = f"{path}/{name}" if path else name
            is_excluded, matched = self.context.ignore.enter(inside, self._matched[path])
            if stat.S_ISDIR(state.st_mode):
                self._matched[inside] = matched
            yield _Entry(inside, state, is_excluded)

    def _follow(self, path: str) -> _Entry | None:
        """Return what is at ``path`` after following links inside the context; None when nothing visible is."""
        current = _Entry("", self.context.root.stat())
        remaining = list(reversed(path.split("/"))) if path else []
        links = 0
        while remaining:
            part = remaining.pop()
            if part in ("", "."):
                continue
            if part == "..":
                current = self._parent(current)
                continue
            child = self._child(current, part)
            if child is None:
                return None
            if not child.is_link:
                current = child
                continue
            links += 1
            if links > _MOST_LINKS:
                return None
            target = read_link(self.context, child.path)
            if target.startswith("/"):
                current = _Entry("", self.context.root.stat())
            remaining += reversed(target.split("/"))
        return current

    def _parent(self, entry: _Entry) -> _Entry:
        path = entry.path.rpartition("/")[0]
        return _Entry(path, (self.context.root / path).lstat() if path else self.context.root.stat())

    def _child(self, directory: _Entry, name: str) -> _Entry | None:
        if not directory.is_directory:
            return None
        for entry in self._list(directory.path):
            if entry.name == name:
                return entry if not entry.is_excluded or self._reduced(entry) else None
        return None

    def _missing(self, source: str, path: str) -> SourceMissing:
        rule = self.context.ignore.deciding(path)
        if rule is not None and (self.context.root / path).exists() and self.context.ignore_path is not None:
            return SourceMissing(
                f"`{source}` is not in the build context: `{rule.text}` in {self.context.ignore_path.name} excludes it",
                source=source,
                help=f"add `!{path}` to {self.context.ignore_path.name}",
            )
        return SourceMissing(
            f"`{source}` is not in the build context", source=source, help=self._help_for_missing(path)
        )

    def _help_for_missing(self, path: str) -> str:
        """Say what stands where the first missing part of the path should be."""
        parts = path.split("/")
        for number, part in enumerate(parts):
            directory = self._follow("/".join(parts[:number]))
            if directory is None or not directory.is_directory:
                break
            names = [entry.name for entry in self._visible(directory.path)]
            if part not in names:
                closest = suggest(part, names)
                return f"did you mean `{'/'.join([*parts[:number], closest])}`?" if closest else _help_for_root()
        return _help_for_root()


def _help_for_root() -> str:
    return "sources are relative to the build context; what another step of your build makes has to be there first"


def _compile_include(pattern: str) -> IgnoreRules:
    try:
        return compile_patterns([pattern])
    except Fault as fault:
        raise ContextError(f"the source `{pattern}` is malformed: {fault.message}", help=fault.help) from fault


def _kept(top: _Entry, exclude: IgnoreRules) -> Iterator[tuple[_Entry, str]]:
    """Yield the entries below ``top`` that ``--exclude`` leaves, each with its path relative to ``top``."""
    start = len(top.path) + 1 if top.path else 0

    def keep(entry: _Entry, matched: tuple[bool, ...]) -> list[tuple[_Entry, str]]:
        relative = entry.path[start:]
        is_excluded, matched = exclude.enter(relative, matched)
        below = [one for child in entry.children for one in keep(child, matched)]
        return [(entry, relative), *below] if below or not is_excluded else []

    for child in top.children:
        yield from keep(child, ())


def _with_leading(source: str, top: _Entry, include: IgnoreRules, exclude: IgnoreRules) -> list[Selected]:
    """Return the entries below ``top`` that ``include`` matches and ``exclude`` does not, and their parents."""
    start = len(top.path) + 1 if top.path else 0

    def keep(entry: _Entry, included: tuple[bool, ...], excluded: tuple[bool, ...]) -> list[Selected]:
        relative = entry.path[start:]
        is_included, included = include.enter(relative, included)
        is_excluded, excluded = exclude.enter(relative, excluded)
        below = [one for child in entry.children for one in keep(child, included, excluded)]
        if not below and (is_excluded or not is_included):
            return []
        return [_select_entry(source, entry, relative), *below]

    return [one for child in top.children for one in keep(child, (), ())]


def _select_entry(source: str, entry: _Entry, relative: str) -> Selected:
    """Return the entry as selected, still without content; raise `SpecialFile` for what is no file of an image."""
    mode = entry.state.st_mode
    kind = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink"}.get(stat.S_IFMT(mode))
    if kind is None:
        raise SpecialFile(f"`{entry.path}` in the build context is a {_kind_name(mode)}", path=entry.path)
    return Selected(
        source=source or ".",
        path=entry.path or ".",
        relative=relative,
        type=kind,
        mode=0o777 if kind == "symlink" else stat.S_IMODE(mode),
        size=entry.state.st_size if kind == "file" else 0,
        mtime_ns=entry.state.st_mtime_ns,
    )


def read_link(context: Context, path: str) -> str:
    return os.readlink(context.root / path)  # noqa: PTH115 - Path would tidy the target up


def _kind_name(mode: int) -> str:
    names = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
    return names.get(stat.S_IFMT(mode), "special file")
