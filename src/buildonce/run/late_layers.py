"""[io] The layers that assembly adds to a base, each distinct one written once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace

from msgspec import Struct

from buildonce.assemble.brought import Brought
from buildonce.assemble.copying import copy_entries, workdir_entries
from buildonce.assemble.entries import Entry, NotExpressible, name_of
from buildonce.assemble.facts import USER_FILES, Facts
from buildonce.assemble.image import END, LayerStep, MetadataStep, copy_history
from buildonce.assemble.image import Step as ImageStep
from buildonce.assemble.owners import Passwd
from buildonce.assemble.tarball import LayerBlob, write_layer
from buildonce.assemble.tree import Tree, apply_layer
from buildonce.dockerfile.runes import encode_json
from buildonce.dockerfile.syntax import Add, Copy, From, Run
from buildonce.oci import Descriptor, Digest
from buildonce.plan.chains import StepKind
from buildonce.plan.nodes import ImageNode
from buildonce.run.base_records import ReadyBase
from buildonce.run.context_trees import context_tree
from buildonce.run.cores import CoreMaker, ReadyCore
from buildonce.run.placement import PlacedStep, copy_spec, place_steps, workdir_path
from buildonce.run.workshop import Workshop
from buildonce.store.streams import sync

_FORMAT = 2
_Entries = tuple[Entry, ...]


class _Written(Struct, frozen=True):
    """What is remembered of a layer that was written: its descriptor and its diff ID."""

    descriptor: Descriptor
    diff_id: Digest


class _Made(Struct, frozen=True, kw_only=True):
    """What a step makes: entries, and what gives them with the places of their contents; None if it makes no layer."""

    placed: PlacedStep
    entries: _Entries = ()
    full: Callable[[], Awaitable[_Entries]] | None = None


class LateLayer(Struct, frozen=True, kw_only=True):
    """A layer that assembly adds: what names it by its entries, these, and what gives them with their contents.

    ``copy`` is the COPY that makes it, None for a WORKDIR.
    """

    key: str
    entries: _Entries
    full: Callable[[], Awaitable[_Entries]]
    copy: Copy | None


class LateSteps(Struct, frozen=True, kw_only=True):
    """An image's steps in their order, and the layers among them."""

    steps: tuple[ImageStep, ...]
    layers: tuple[LateLayer, ...]


