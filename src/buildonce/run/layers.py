"""[io] Layers of images, read once per run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

from buildonce.assemble.archive import Layer, scan_layer
from buildonce.assemble.facts import wants_user_file
from buildonce.assemble.tree import Tree, apply_layers
from buildonce.fit.loader_files import is_loader_file
from buildonce.fit.offer import Offer, gather_offer
from buildonce.oci import Descriptor, Digest
from buildonce.store.protocol import Source
from buildonce.store.spool import fetch_blob
from buildonce.tasks import together


class LayerReader:
    """Reads layers into entries; a layer that several images share is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._layers: dict[Digest, asyncio.Task[Layer]] = {}

    async def read(self, source: Source, descriptor: Descriptor, diff_id: Digest | None = None) -> Layer:
        """Return what a layer holds, checked against its digest and its diff ID.

        The contents of users' and loaders' files are kept, and what can be run is looked into. Raises `ArchiveError`
        and `IntegrityError`.
        """
        if descriptor.digest not in self._layers:
            self._layers[descriptor.digest] = asyncio.ensure_future(self._scan(source, descriptor, diff_id))
        return await self._layers[descriptor.digest]

    async def tree(self, source: Source, layers: Iterable[Descriptor]) -> Tree:
        """Return the file system that the layers make, the lowest first."""
        found = await together(self.read(source, layer) for layer in layers)
        return await asyncio.to_thread(apply_layers, [layer.entries for layer in found])

    async def kept(self, source: Source, layers: Iterable[Descriptor]) -> Mapping[Digest, bytes]:
        """Return the kept contents of these layers, by digest."""
        found = await together(self.read(source, layer) for layer in layers)
        return {digest: content for layer in found for digest, content in layer.kept.items()}

    async def offer(self, source: Source, layers: Iterable[Descriptor]) -> Offer:
        """Return what the file system of these layers offers to programs."""
        found = await together(self.read(source, layer) for layer in layers)
        return await asyncio.to_thread(_gather_offer, found)

    async def _scan(self, source: Source, descriptor: Descriptor, diff_id: Digest | None) -> Layer:
        path = await fetch_blob(source, descriptor, self._folder)
        return await asyncio.to_thread(_scan_file, path, descriptor.digest, diff_id)


def _scan_file(path: Path, digest: Digest, diff_id: Digest | None) -> Layer:
    with path.open("rb") as file:
        return scan_layer(file, keep=_is_kept, finds_runnables=True, digest=digest, diff_id=diff_id)


def _is_kept(path: str) -> bool:
    return wants_user_file(path) or is_loader_file(path)


def _gather_offer(layers: list[Layer]) -> Offer:
    kept = {digest: content for layer in layers for digest, content in layer.kept.items()}
    runnables = {digest: one for layer in layers for digest, one in layer.runnables.items()}
    return gather_offer(apply_layers([layer.entries for layer in layers]), runnables, kept)
