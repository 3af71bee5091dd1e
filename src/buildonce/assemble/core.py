"""Cores: the files that late copies take from a stage, in one archive whose bytes depend on the files alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from buildonce.assemble.compression import Compression
from buildonce.assemble.tarball import LayerBlob, write_layer
from buildonce.assemble.tree import Tree


def normalise_core(tree: Tree, *, epoch_limit: int) -> Tree:
    """Return ``tree`` with times that are newer than ``epoch_limit`` set to it, so that a recompile changes none."""
    return Tree(
        {
            path: replace(entry, mtime=epoch_limit) if entry.mtime > epoch_limit else entry
            for path, entry in tree.items()
        },
        scope=tree.scope,
    )


def pack_core(tree: Tree, target: Path, *, epoch_limit: int) -> LayerBlob:
    """[io] Write ``tree``, normalised, as one uncompressed layer to ``target``; see `write_layer`."""
    entries = normalise_core(tree, epoch_limit=epoch_limit).entries()
    return write_layer(entries, target, compression=Compression.UNCOMPRESSED)
