"""[io] What a plan decides for jobs on other machines: what of the cache they can use by its records alone.

Nothing is made, no engine is started, and no layer of a base is read.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from buildonce.assemble.entries import NotExpressible
from buildonce.oci import parse_platform
from buildonce.plan.nodes import ImageNode
from buildonce.plan.recipes import Key
from buildonce.plan.verdicts import VerdictKind
from buildonce.run.anew import find_anew
from buildonce.run.base_records import ReadyBase, base_name
from buildonce.run.bases import BaseMaker
from buildonce.run.building import Options, Surroundings, open_workshop
from buildonce.run.core_results import core_details, core_name
from buildonce.run.cores import CoreMaker
from buildonce.run.image_results import image_name, recipe_with
from buildonce.run.inspection import Action, Finding, Inspection, inspect_plan
from buildonce.run.last_results import last_seconds
from buildonce.run.late_layers import LateLayers
from buildonce.run.permits import NOTHING
from buildonce.run.planned import Planned
from buildonce.run.proving import Prover
from buildonce.run.workshop import Workshop
from buildonce.store.protocol import Source, Store
from buildonce.store.registry import RegistryStore
from buildonce.store.results import Result, ResultName
from buildonce.tasks import Tasks, together


class Decision(Struct, frozen=True, kw_only=True):
    """A plan held against a cache, for other machines.

    ``unready`` are bases in the cache that have to be looked at again, and why; ``unfinished`` images (variant and
    platform) on usable bases, with all their cores there, that an engine has something to do for, and why. ``seconds``
    are estimates from earlier results, by a node's key or an image's name. ``results`` are those that were found.
    """

    planned: Planned
    inspection: Inspection
    unready: Mapping[Key, str]
    unfinished: Mapping[str, str]
    seconds: Mapping[str, float]
    results: Mapping[str, Result]


async def decide(planned: Planned, options: Options, around: Surroundings, targets: Mapping[str, Store]) -> Decision:
    """Return what there is to do for a plan, whose images go to ``targets`` (by variant).

    Raises `StoreError` when the cache or a target cannot be asked.
    """
    anew = find_anew(planned.plan, planned.request, planned.graphs)
    inspection = await inspect_plan(planned.plan, around.cache, anew=anew)
    with around.state.work_folder() as folder:
        async with Tasks() as tasks:
            shop = open_workshop(planned, options, around, folder=folder, tasks=tasks, find_engine=around.find_engine)
            shop.permit, shop.pins = NOTHING, {}
            shop.results.update(_found(inspection))
            judge = _Judge(shop, inspection, targets)
            unready = await judge.unready()
            unfinished = await judge.unfinished()
    return Decision(
        planned=planned,
        inspection=inspection,
        unready=unready,
        unfinished=unfinished,
        seconds=await _estimate(inspection, around.cache),
        results=dict(shop.results),
    )


class _Judge:
    def __init__(self, shop: Workshop, inspection: Inspection, targets: Mapping[str, Store]) -> None:
        self._shop = shop
        self._targets = targets
        self._inspection = inspection
        self._cores = CoreMaker(shop)
        self._late = LateLayers(shop, self._cores)
        self._prover = Prover(shop, self._cores, self._late)
        self._bases = BaseMaker(shop, self._prover)
        self._ready: dict[Key, ReadyBase] = {}

    async def unready(self) -> Mapping[Key, str]:
        """Return the bases in the cache that cannot be used by their records alone."""
        found = {key: one.result for key, one in self._inspection.bases.items() if one.result is not None}
        reasons = await together(self._look(key, result) for key, result in found.items())
        return {key: reason for key, reason in zip(found, reasons, strict=True) if reason}

    async def unfinished(self) -> Mapping[str, str]:
        """Return the images that assembly from what is there does not give."""
        nodes = [node for node, _ in self._inspection.images if self._is_there(node)]
        reasons = await together(self._judge(node) for node in nodes)
        return {str(node): reason for node, reason in zip(nodes, reasons, strict=True) if reason}

    async def _look(self, key: Key, result: Result) -> str:
        base = await self._bases.look(self._shop.plan.bases[key], result)
        if base is None:
            return "what is in the cache is not the whole of it"
        try:
            reason = self._bases.lack(base)
        except NotExpressible as error:
            return error.message
        if not reason and base.disproof is None:
            self._ready[key] = base
            return await self._absent(base)
        return reason

    async def _absent(self, base: ReadyBase) -> str:
        """Return in which registry a base's layers are not, where they cannot be mounted either; nothing if in none."""
        variants = {node.variant for node in self._shop.plan.users_of(base.node.key)} & self._targets.keys()
        stores = {self._targets[variant].name: self._targets[variant] for variant in sorted(variants)}
        near = {origin.registry for origin in base.origins}
        for name, store in stores.items():
            if not isinstance(store, RegistryStore) or store.repository.registry in near or not base.blobs():
                continue
            if not all(await together(store.has_blob(blob.descriptor) for blob in base.blobs())):
                return f"its layers are not in {name} yet"
        return ""

    def _is_there(self, node: ImageNode) -> bool:
        cores = (self._inspection.cores[key] for key in node.cores.values())
        is_assembled = node.verdict.kind is not VerdictKind.ENGINE and node.base in self._ready
        return is_assembled and all(core.result is not None for core in cores)

    async def _judge(self, node: ImageNode) -> str:
        base = self._ready[node.base]
        try:
            if base.node.needs_proof and not await self._prover.is_proven(base, node):
                return "nothing proves yet that its base is the same with what its cores bring now"
            cores = await together(self._cores.get(key) for key in node.cores.values())
            await self._late.look(node, base, dict(zip(node.cores, cores, strict=True)))
        except NotExpressible as error:
            contents = [core_details(self._result(key)).content for _, key in sorted(node.cores.items())]
            is_known = await self._shop.find(image_name(node, recipe_with(node, contents)), is_own=True)
            return "" if is_known else error.message
        return ""

    def _result(self, key: Key) -> Result:
        result = self._inspection.cores[key].result
        assert result is not None  # noqa: S101  `_is_there` looked
        return result


