"""[io] Cores: found in the cache, or compiled once and put there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from msgspec import Struct

from buildonce.assemble.archive import Want, scan_layer
from buildonce.assemble.core import normalise_core
from buildonce.assemble.decoys import make_decoy
from buildonce.assemble.tree import Tree, apply_layers
from buildonce.dockerfile.stages import StageGraph
from buildonce.events import Activity
from buildonce.oci import Digest
from buildonce.plan.nodes import CoreNode
from buildonce.plan.recipes import Key
from buildonce.run.built import read_built_core, read_exported_core
from buildonce.run.cache_places import address_of
from buildonce.run.core_results import core_details, core_name, store_core, without_contents
from buildonce.run.given import GivenFiles
from buildonce.run.jobs import derive_core, stage_context_name
from buildonce.run.layers import Stack
from buildonce.run.workshop import Order, Workshop
from buildonce.store.feeding import read_in_thread
from buildonce.store.layout import LayoutStore
from buildonce.store.protocol import Store
from buildonce.store.results import Result

_NO_TIMES = "core without times"


class ReadyCore(Struct, frozen=True, kw_only=True):
    """A core that is at hand.

    ``tree`` has its files, without the places of their bytes. ``stored`` is the core in the cache, or on its way
    there. ``local`` is the tree of a core that this run compiled, with the places of the bytes.
    """

    node: CoreNode
    tree: Tree
    stored: asyncio.Task[Result] | Result
    local: Tree | None = None

    @property
    def compiled(self) -> bool:
        """Say whether this run made it."""
        return self.local is not None

    async def result(self) -> Result:
        """Return the core in the cache, when it is there."""
        return self.stored if isinstance(self.stored, Result) else await self.stored

    async def content(self) -> Digest:
        """Return the digest of its normalised archive: two cores with the same content are the same to every image."""
        return core_details(await self.result()).content


class CoreMaker:
    """Finds or makes the cores of a plan, each once."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop

    async def get(self, key: Key) -> ReadyCore:
        """Return the core; raise `NotCompiled` if it is missing and may not be compiled."""
        return await self._shop.once("core", key, lambda: self._get(self._shop.plan.cores[key]))

    async def contents(self, core: ReadyCore) -> Tree:
        """Return the core's files with the places of their bytes, in a local file."""
        if core.local is not None:
            return core.local
        return await self._shop.once("core contents", core.node.key, lambda: self._unpack(core))

    async def named_contexts(self, graph: StageGraph, cores: Mapping[int, Key]) -> Mapping[str, str]:
        """Return the named contexts that put cores in the place of their stages."""
        return await self._contexts(
            graph, {stage: await self.get(key) for stage, key in cores.items()}, self._shop.cache
        )

    async def decoys(
        self, graph: StageGraph, cores: Mapping[int, Key]
    ) -> tuple[Mapping[int, ReadyCore], Mapping[str, str]]:
        """Return cores with the same names, types and modes but other contents, and their named contexts."""
        store = LayoutStore(self._shop.folder / "decoys")
        found = {}
        for stage, key in cores.items():
            core = await self.get(key)
            found[stage] = await self._shop.once("decoy", key, partial(self._decoy, core, store))
        return found, await self._contexts(graph, found, store)

    async def _decoy(self, core: ReadyCore, store: Store) -> ReadyCore:
        """Return a core's decoy, in a store of its own."""
        path = self._shop.folder / f"decoy-{core.node.key[:16]}"
        tree, contents = await asyncio.to_thread(make_decoy, core.tree, path)
        await asyncio.to_thread(path.write_bytes, contents)
        target = path.with_suffix(".layer")
        stored = await store_core(core.node, tree, 0.0, store=store, target=target, parts=self._shop.parts)
        return ReadyCore(node=core.node, tree=tree, stored=stored, local=tree)

    async def _contexts(self, graph: StageGraph, cores: Mapping[int, ReadyCore], store: Store) -> Mapping[str, str]:
        return {
            stage_context_name(graph, stage): await address_of(store, (await core.result()).stored.digest)
            for stage, core in cores.items()
        }

    async def _get(self, node: CoreNode) -> ReadyCore:
        turn = self._shop.turn(core_name(node).tag)
        is_own = self._shop.permit.cores is None or node.key in self._shop.permit.cores
        found = await self._shop.find(core_name(node), is_own=is_own or node.given)
        if found is not None:
            return await self._ready(node, found)
        if node.given:
            return await self._compile(node)
        is_anew = self._shop.anew.covers(core_name(node))
        why = "is to be made anew (no-cache)" if is_anew else f"is not in {self._shop.cache.name}"
        self._shop.permit.check_core(node, why)
        await self._shop.take(turn, str(node))
        try:
            # Another run that had its turn meanwhile most likely compiled this core.
            found = await self._shop.find(core_name(node), is_own=True) if turn.is_late() else None
            core = await self._ready(node, found) if found else await self._compile(node)
        except BaseException:
            turn.end()
            raise
        if isinstance(core.stored, Result):
            turn.end()
        else:
            core.stored.add_done_callback(lambda _: turn.end())
        return core

    async def _ready(self, node: CoreNode, found: Result) -> ReadyCore:
        details = core_details(found)
        layer = found.manifest.layers[0]
        entries = details.entries
        if entries is None:
            stack = Stack(source=self._shop.cache, layers=(layer,), diff_ids=(details.content,))
            entries = (await self._shop.layers.read(stack))[0].entries
        return ReadyCore(node=node, tree=apply_layers([entries]), stored=found)

    async def _compile(self, node: CoreNode) -> ReadyCore:
        tree, seconds = await self._make(node)
        # What is copied from the core need not wait until the core is packed and stored.
        storing = self._shop.tasks.create_task(self._store(node, tree, seconds))
        self._shop.tasks.create_task(self._shop.keep_account(lambda: self._shop.accountant.core(node), seconds))
        plain = Tree({entry.path: entry for entry in without_contents(tree, names=True)})
        return ReadyCore(node=node, tree=plain, stored=storing, local=tree)

    async def _store(self, node: CoreNode, tree: Tree, seconds: float) -> Result:
        stored = await store_core(
            node,
            tree,
            seconds,
            store=self._shop.cache,
            target=self._shop.folder / f"core-{node.key[:16]}.layer",
            parts=self._shop.parts,
            compression=self._shop.compression,
        )
        return self._shop.note(stored, core_name(node))

    async def _make(self, node: CoreNode) -> tuple[Tree, float]:
        """Have the engine compile the core; return its normalised files, and the engine's seconds.

        An export is quicker than an image but rounds times, so it is chosen where no file had a time of its own when
        this core was compiled here last, and believed if none has one now.
        """
        if node.given:
            return await asyncio.to_thread(self._given(node).tree, node.paths, node.epoch), 0.0
        order = await self._order(node)
        place = f"{self._shop.project.context_root(node.file).resolve()} {node}"
        if self._shop.state.recall(_NO_TIMES, place, bool):
            exported = await self._shop.export(order)
            files = await asyncio.to_thread(read_exported_core, exported)
            if _has_no_times(files, node):
                return normalise_core(files, epoch_limit=node.epoch), exported.seconds
        built = await self._shop.build(order, compress=False)
        files = await read_built_core(built)
        self._shop.state.remember(_NO_TIMES, place, _has_no_times(files, node))
        return normalise_core(files, epoch_limit=node.epoch), built.seconds

    def _given(self, node: CoreNode) -> GivenFiles:
        files = self._shop.request.files[node.file].given[node.name][node.target]
        assert isinstance(files, GivenFiles)  # noqa: S101  what `given` opens
        return files

    async def _order(self, node: CoreNode) -> Order:
        graph = self._shop.graphs[(node.file, node.target)]
        return Order(
            derived=derive_core(graph, node),
            activity=Activity.COMPILE,
            node=str(node),
            file=node.file,
            stage=node.stage,
            platform=node.target,
            reason=self._shop.absence(core_name(node)),
            contexts=await self.named_contexts(graph, node.needs),
            files=self._shop.plan.files_of(node),
        )

    async def _unpack(self, core: ReadyCore) -> Tree:
        result = await core.result()
        target = self._shop.folder / f"core-{core.node.key[:16]}.tar"
        diff_id = core_details(result).content
        chunks = self._shop.cache.read_blob(result.manifest.layers[0])
        layer = await read_in_thread(
            chunks, lambda stream: scan_layer(stream, Want(contents_path=target, digest=False), diff_id=diff_id)
        )
        return apply_layers([layer.entries])


def _has_no_times(files: Tree, node: CoreNode) -> bool:
    """Say whether every file is newer than what `normalise_core` allows: then no file keeps its own time."""
    return all(entry.mtime > node.epoch for entry in files.values())
