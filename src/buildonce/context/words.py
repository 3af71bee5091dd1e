"""What the source words of a COPY mean in a build context."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from msgspec import Struct

from buildonce.context.problems import SourceMissing, SpecialFile, UnnameableFile
from buildonce.context.tree import Entry, Tree, kept_with_parents
from buildonce.dockerfile.globs import has_wildcard, match_glob
from buildonce.dockerfile.ignore import IgnoreRules, compile_patterns
from buildonce.dockerfile.paths import clean_path
from buildonce.dockerfile.problems import Fault, suggest
from buildonce.dockerfile.runes import escape_invalid, has_invalid
from buildonce.errors import ContextError

_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink"}
_SPECIAL = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}


class Found(Struct, frozen=True, gc=False):
    """What a word selects, without its content; all but ``entry`` is that of `Selected`."""

    source: str
    relative: str
    type: str
    entry: Entry
    is_uncertain: bool = False


def find(tree: Tree, word: str, exclude: IgnoreRules) -> Iterator[Found]:
    """Yield what one source word selects. Raises `ContextError`, mostly one of `problems`."""
    for match, is_deep in _matches(tree, word):
        top = tree.follow(match)
        if top is None:
            raise _missing(tree, word, match)
        is_uncertain = is_deep and top.path != match
        yield _found(match, "", top, is_uncertain=is_uncertain)
        yield from _below(tree, match, top, None, exclude, is_uncertain=is_uncertain)


def find_with_parents(tree: Tree, word: str, exclude: IgnoreRules) -> Iterator[Found]:
    """Yield what one source word selects under ``--parents``, with the directories that lead to it.

    A ``/./`` in the word divides it: what stands before is where the selected paths begin.
    """
    base, pivot, pattern = word.partition("/./")
    base, pattern = (base, pattern) if pivot else ("", word)
    text = clean_path("/" + pattern)[1:]
    include = _compile_include(text)
    has_found = False
    for match, is_deep in _matches(tree, base):
        top = tree.follow(match)
        if top is None:
            continue
        for one in _below(tree, match, top, include, exclude, is_uncertain=is_deep and top.path != match):
            has_found = True
            yield one
    if not has_found and not has_wildcard(word):
        raise _missing(tree, word, f"{base}/{text}".strip("/"))


def _matches(tree: Tree, word: str) -> Iterator[tuple[str, bool]]:
    """Yield the paths that a word means: itself, or all that match its wildcards.

    With each comes whether it lies deeper than the first part with a wildcard. A copy follows a link there, but not
    what finds out which files of the context BuildKit is sent (fsutil/followlinks.go): whether the copy finds what it
    leads to depends on what else is sent.
    """
    path = clean_path("/" + word)[1:]
    parts = path.split("/") if path else []
    fixed = next((number for number, part in enumerate(parts) if has_wildcard(part)), len(parts))
    if fixed == len(parts):
        yield path, False
        return
    base = tree.follow("/".join(parts[:fixed]))
    if base is None:
        raise _missing(tree, word, "/".join(parts[:fixed]))
    pattern = "/".join(parts[fixed:])
    try:
        match_glob(pattern, "")
    except Fault as fault:
        raise ContextError(f"the source `{word}` is malformed: {fault.message}", help=fault.help) from fault
    if base.is_directory:
        yield from _glob(tree, base, pattern)


def _glob(tree: Tree, base: Entry, pattern: str) -> Iterator[tuple[str, bool]]:
    """Yield the paths below ``base`` that match; what is inside a match is not tried."""
    start = _start(base)
    inside = "/"
    for entry in tree.walk(base.path):
        if not entry.path.startswith(inside) and match_glob(pattern, entry.path[start:]):
            inside = f"{entry.path}/"
            yield entry.path, "/" in entry.path[start:]


def _below(
    tree: Tree, source: str, top: Entry, include: IgnoreRules | None, exclude: IgnoreRules, *, is_uncertain: bool
) -> Iterator[Found]:
    """Yield what is below ``top``, is included (everything, if None) and not excluded, after what leads to it."""
    if not top.is_directory:
        return
    start = _start(top)
    entries = tree.walk(top.path)
    if include is not None or exclude.patterns:
        entries = kept_with_parents(_marked(entries, start, include, exclude))
    for entry in entries:
        yield _found(source, entry.path[start:] if start else entry.path, entry, is_uncertain=is_uncertain)


def _marked(
    entries: Iterator[Entry], start: int, include: IgnoreRules | None, exclude: IgnoreRules
) -> Iterator[tuple[Entry, bool]]:
    """Yield each entry with whether it is included and not excluded by its path from ``start`` on."""
    states: dict[str, tuple[tuple[bool, ...], tuple[bool, ...]]] = {"": ((), ())}
    is_included = True
    for entry in entries:
        relative = entry.path[start:]
        included, excluded = states[relative.rpartition("/")[0]]
        if include is not None:
            is_included, included = include.enter(relative, included)
        is_excluded, excluded = exclude.enter(relative, excluded)
        if entry.is_directory:
            states[relative] = (included, excluded)
        yield entry, is_included and not is_excluded


def _start(top: Entry) -> int:
    """Return where in a path the part relative to ``top`` begins."""
    return len(top.path) + 1 if top.path else 0


def _found(source: str, relative: str, entry: Entry, *, is_uncertain: bool) -> Found:
    """Return what was found; raise `SpecialFile` and `UnnameableFile` for what no engine takes."""
    kind = _KINDS.get(stat.S_IFMT(entry.mode))
    if kind is None:
        name = _SPECIAL.get(stat.S_IFMT(entry.mode), "special file")
        raise SpecialFile(f"`{entry.path}` in the build context is a {name}", path=entry.path)
    if has_invalid(entry.path):
        raise UnnameableFile(f"the name of `{escape_invalid(entry.path)}` in the build context is not UTF-8")
    return Found(source or ".", relative, kind, entry, is_uncertain)


def _compile_include(pattern: str) -> IgnoreRules:
    try:
        return compile_patterns([pattern])
    except Fault as fault:
        raise ContextError(f"the source `{pattern}` is malformed: {fault.message}", help=fault.help) from fault


def _missing(tree: Tree, word: str, path: str) -> SourceMissing:
    ignore_path = tree.context.ignore_path
    rule = tree.context.ignore.deciding(path)
    if rule is not None and (tree.context.root / path).exists() and ignore_path is not None:
        return SourceMissing(
            f"`{word}` is not in the build context: `{rule.text}` in {ignore_path.name} excludes it",
            source=word,
            help=f"add `!{path}` to {ignore_path.name}",
        )
    return SourceMissing(f"`{word}` is not in the build context", source=word, help=_help_for_missing(tree, path))


def _help_for_missing(tree: Tree, path: str) -> str:
    """Say what stands where the first missing part of the path should be."""
    parts = path.split("/")
    for number, part in enumerate(parts):
        directory = tree.follow("/".join(parts[:number]))
        if directory is None or not directory.is_directory:
            break
        names = [entry.name for entry in tree.entries(directory.path) if tree.is_visible(entry)]
        if part not in names:
            if closest := suggest(part, names):
                return f"did you mean `{'/'.join([*parts[:number], closest])}`?"
            break
    return "sources are relative to the build context; what another step of your build makes has to be there first"
