"""[io] From source words to what a COPY takes."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator, Mapping, Sequence

from buildonce.context.identity import inode_of
from buildonce.context.known_files import KnownFiles
from buildonce.context.opening import Context
from buildonce.context.reading import Content, read_contents
from buildonce.context.selection import Selected
from buildonce.context.tree import Tree
from buildonce.context.words import Found, find, find_with_parents
from buildonce.dockerfile.ignore import IgnoreRules, compile_patterns
from buildonce.dockerfile.problems import Fault
from buildonce.errors import ContextError
from buildonce.oci import Digest


def select(
    context: Context,
    sources: Sequence[str],
    *,
    exclude: Sequence[str] = (),
    parents: bool = False,
    known: KnownFiles | None = None,
) -> tuple[Selected, ...]:
    """Return what a COPY with these source words takes from the context, source by source, in BuildKit's order.

    ``exclude`` are the instruction's ``--exclude`` patterns, ``parents`` is its ``--parents``. URLs and Git references
    of an ADD are not for here. A wildcard that matches nothing selects nothing. Files that are in ``known`` are not
    read again; what is read is put there and saved. Raises `SourceMissing` for another source that is not there,
    `SpecialFile` for sockets, pipes and devices, `ContextError` for what cannot be read.
    """
    seen = time.time_ns()
    known = known or KnownFiles()
    tree = Tree(context)
    rules = _compile_exclude(exclude)
    search = find_with_parents if parents else find
    found = [one for word in sources for one in search(tree, word, rules)]
    digests = [known.find(one.entry.identity) if one.type == "file" else None for one in found]
    contents = _read_unknown(tree, found, digests, known, seen)
    return tuple(_complete(tree, found, digests, contents))


def _compile_exclude(patterns: Sequence[str]) -> IgnoreRules:
    try:
        return compile_patterns(patterns)
    except Fault as fault:
        raise ContextError(f"--exclude: {fault.message}", help=fault.help) from fault


def _read_unknown(
    tree: Tree, found: Sequence[Found], digests: Sequence[bytes | None], known: KnownFiles, seen: int
) -> dict[bytes, Content]:
    """Read the files without a digest, hard links to the same one once; return their contents by identity."""
    unknown = {
        one.entry.identity: one.entry
        for one, digest in zip(found, digests, strict=True)
        if digest is None and one.type == "file"
    }
    contents: dict[bytes, Content] = {}
    if not unknown:
        return contents
    for entry, content in read_contents(tree, unknown.values()):
        contents[entry.identity] = content
        if content.is_settled and content.capability is None:  # a record has no place for capabilities, which are rare
            known.learn(entry.identity, content.digest, seen)
    known.save(one.entry.identity for one in found)
    return contents


def _complete(
    tree: Tree, found: Sequence[Found], digests: Sequence[bytes | None], contents: Mapping[bytes, Content]
) -> Iterator[Selected]:
    """Yield what was found with digests, link targets, capabilities and hard links."""
    first: dict[tuple[str, bytes], str] = {}
    for one, known_digest in zip(found, digests, strict=True):
        entry = one.entry
        if one.type != "file":
            yield _without_content(tree, one)
            continue
        hardlink = None
        if entry.links > 1:
            original = first.setdefault((one.source, inode_of(entry.identity)), entry.path)
            hardlink = original if original != entry.path else None
        content = contents[entry.identity] if known_digest is None else None
        digest = content.digest if content is not None else known_digest or b""
        yield Selected(
            source=one.source,
            path=entry.path,
            relative=one.relative,
            type="file",
            mode=entry.mode & 0o7777,
            size=content.size if content is not None else entry.size,
            digest=Digest(f"sha256:{digest.hex()}"),
            mtime_ns=entry.mtime_ns,
            hardlink=hardlink,
            capability=content.capability if content is not None else None,
        )


def _without_content(tree: Tree, one: Found) -> Selected:
    is_link = one.type == "symlink"
    return Selected(
        source=one.source,
        path=one.entry.path or ".",
        relative=one.relative,
        type=one.type,
        mode=0o777 if is_link else stat.S_IMODE(one.entry.mode),
        target=tree.read_link(one.entry.path) if is_link else None,
        mtime_ns=one.entry.mtime_ns,
    )
