"""[io] A whole run: resolve, plan, make what is missing, assemble, publish."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from buildonce.assemble.compression import Compression
from buildonce.assemble.parts import Parts
from buildonce.engines.protocol import Engine
from buildonce.events import Activity, Emit, Warned
from buildonce.oci import Digest
from buildonce.plan.accounts import Accountant
from buildonce.plan.core_titles import core_titles
from buildonce.plan.nodes import ImageNode
from buildonce.plan.recipes import Key
from buildonce.run.anew import find_anew
from buildonce.run.bases import BaseMaker
from buildonce.run.core_results import core_name
from buildonce.run.cores import CoreMaker
from buildonce.run.engine_queue import ENGINE_JOBS, EngineQueue
from buildonce.run.fitting import FitChecker, load_judge, require_fit
from buildonce.run.images import ImageMaker, ReadyImage
from buildonce.run.late_layers import LateLayers
from buildonce.run.layers import LayerReader
from buildonce.run.outcome import ImageOutcome, Outcome, Traffic
from buildonce.run.permits import EVERYTHING, Permit
from buildonce.run.planned import Planned
from buildonce.run.proving import Prover
from buildonce.run.releasing import staged_record, tag_release, warn_of_unfinished
from buildonce.run.resolving import OpenRepository
from buildonce.run.state import State
from buildonce.run.workshop import Workshop
from buildonce.ship.annotations import INDEX, annotations_for
from buildonce.ship.family import Family
from buildonce.ship.publication import Publisher
from buildonce.ship.release import Release, VariantIndex, index_images
from buildonce.store.protocol import Store
from buildonce.store.registry import RegistrySession
from buildonce.tasks import Tasks, together

_STARTING = 0.5
"""Seconds after which an engine that was found is surely at work."""


class Options(Struct, frozen=True, kw_only=True):
    """How a run goes. ``tags`` are each variant's; ``epoch`` is SOURCE_DATE_EPOCH in seconds, if set.

    ``unchecked`` are the variants of which it does not matter whether their programs run. With ``stage_only``
    everything is published by digest, and no tag moves. ``compression`` is that of the layers that are made. With
    ``reprove`` no earlier proof is believed. ``permit`` says what may be made, ``pins`` which results are used; see
    `Workshop`.
    """

    tags: Mapping[str, tuple[str, ...]]
    epoch: int | None = None
    permit: Permit = EVERYTHING
    pins: Mapping[str, Digest] | None = None
    unchecked: frozenset[str] = frozenset()
    stage_only: bool = False
    compression: Compression = Compression.GZIP
    reprove: bool = False


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a run works with: stores, this machine's memory, the network, the engine, and who is told what happens.

    ``engine_jobs`` is how many builds the engine is given at once.
    """

    state: State
    session: RegistrySession
    open_repository: OpenRepository
    cache: Store
    emit: Emit
    find_engine: Callable[[], Awaitable[Engine]]
    engine_jobs: int = ENGINE_JOBS


@dataclass(slots=True)
class _Watch:
    """The seconds that each phase took."""

    started: float = field(default_factory=time.monotonic)
    phases: dict[str, float] = field(default_factory=dict)
    last: float = field(default_factory=time.monotonic)

    def lap(self, phase: str) -> None:
        now = time.monotonic()
        self.phases[phase] = now - self.last
        self.last = now

    def total(self) -> Mapping[str, float]:
        return {**self.phases, "total": time.monotonic() - self.started}


async def build_project(
    planned: Planned, options: Options, around: Surroundings, targets: Mapping[str, Store]
) -> Outcome:
    """Make every image of the plan and publish them to ``targets`` (by variant), all or none.

    Raises `NotCompiled`, `EngineFailed`, `StoreError` and the like; no tag has moved then, unless the message says so.
    """
    watch = _Watch()
    names = {variant: store.name for variant, store in targets.items()}
    warn_of_unfinished(around.state.journal, names.values(), around.emit)
    with around.state.work_folder() as folder:
        async with _family(targets, options, around.state) as family, AsyncExitStack() as pushing:
            async with Tasks() as tasks:
                shop = open_workshop(
                    planned,
                    options,
                    around,
                    folder=folder,
                    tasks=tasks,
                    find_engine=partial(_find_engine, around),
                )
                ready = await _make_images(shop, family, options)
                warnings = require_fit((one.node, one.fit) for one in ready)
                for warning in warnings:
                    around.emit(Warned(message=warning))
                watch.lap("make")
                release = _release(ready, options)
                said = await pushing.enter_async_context(shop.activity(Activity.PUSH, _label(names)))
                await family.send(release)
            # By now every result is in the cache, and every image complete in its target.
            if options.stage_only:
                published = family.published(release)
            else:
                published = await tag_release(release, family, around.state.journal, names, around.emit)
            said.append(f"{len(published.sent)} images, {len(published.blobs)} blobs")
        watch.lap("ship")
    return Outcome(
        target=_label(names),
        images=tuple(_image_outcome(one, published.sent, shop) for one in ready),
        tags=() if options.stage_only else published.tags,
        record=staged_record(release, family, names) if options.stage_only else None,
        engine_runs=tuple(shop.engine_runs),
        proofs=tuple(shop.proofs),
        traffic=Traffic(
            requests=sum(around.session.requests.values()),
            bytes_up=around.session.bytes_up,
            bytes_down=around.session.bytes_down,
        ),
        seconds=watch.total(),
        warnings=(*planned.plan.warnings, *warnings),
    )


