"""[io] The digests of selections that were made before.

A large selection costs little to make again where nothing has changed: its directories are scanned, and nothing else.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from buildonce import __version__
from buildonce.context.keeping import keep, load_kept
from buildonce.context.observing import Observation, is_as_observed, observe
from buildonce.context.selection import Selected, Words
from buildonce.context.tree import Tree
from buildonce.context.trust import Trust
from buildonce.errors import ContextError
from buildonce.oci import Digest

_MAGIC = b"buildonce selection 1\n"
_FEW = 1000
"""A selection with fewer entries is not kept: it is made as fast."""


class _Kept(Struct, frozen=True, array_like=True):
    digest: Digest
    entries: int
    observations: tuple[Observation, ...]


class KnownSelections:
    """What is known of selections from a context at ``root``, kept in ``folder``; without ``trust`` nothing is."""

    def __init__(self, folder: Path, root: Path, trust: Trust | None) -> None:
        self._folder = folder
        self._root = root
        self._trust = trust

    def find(self, tree: Tree, words: Words) -> Digest | None:
        """Return the digest of what these words select, if it was selected before and nothing has changed."""
        if self._trust is None:
            return None
        body = load_kept(self._path(tree, words), _MAGIC, self._trust)
        if not body:
            return None
        kept = msgspec.msgpack.decode(body, type=_Kept)
        tree.listings.read_ahead((os.fsdecode(one.path) for one in kept.observations if one.listing), kept.entries)
        try:
            return kept.digest if all(is_as_observed(tree, one) for one in kept.observations) else None
        except ContextError:
            return None

    def learn(self, tree: Tree, words: Words, selected: tuple[Selected, ...], digest: Digest) -> None:
        """Keep the digest of a selection that was just made from ``tree`` and whose files were settled."""
        if self._trust is None or len(selected) < _FEW:
            return
        observations = observe(tree, self._trust)
        if observations is not None:
            kept = _Kept(digest, len(selected), observations)
            keep(self._path(tree, words), _MAGIC, self._trust, lambda: msgspec.msgpack.encode(kept))

    def _path(self, tree: Tree, words: Words) -> Path:
        """Return where a selection is kept: its name covers everything that decides it but the files."""
        rules = [(rule.text, rule.is_exception) for rule in tree.context.ignore.patterns]
        asked = repr((__version__, os.fspath(self._root), words.sources, words.exclude, words.parents, rules))
        return self._folder / f"{hashlib.sha256(asked.encode('utf-8', 'surrogateescape')).hexdigest()[:40]}.selection"
