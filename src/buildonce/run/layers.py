"""[io] Layers of images, read once per run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from buildonce.assemble import limits
from buildonce.assemble.archive import Layer, Want, scan_layer
from buildonce.assemble.config import decode_config
from buildonce.assemble.entries import NotExpressible
from buildonce.assemble.facts import wants_user_file
from buildonce.assemble.image import LAYER_TYPES
from buildonce.assemble.limits import Budget
from buildonce.assemble.tree import Tree, apply_layers
from buildonce.errors import IntegrityError
from buildonce.fit.loader_files import is_loader_file
from buildonce.fit.offer import Offer, gather_offer
from buildonce.oci import OCI_LAYER, Descriptor, Digest
from buildonce.store.feeding import read_in_thread
from buildonce.store.protocol import Readable, Source
from buildonce.tasks import together

_AT_ONCE = 3
"""How many layers are read at once: more would take more memory, and no less time."""


_TREES = 3
"""How many file systems are kept: several questions are asked of each, one after the other."""


def _is_kept(path: str) -> bool:
    return wants_user_file(path) or is_loader_file(path)


_WANT = Want(keep=_is_kept, runnables=True, digest=False)


class Stack(Struct, frozen=True, kw_only=True):
    """An image's first layers, the lowest first, and the diff IDs that its config gives them."""

    source: Source
    layers: tuple[Descriptor, ...]
    diff_ids: tuple[str, ...]

    def check(self) -> None:
        """Raise `NotExpressible` for layers of a kind or number that is not read, `IntegrityError` without diff IDs."""
        for layer in self.layers:
            if layer.media_type not in LAYER_TYPES:
                raise NotExpressible(f"an image has a layer of the type `{layer.media_type}`")
        if len(self.layers) > limits.LAYERS:
            raise NotExpressible(f"an image has {len(self.layers)} layers, and no engine stacks so many")
        if len(self.diff_ids) < len(self.layers):
            raise IntegrityError(
                f"an image of {len(self.layers)} layers has {len(self.diff_ids)} diff IDs in its config"
            )


def stack_layers(source: Source, layers: Iterable[Descriptor], config: bytes) -> Stack:
    """Return layers with the diff IDs that an image's config gives them."""
    known = tuple(layers)
    diff_ids: Sequence[str] = (decode_config(config).get("rootfs") or {}).get("diff_ids") or ()
    return Stack(source=source, layers=known, diff_ids=tuple(diff_ids)[: len(known)])


class LayerReader:
    """Reads layers into entries; a layer that several images share is read once, unless that takes too much memory."""

    def __init__(self) -> None:
        self._layers: dict[Digest, asyncio.Task[Layer]] = {}
        self._trees: dict[tuple[str, ...], asyncio.Task[Tree]] = {}
        self._limit = asyncio.Semaphore(_AT_ONCE)

    async def tree(self, stack: Stack) -> Tree:
        """Return the file system that the layers make. Raises as `read` does."""
        key = (*(layer.digest for layer in stack.layers), *stack.diff_ids)
        if key not in self._trees:
            if len(self._trees) >= _TREES:
                del self._trees[next(iter(self._trees))]
            self._trees[key] = asyncio.ensure_future(self._tree(stack))
        return await self._trees[key]

    async def kept(self, stack: Stack) -> Mapping[Digest, bytes]:
        """Return the kept contents of these layers, by digest: those of users' and of loaders' files."""
        return {digest: content for layer in await self.read(stack) for digest, content in layer.kept.items()}

    async def offer(self, stack: Stack) -> Offer:
        """Return what the file system of these layers offers to programs."""
        return await asyncio.to_thread(_gather_offer, await self.tree(stack), await self.read(stack))

    async def read(self, stack: Stack) -> tuple[Layer, ...]:
        """Return what each layer holds, checked against its digest, its size and its diff ID.

        Raises `ArchiveError` for a layer that is malformed or hostile, `IntegrityError` for one that is another,
        `NotExpressible` for those that are more, larger or of another kind than are read.
        """
        stack.check()
        budget = Budget()
        found = await together(self._layer(stack.source, layer, budget) for layer in stack.layers)
        for descriptor, layer, diff_id in zip(stack.layers, found, stack.diff_ids, strict=True):
            if layer.diff_id != diff_id:
                raise IntegrityError(
                    f"layer {descriptor.digest} has the diff ID {layer.diff_id}, its config says {diff_id}"
                )
        Budget().take(sum(layer.memory for layer in found))
        self._forget_some({layer.digest for layer in stack.layers})
        return tuple(found)

    async def _tree(self, stack: Stack) -> Tree:
        found = await self.read(stack)
        budget = Budget(limits.MEMORY - sum(layer.memory for layer in found))
        return await asyncio.to_thread(apply_layers, [layer.entries for layer in found], budget=budget)

    async def _layer(self, source: Source, descriptor: Descriptor, budget: Budget) -> Layer:
        if descriptor.digest not in self._layers:
            self._layers[descriptor.digest] = asyncio.ensure_future(self._scan(source, descriptor, budget))
        return await self._layers[descriptor.digest]

    async def _scan(self, source: Source, descriptor: Descriptor, budget: Budget) -> Layer:
        is_plain = descriptor.media_type == OCI_LAYER

        def scan(stream: Readable) -> Layer:
            return scan_layer(stream, _WANT, is_plain=is_plain, budget=budget)

        async with self._limit:
            return await read_in_thread(source.read_blob(descriptor), scan)

    def _forget_some(self, used: set[Digest]) -> None:
        """Forget what was read first, and is not ``used``, until the rest fits into the memory of one image."""
        done = {digest: task.result().memory for digest, task in self._layers.items() if _is_read(task)}
        total = sum(done.values())
        for digest, memory in done.items():
            if total > limits.MEMORY and digest not in used:
                del self._layers[digest]
                total -= memory


def _is_read(task: asyncio.Task[Layer]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _gather_offer(tree: Tree, layers: Iterable[Layer]) -> Offer:
    kept = {digest: content for layer in layers for digest, content in layer.kept.items()}
    runnables = {digest: one for layer in layers for digest, one in layer.runnables.items()}
    return gather_offer(tree, runnables, kept)