def _found(inspection: Inspection) -> Mapping[str, Result]:
    plan = inspection.plan
    found = {core_name(plan.cores[key]).tag: one.result for key, one in inspection.cores.items()}
    found |= {base_name(plan.bases[key]).tag: one.result for key, one in inspection.bases.items()}
    found |= {_tag_of(one.result): one.result for _, one in inspection.images if one.result is not None}
    return {tag: result for tag, result in found.items() if result is not None}


def _tag_of(result: Result) -> str:
    record = result.record
    return ResultName(kind=record.kind, name=record.name, platform=parse_platform(record.platform), key=record.key).tag


async def _estimate(inspection: Inspection, cache: Source) -> Mapping[str, float]:
    """Return how long an engine took for each node, else for what was last built under its name."""
    plan = inspection.plan
    asked = [
        *((key, "core", plan.cores[key].name, plan.cores[key].platform, one) for key, one in inspection.cores.items()),
        *((key, "base", plan.bases[key].name, plan.bases[key].platform, one) for key, one in inspection.bases.items()),
        *((str(node), "image", node.variant, node.platform, one) for node, one in inspection.images),
    ]
    wanted = [one for one in asked if _is_to_make(one[-1])]
    last = await together(
        last_seconds(cache, kind=kind, name=name, platform=str(platform)) for _, kind, name, platform, _ in wanted
    )
    known = {key: finding.seconds for key, _, _, _, finding in asked if finding.seconds is not None}
    return known | {key: seconds for (key, *_), seconds in zip(wanted, last, strict=True) if seconds is not None}


def _is_to_make(finding: Finding) -> bool:
    return finding.seconds is None and finding.action in (Action.COMPILE, Action.BUILD)
