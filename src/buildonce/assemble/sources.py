"""What the source words of a COPY select in a tree: wildcards, pivots, links."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from buildonce.assemble.entries import EntryType, NotExpressible, join, name_of
from buildonce.assemble.resolution import clean, follow_links, resolve_path
from buildonce.assemble.tree import Tree
from buildonce.dockerfile.globs import compile_glob, has_wildcard
from buildonce.dockerfile.ignore import IgnoreRules, compile_patterns
from buildonce.dockerfile.problems import Fault
from buildonce.errors import AssemblyError


class Source(Struct, frozen=True, kw_only=True):
    """One source word: an absolute path, perhaps with wildcards, and what to take below it (--parents).

    ``required`` is the path that must be there, if one must. An ``include`` of nothing but blanks selects nothing.
    """

    path: str
    include: tuple[str, ...] = ()
    required: str = ""


def plan_sources(words: tuple[str, ...], *, parents: bool) -> tuple[Source, ...]:
    """Return what each word means, as BuildKit's dispatchCopy takes it: relative ones too count from the root."""
    return tuple(_plan_parents(word) if parents else Source(path=clean(word)) for word in words)


def find_source(tree: Tree, source: Source) -> tuple[str, ...]:
    """Return the absolute paths that the source selects, links not followed; none if a wildcard matches nothing."""
    before, pattern = _split_wildcards(source.path)
    if not pattern:
        return (before,)
    try:
        glob = compile_glob(pattern)
    except Fault as fault:
        raise AssemblyError(f"`{source.path}`: syntax error in pattern") from fault
    start = resolve_path(tree.lstat, before)
    if start and tree.lstat(start) is None:
        raise AssemblyError(f"lstat {before}: no such file or directory")
    return tuple(f"/{path}" for path in _matches(tree, start, "", glob))


def is_link(tree: Tree, path: str) -> bool:
    """Say whether the last component of an absolute path is a symbolic link; those before it are followed.

    What --parents requires below such a link, BuildKit does not find (cache/contenthash, `getFollowLinks`).
    """
    directory = resolve_path(tree.lstat, posixpath.dirname(path))
    entry = tree.lstat(join(directory, name_of(path))) if path != "/" else None
    return entry is not None and entry.type is EntryType.SYMLINK


def refuse_keyless(tree: Tree, path: str) -> None:
    """Raise `NotExpressible` for what could be copied, but BuildKit does not find, which makes a cache key first."""
    try:
        real = follow_links(tree.lstat, path)
        is_there = not real or tree.lstat(real) is not None
    except NotExpressible:
        raise
    except AssemblyError:
        is_there = False
    if not is_there:
        raise NotExpressible(f"`{path}` leads through links to where BuildKit finds nothing")


def compile_rules(patterns: Iterable[str]) -> IgnoreRules:
    """Return the patterns of --exclude or --parents; raise `AssemblyError` for a malformed one."""
    try:
        return compile_patterns(patterns)
    except Fault as fault:
        raise AssemblyError(str(fault)) from fault


def _split_wildcards(path: str) -> tuple[str, str]:
    """Return the components of an absolute path before the first with a wildcard, and those from it on."""
    parts = path.split("/")
    first = next((index for index, part in enumerate(parts) if has_wildcard(part)), len(parts))
    return "/".join(parts[:first]) or "/", "/".join(parts[first:])


def _matches(tree: Tree, start: str, inside: str, glob: re.Pattern[str]) -> Iterator[str]:
    """Yield what matches below ``start`` in the walk's order; a directory that matches is not looked into."""
    directory = join(start, inside) if inside else start
    for name in tree.children(directory):
        below = join(inside, name)
        path = join(start, below)
        if glob.fullmatch(below):
            yield path
        elif tree[path].is_directory:
            yield from _matches(tree, start, below, glob)


def _plan_parents(word: str) -> Source:
    """Split at the pivot ``/./``; without one the pattern is looked for from the root."""
    pivot, dot, rest = word.partition("/./")
    path, pattern = (pivot, rest) if dot else ("/", word)
    pattern = pattern if pattern.startswith("/") else clean(pattern)
    is_literal = not has_wildcard(path) and not has_wildcard(pattern)
    return Source(
        path=clean(path),
        include=(pattern.removeprefix("/"),),
        required=clean(f"{path}/{pattern}") if is_literal else "",
    )
