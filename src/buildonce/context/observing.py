"""What a selection was made from, so that a later one that would be made from the same need not be made. Pure.

A selection follows from what a `Tree` answers when its directories are listed and when names are looked up in them.
So if all of these answers are as they were, the selection is. An answer says of a directory that it is one, and its
mode; of anything else that is visible, its whole identity.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from msgspec import Struct

from buildonce.context.tree import Entry, Tree
from buildonce.context.trust import Trust
from buildonce.errors import ContextError


class Observation(Struct, frozen=True, array_like=True, gc=False):
    """One answer, by a digest; ``listing`` is that of everything in a directory, empty for a name that was looked up.

    ``answer`` is empty for a name that was not there, and for a directory of which everything counts.
    """

    path: bytes
    listing: bytes
    answer: bytes


def observe(tree: Tree, trust: Trust) -> tuple[Observation, ...] | None:
    """Return what was asked of a tree; None if something among it may change without being seen."""
    try:
        if not all(trust.covers(entry.identity, tree.listings.since) for entry in _answered(tree)):
            return None
        listed = [
            Observation(os.fsencode(path), tree.listings.get(path).digest(), _all(tree, path)) for path in tree.listed
        ]
    except ContextError:  # an excluded directory that could not be read
        return None
    looked_up = [
        Observation(os.fsencode(f"{path}/{name}"), b"", _one(tree, path, name)) for path, name in tree.looked_up
    ]
    return (*looked_up, *listed)


def is_as_observed(tree: Tree, one: Observation) -> bool:
    """Say whether a tree still gives this answer. Raises `ContextError` for what cannot be read any more."""
    path = os.fsdecode(one.path)
    if not one.listing:
        directory, _, name = path.rpartition("/")
        return _one(tree, directory, name) == one.answer
    return tree.listings.get(path).digest() == one.listing or (bool(one.answer) and _all(tree, path) == one.answer)


def _answered(tree: Tree) -> Iterator[Entry]:
    """Yield everything but directories that was in the answers."""
    for path in tree.listed:
        yield from (entry for entry in tree.entries(path) if not entry.is_excluded and not entry.is_directory)
    for path, name in tree.looked_up:
        entry = tree.look_up(path, name)
        if entry is not None and not entry.is_directory:
            yield entry


def _all(tree: Tree, path: str) -> bytes:
    entries = tree.entries(path)
    if not any(entry.is_excluded or entry.is_directory for entry in entries):
        return b""
    total = hashlib.sha256()
    for entry in entries:
        if not entry.is_excluded or tree.may_hold_exceptions(entry):
            total.update(b"%s\0%d%s\0" % (os.fsencode(entry.name), entry.is_excluded, _state(entry)))
    return total.digest()


def _one(tree: Tree, path: str, name: str) -> bytes:
    entry = tree.look_up(path, name)
    return hashlib.sha256(_state(entry)).digest() if entry is not None else b""


def _state(entry: Entry) -> bytes:
    """Return what counts: a directory's own times and links change with names in it that may be excluded."""
    return b"%o" % entry.mode if entry.is_directory else entry.identity