class LateLayers:
    """Makes the layers of images' steps."""

    def __init__(self, shop: Workshop, cores: CoreMaker) -> None:
        self._shop = shop
        self._cores = cores

    async def steps(self, node: ImageNode, base: ReadyBase, cores: Mapping[int, ReadyCore]) -> LateSteps:
        """Return an image's steps, with their layers, in their order.

        Raises `NotExpressible` where only an engine knows the result, and `AssemblyError` where it would fail too.
        """
        steps: list[ImageStep] = []
        layers: list[LateLayer] = []
        for made in await self._make(place_steps(node, base.image), node, base, cores):
            written = None
            if made.full is not None:
                copy = made.placed.step.step.expanded
                layers.append(
                    LateLayer(
                        key=layer_key(made.entries),
                        entries=made.entries,
                        full=made.full,
                        copy=copy if isinstance(copy, Copy) else None,
                    )
                )
                written = await self._layer(layers[-1])
            steps.append(_image_step(made.placed, written))
        return LateSteps(steps=tuple(steps), layers=tuple(layers))

    async def look(self, node: ImageNode, base: ReadyBase, cores: Mapping[int, ReadyCore]) -> None:
        """Raise what `steps` would raise, without reading what is in the files."""
        await self._make(place_steps(node, base.image), node, base, cores)

    async def brought(self, node: ImageNode, base: ReadyBase, cores: Mapping[int, ReadyCore]) -> Brought:
        """Return what the copies bring that are left out of the middle of the base; raises as `steps` does."""
        made = await self._make(place_steps(node, base.image)[: len(node.hoisted)], node, base, cores)
        return Brought(layers=tuple((one.placed.probe.layers, one.entries) for one in made if one.placed.probe))

    async def _make(
        self, placed: Iterable[PlacedStep], node: ImageNode, base: ReadyBase, cores: Mapping[int, ReadyCore]
    ) -> list[_Made]:
        done: list[_Entries] = []
        made: list[_Made] = []
        for one in placed:
            if one.probe is None:
                made.append(_Made(placed=one))
                continue
            facts = base.facts[one.probe.key]
            below = await asyncio.to_thread(_apply, facts, done)
            entries, full = await self._entries(one, node, cores, _users(facts, done), below)
            done.append(entries)
            made.append(_Made(placed=one, entries=entries, full=full))
        return made

    async def _entries(
        self, one: PlacedStep, node: ImageNode, cores: Mapping[int, ReadyCore], users: Passwd | None, below: Tree
    ) -> tuple[_Entries, Callable[[], Awaitable[_Entries]]]:
        """Return a step's entries, and what gives them with the places of their contents."""
        step = one.step
        if step.kind is StepKind.WORKDIR:
            epoch = self._epoch(node)
            made = workdir_entries(workdir_path(step), below, step.step.user or None, users, epoch)
            return made, _constant(made)
        if step.kind is StepKind.CONTEXT_COPY:
            source = self._context_tree(node, step.step.expanded)
            spec = copy_spec(step)
            made = copy_entries(spec, source, below, epoch=self._shop.epoch, passwd=users)
            return made, _constant(made)
        assert step.source is not None  # noqa: S101  a late copy has a source
        core = cores[step.source]
        spec = copy_spec(step)

        async def full() -> _Entries:
            contents = await self._cores.contents(core)
            return copy_entries(spec, contents, below, epoch=self._shop.epoch, passwd=users)

        return copy_entries(spec, core.tree, below, epoch=self._shop.epoch, passwd=users), full

    def _context_tree(self, node: ImageNode, copy: object) -> Tree:
        assert isinstance(copy, Copy)  # noqa: S101  the caller looked
        context = self._shop.project.contexts[node.file]
        selected = context.select(copy.sources, copy.exclude, parents=copy.parents)
        if any(one.is_uncertain for one in selected):
            raise NotExpressible(
                f"`{' '.join(copy.sources)}` finds a link below a wildcard, which BuildKit may not follow"
            )
        return context_tree(selected, context.context.root, self._epoch(node))

    def _epoch(self, node: ImageNode) -> int:
        if self._shop.epoch is not None:
            return self._shop.epoch
        return node.epoch

    async def _layer(self, layer: LateLayer) -> LayerBlob:
        return await self._shop.once("layer", layer.key, lambda: self._write(layer.key, layer.full))

    async def _write(self, key: str, full: Callable[[], Awaitable[_Entries]]) -> LayerBlob:
        compression = self._shop.compression
        name = f"{key} {compression.value}"
        known = self._shop.state.recall("layer", name, _Written)
        path = self._shop.state.blobs.path_of(known.descriptor) if known else None
        if known is not None and path is not None:
            return LayerBlob(descriptor=known.descriptor, diff_id=known.diff_id, path=path)
        target = self._shop.folder / f"layer-{key[:24]}"
        parts = self._shop.parts
        blob = await asyncio.to_thread(write_layer, await full(), target, compression=compression, parts=parts)
        await self._shop.state.blobs.adopt(blob.path, blob.descriptor, is_checked=True)
        self._shop.tasks.create_task(self._remember(name, blob))
        return blob

    async def _remember(self, name: str, blob: LayerBlob) -> None:
        """Remember a layer for the next run, once it is on the disk; this run need not wait for that."""
        await asyncio.to_thread(sync, blob.path)
        self._shop.state.remember("layer", name, _Written(descriptor=blob.descriptor, diff_id=blob.diff_id))


def _image_step(one: PlacedStep, layer: LayerBlob | None) -> ImageStep:
    copy = one.step.step.expanded
    if not isinstance(copy, Copy) or layer is None:
        return _metadata_step(one, layer)
    text = copy_history(copy.sources, copy.destination, chown=copy.chown, chmod=copy.chmod, parents=copy.parents)
    return LayerStep(layer=layer, created_by=text, history_position=END if one.history is None else one.history)


def _metadata_step(one: PlacedStep, layer: LayerBlob | None) -> MetadataStep:
    instruction = one.step.step.expanded
    assert not isinstance(instruction, From | Run | Copy | Add)  # noqa: S101  these make files
    return MetadataStep(instruction=instruction, layer=layer, cmd_is_set=one.step.cmd_is_set)


def _apply(facts: Facts, done: list[_Entries]) -> Tree:
    tree = facts.tree()
    for entries in done:
        tree = apply_layer(tree, entries)
    return tree


def _users(facts: Facts, done: list[_Entries]) -> Passwd | None:
    """Return what explains names of users; None where an earlier step may have brought another passwd or group file."""
    brought = any(name_of(entry.path) in USER_FILES for entries in done for entry in entries)
    return None if brought else facts.users()


def _constant(entries: _Entries) -> Callable[[], Awaitable[_Entries]]:
    async def full() -> _Entries:
        return entries

    return full


def layer_key(entries: _Entries) -> str:
    """Return a digest of all that decides a layer's bytes: the same entries are the same layer in every variant."""
    plain = [replace(entry, content=None) for entry in entries]
    return hashlib.sha256(b"%d\n%s" % (_FORMAT, encode_json(plain))).hexdigest()
