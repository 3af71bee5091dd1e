"""[io] From source words to what a COPY takes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from buildonce.context.opening import Context
from buildonce.context.reading import read_file
from buildonce.context.selection import Selected
from buildonce.context.tree import Tree, read_link
from buildonce.dockerfile.ignore import IgnoreRules, compile_patterns
from buildonce.dockerfile.problems import Fault
from buildonce.errors import ContextError

_THREADS = 8


def select(
    context: Context, sources: Sequence[str], *, exclude: Sequence[str] = (), parents: bool = False
) -> tuple[Selected, ...]:
    """Return what a COPY with these source words takes from the context, source by source, in BuildKit's order.

    ``exclude`` are the instruction's ``--exclude`` patterns, ``parents`` is its ``--parents``. URLs and Git references
    of an ADD are not for here. A wildcard that matches nothing selects nothing. Raises `SourceMissing` for another
    source that is not there, `SpecialFile` for sockets, pipes and devices, `ContextError` for what cannot be read.
    """
    tree = Tree(context)
    rules = _compile_exclude(exclude)
    entries = [
        entry
        for source in sources
        for entry in (tree.select_parents(source, rules) if parents else tree.select(source, rules))
    ]
    return _with_content(context, entries)


def _compile_exclude(patterns: Sequence[str]) -> IgnoreRules:
    try:
        return compile_patterns(patterns)
    except Fault as fault:
        raise ContextError(f"--exclude: {fault.message}", help=fault.help) from fault


def _with_content(context: Context, entries: Sequence[Selected]) -> tuple[Selected, ...]:
    """Return the entries with digests, link targets, capabilities and hard links; files are hashed in threads."""
    paths = sorted({entry.path for entry in entries if entry.type == "file"})
    with ThreadPoolExecutor(max_workers=_THREADS) as threads:
        read = dict(zip(paths, threads.map(lambda path: read_file(context.root / path, path), paths), strict=True))
    first: dict[tuple[str, int, int], str] = {}
    complete: list[Selected] = []
    for entry in entries:
        if entry.type == "file":
            content = read[entry.path]
            original = first.setdefault((entry.source, *content.inode), entry.path)
            complete.append(
                replace(
                    entry,
                    size=content.size,
                    digest=content.digest,
                    capability=content.capability,
                    hardlink=original if original != entry.path else None,
                )
            )
        elif entry.type == "symlink":
            complete.append(replace(entry, target=read_link(context, entry.path)))
        else:
            complete.append(entry)
    return tuple(complete)
