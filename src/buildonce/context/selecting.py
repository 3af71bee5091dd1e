"""[io] From source words to what a COPY takes."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from buildonce.context.identity import inode_of
from buildonce.context.known_files import KnownFiles
from buildonce.context.memory import Memory
from buildonce.context.opening import Context
from buildonce.context.selection import Selected, Words, selection_digest
from buildonce.context.tree import Tree
from buildonce.context.words import Found, find, find_with_parents
from buildonce.dockerfile.ignore import IgnoreRules, compile_patterns
from buildonce.dockerfile.problems import Fault
from buildonce.errors import ContextError
from buildonce.oci import Digest

if TYPE_CHECKING:
    from buildonce.context.reading import Content


class Selection(Struct, frozen=True, kw_only=True):
    """What was selected; ``is_settled`` says that the contents of its files were there to stay (`reading.Content`)."""

    entries: tuple[Selected, ...]
    is_settled: bool


def select(context: Context, words: Words, memory: Memory | None = None) -> tuple[Selected, ...]:
    """Return what a COPY with these words takes from the context, source by source, in BuildKit's order.

    URLs and Git references of an ADD are not for here. A wildcard that matches nothing selects nothing. Files that
    ``memory`` knows are not read again; what is read is put there and saved. Raises `SourceMissing` for another source
    that is not there, `SpecialFile` for sockets, pipes and devices, `ContextError` for what cannot be read.
    """
    memory = memory or Memory(context.root)
    return _select(Tree(context, memory.listings), words, memory).entries


def digest_selection(context: Context, words: Words, memory: Memory) -> tuple[Digest, tuple[Selected, ...] | None]:
    """Return the digest of what `select` returns, and this too if it had to be found out. Raises what `select` does."""
    tree = Tree(context, memory.listings)
    known = memory.selections.find(tree, words)
    if known is not None:
        return known, None
    tree = Tree(context, memory.listings)
    selection = _select(tree, words, memory)
    digest = selection_digest(selection.entries)
    if selection.is_settled:
        memory.selections.learn(tree, words, selection.entries, digest)
    return digest, selection.entries


def _select(tree: Tree, words: Words, memory: Memory) -> Selection:
    rules = _compile_exclude(words.exclude)
    search = find_with_parents if words.parents else find
    found = [one for word in words.sources for one in search(tree, word, rules)]
    digests = [memory.files.find(one.entry.identity) if one.type == "file" else None for one in found]
    contents = _read_unknown(tree, found, digests, memory.files)
    return Selection(
        entries=tuple(_complete(tree, found, digests, contents)),
        is_settled=all(content.is_settled for content in contents.values()),
    )


def _compile_exclude(patterns: Sequence[str]) -> IgnoreRules:
    try:
        return compile_patterns(patterns)
    except Fault as fault:
        raise ContextError(f"--exclude: {fault.message}", help=fault.help) from fault


def _read_unknown(
    tree: Tree, found: Sequence[Found], digests: Sequence[bytes | None], known: KnownFiles
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
    from buildonce.context.reading import read_contents

    for entry, content in read_contents(tree, unknown.values()):
        contents[entry.identity] = content
        if content.is_settled and content.capability is None:  # a record has no place for capabilities, which are rare
            known.learn(entry.identity, content.digest, tree.listings.since)
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
            is_uncertain=one.is_uncertain,
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
        is_uncertain=one.is_uncertain,
    )