def open_workshop(
    planned: Planned,
    options: Options,
    around: Surroundings,
    *,
    folder: Path,
    tasks: Tasks,
    find_engine: Callable[[], Awaitable[Engine]],
) -> Workshop:
    """Return the tools of a run whose files are in ``folder``, while ``tasks`` are running."""
    return Workshop(
        project=planned.project,
        request=planned.request,
        graphs=planned.graphs,
        images=planned.images,
        plan=planned.plan,
        state=around.state,
        cache=around.cache,
        open_repository=around.open_repository,
        folder=folder,
        layers=LayerReader(),
        parts=Parts(folder),
        accountant=Accountant(planned.request, planned.graphs, planned.images),
        emit=around.emit,
        tasks=tasks,
        find_engine=find_engine,
        core_titles=core_titles(planned.plan, planned.graphs, planned.project.places),
        engine_queue=EngineQueue(around.engine_jobs),
        epoch=options.epoch,
        permit=options.permit,
        pins=options.pins,
        compression=options.compression,
        reprove=options.reprove,
        anew=find_anew(planned.plan, planned.request, planned.graphs),
    )


async def _find_engine(around: Surroundings) -> Engine:
    """Find the engine, and load what is needed after it while it works; sooner, that would delay its start."""
    engine = await around.find_engine()
    loop = asyncio.get_running_loop()
    loop.call_later(_STARTING, loop.run_in_executor, None, load_judge)
    return engine


async def _make_images(shop: Workshop, family: Family, options: Options) -> list[ReadyImage]:
    """Make every image; what is surely new is on its way to the target while others are still made."""
    cores = CoreMaker(shop)
    late = LateLayers(shop, cores)
    bases = BaseMaker(shop, Prover(shop, cores, late))
    images = ImageMaker(shop, cores, bases, late, FitChecker(shop, cores, bases, options.unchecked))
    shop.find_linked = images.linked

    async def make(node: ImageNode) -> ReadyImage:
        ready = await images.get(node)
        if not ready.fit.is_severe:
            shop.tasks.create_task(family.send_early(ready.image, node.variant, options.tags[node.variant]))
        return ready

    return await together(make(node) for node in shop.plan.images)


def _release(ready: list[ReadyImage], options: Options) -> Release:
    by_variant: dict[str, list[ReadyImage]] = {}
    for one in ready:
        by_variant.setdefault(one.node.variant, []).append(one)
    indexes: tuple[VariantIndex, ...] = tuple(
        index_images(
            variant,
            options.tags[variant],
            tuple(one.image for one in images),
            annotations_for(images[0].node.marks.annotations, INDEX),
        )
        for variant, images in by_variant.items()
    )
    return Release(indexes=indexes)


@asynccontextmanager
async def _family(targets: Mapping[str, Store], options: Options, state: State) -> AsyncIterator[Family]:
    """Give what publishes, and remember what the targets hold afterwards, even after a failure."""
    stores = {store.name: store for store in targets.values()}
    publishers: dict[str, Publisher] = {}
    for name, store in stores.items():
        receipt = await asyncio.to_thread(state.receipts.load, name)
        # A record says where the tags point now, so a receipt's word is not enough.
        publishers[name] = Publisher(store, replace(receipt, tags={}) if options.stage_only else receipt)
    try:
        yield Family({variant: publishers[store.name] for variant, store in targets.items()})
    finally:
        for publisher in publishers.values():
            await asyncio.to_thread(state.receipts.save, publisher.receipt)


def _label(names: Mapping[str, str]) -> str:
    distinct = sorted(set(names.values()))
    return distinct[0] if len(distinct) == 1 else f"{distinct[0]} and {len(distinct) - 1} more"


def _image_outcome(one: ReadyImage, sent: frozenset[Digest], shop: Workshop) -> ImageOutcome:
    digest = one.image.descriptor.digest
    return ImageOutcome(
        variant=one.node.variant,
        platform=one.node.platform,
        made=one.made,
        verdict=one.verdict,
        reason=one.reason,
        digest=digest,
        pushed=digest in sent,
        checked=one.fit.checked,
        compile_seconds=_compile_seconds(one.node, shop),
    )


def _compile_seconds(image: ImageNode, shop: Workshop) -> float:
    """Return how long the cores of an image, and those that they need, were compiled, as their records have it."""
    found: dict[Key, float] = {}
    waiting = list(image.cores.values())
    while waiting:
        node = shop.plan.cores[waiting.pop()]
        if node.key not in found:
            result = shop.results.get(core_name(node).tag)
            found[node.key] = result.record.seconds if result else 0.0
            waiting += node.needs.values()
    return sum(found.values())
