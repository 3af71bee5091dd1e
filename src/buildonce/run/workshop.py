"""What the makers of a run share: the plan, the stores, the engine, one run's folder and its record of events."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from buildonce.assemble.compression import Compression
from buildonce.assemble.config import decode_config
from buildonce.assemble.parts import Parts
from buildonce.build_options import BuildOptions, join_options
from buildonce.dockerfile.stages import ImageSource, StageGraph, TargetSource, chain, reachable
from buildonce.engines.handing import scope_caches
from buildonce.engines.protocol import BuildJob, Built, Engine, Exported
from buildonce.engines.shared_steps import find_steps
from buildonce.errors import EngineUnavailable, StoreError
from buildonce.events import Activity, Emit, Finished, Started
from buildonce.oci import Descriptor, Digest, Platform
from buildonce.plan.accounts import Account, Accountant
from buildonce.plan.core_titles import Titles
from buildonce.plan.file_plans import Images, images_needed
from buildonce.plan.linking import Graphs, find_home
from buildonce.plan.nodes import Plan
from buildonce.plan.sources import Home, Request, SourceFile
from buildonce.run.anew import Anew, absence
from buildonce.run.engine_queue import EngineQueue, Wish
from buildonce.run.git import head
from buildonce.run.jobs import Derived, given_contexts, pinned_contexts, platform_arguments
from buildonce.run.last_results import keep_last
from buildonce.run.layers import LayerReader
from buildonce.run.original_layers import diff_ids
from buildonce.run.outcome import EngineRun, ProofOutcome
from buildonce.run.permits import EVERYTHING, Permit
from buildonce.run.project import Project
from buildonce.run.resolving import OpenRepository
from buildonce.run.state import State
from buildonce.run.turns import Turn
from buildonce.store.layout import LayoutStore
from buildonce.store.protocol import Source, Store
from buildonce.store.results import Result, ResultName, find_result, read_result
from buildonce.tasks import Tasks

SMALL = 16 * 1024 * 1024
"""The largest image config that is read, in bytes."""

_T = TypeVar("_T")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is wanted for: a derived Dockerfile's target, why, and what stands in for its stages.

    ``file`` and ``stage`` say where it was derived from; they decide the context and the external images. With
    ``is_whole`` nothing stands in for any stage, and all that it takes from other targets is at hand for it.
    """

    derived: Derived
    activity: Activity
    node: str
    file: int
    stage: int
    platform: Platform
    reason: str
    contexts: Mapping[str, str] = msgspec.field(default_factory=dict)
    files: tuple[int, ...] = ()
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    is_whole: bool = False


class LinkedImage(msgspec.Struct, frozen=True, kw_only=True):
    """The image of a target that others take from: its address for an engine, and its config."""

    address: str
    config: bytes


@dataclass(slots=True, kw_only=True)
class Workshop:
    """One run's tools.

    ``epoch`` is SOURCE_DATE_EPOCH, if it is set; ``find_engine`` is called when one is needed; with ``reprove`` the
    proofs that a cache has are not believed. ``pins`` has the digest of each result, by its tag, that was decided
    before this run: only what ``permit`` has this run make is looked up by a tag then. ``results`` are those
    that were found or put into the cache, by tag; ``find_linked`` gives the images of targets that others are built on.
    """

    project: Project
    request: Request
    graphs: Graphs
    images: Images
    plan: Plan
    state: State
    cache: Store
    open_repository: OpenRepository
    folder: Path
    layers: LayerReader
    parts: Parts
    accountant: Accountant
    emit: Emit
    tasks: Tasks
    find_engine: Callable[[], Awaitable[Engine]]
    core_titles: Titles
    engine_queue: EngineQueue
    epoch: int | None = None
    permit: Permit = EVERYTHING
    pins: Mapping[str, Digest] | None = None
    compression: Compression = Compression.GZIP
    reprove: bool = False
    anew: Anew = field(default_factory=Anew)
    find_linked: Callable[[Home], Awaitable[LinkedImage]] | None = None
    engine_runs: list[EngineRun] = field(default_factory=list)
    proofs: list[ProofOutcome] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)
    _once: dict[tuple[str, object], asyncio.Task[Any]] = field(default_factory=dict)
    _number: int = 0

    async def once(self, kind: str, key: object, make: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Return what ``make`` makes for ``key``; it is made once, however many ask."""
        task = self._once.get((kind, key))
        if task is None:
            task = self._once[(kind, key)] = self.tasks.create_task(make())
        # Whoever gives up asking does not end it for the others.
        result: _T = await asyncio.shield(task)
        return result

    @asynccontextmanager
    async def activity(self, activity: Activity, node: str, reason: str = "") -> AsyncIterator[list[str]]:
        """Report the work inside; what is put into the list is its result."""
        self.emit(Started(activity=activity, node=node, reason=reason))
        started = time.monotonic()
        result: list[str] = []
        yield result
        seconds = time.monotonic() - started
        self.emit(Finished(activity=activity, node=node, seconds=seconds, result=" ".join(result)))

    async def find(self, name: ResultName, *, is_own: bool) -> Result | None:
        """Return a result from the cache; one that another job makes (not ``is_own``) by its digest alone.

        What is there counts for nothing where the run makes it anew.
        """
        if name.tag in self.results:
            return self.results[name.tag]
        pinned = (self.pins or {}).get(name.tag)
        if pinned is not None:
            stored = await self.cache.get_manifest(pinned)
            found = read_result(stored, name) if stored else None
        elif (self.pins is not None and not is_own) or self.anew.covers(name):
            return None
        else:
            found = await find_result(self.cache, name)
        return self.note(found, name) if found else None

    def note(self, result: Result, name: ResultName) -> Result:
        """Remember which result it is that this run works with; return it."""
        self.results[name.tag] = result
        return result

    async def keep_account(self, make: Callable[[], Account], seconds: float) -> None:
        """Keep in the cache what the key of a new result covers, for those who ask why the next one is another."""
        account = await asyncio.to_thread(make)
        commit = await asyncio.to_thread(head, self.project.context_root(0))
        await keep_last(self.cache, replace(account, seconds=seconds, commit=commit))

    @property
    def engine_is_wanted(self) -> bool:
        """Say whether something that this run needs was not there and is an engine's to make."""
        return ("engine", None) in self._once

    def turn(self, name: str) -> Turn:
        """Return the turn to make the result with this tag: among runs on this machine, or with this cache on disk."""
        if isinstance(self.cache, LayoutStore):
            return Turn(self.cache.path / ".turns", name)
        return Turn(self.state.turns, f"{self.cache.name} {name}")

    async def take(self, turn: Turn, node: str) -> None:
        """Take a turn; wait if another run has it."""
        if isinstance(self.cache, LayoutStore):
            self.cache.prepare()
        if not turn.try_take():
            async with self.activity(Activity.WAIT, node, "another run is at it"):
                await turn.wait()

    async def small_blob(self, source: Source, descriptor: Descriptor) -> bytes:
        """Return a config's bytes, from this machine's memory if it has them."""
        if descriptor.size > SMALL:
            raise StoreError(f"the config {descriptor.digest} has {descriptor.size} bytes, more than any image needs")
        known = await asyncio.to_thread(self.state.read_small, descriptor.digest)
        if known is None:
            known = b"".join([chunk async for chunk in source.read_blob(descriptor)])
            await asyncio.to_thread(self.state.keep_small, known)
        return known

    async def build(self, order: Order, *, compress: bool = True) -> Built:
        """Have the engine build an image; external images are those that the plan resolved."""
        engine: Engine = await self.once("engine", None, lambda: self._engine(order))
        job = self._job(order, await self._linked(order), compress=compress)
        async with self._turn(engine, order, job), self.activity(order.activity, order.node, order.reason):
            built = await engine.build(job)
        self._record(order, built.seconds)
        return built

    async def export(self, order: Order) -> Exported:
        """Have the engine build files; see `Engine.export`."""
        engine: Engine = await self.once("engine", None, lambda: self._engine(order))
        job = self._job(order, await self._linked(order))
        async with self._turn(engine, order, job), self.activity(order.activity, order.node, order.reason):
            exported = await engine.export(job)
        self._record(order, exported.seconds)
        return exported

    def _turn(self, engine: Engine, order: Order, job: BuildJob) -> AbstractAsyncContextManager[None]:
        """Return the turn of a job: what images wait for goes before the images."""
        goes_first = order.activity is Activity.COMPILE
        return self.engine_queue.turn(Wish(steps=find_steps(job), repeats=engine.repeats(job), goes_first=goes_first))

    async def _linked(self, order: Order) -> Mapping[str, LinkedImage]:
        """Return the images of the targets that an order is built on, by the names of their contexts.

        What it copies or mounts from others are cores, unless it is whole.
        """
        graph: StageGraph = self.graphs[(order.file, order.platform)]
        stage = graph.stages[order.stage]
        members = reachable(graph, stage) if order.is_whole else chain(graph, stage)[:1]
        found = {}
        for source in (member.linked for member in members):
            if source is not None:
                assert self.find_linked is not None, "an empty folder would stand for a target"  # noqa: S101
                found[source.name] = await self.find_linked(find_home(self.request, order.file, source))
        return found

    def _job(self, order: Order, linked: Mapping[str, LinkedImage], *, compress: bool = True) -> BuildJob:
        derived, request = order.derived, self.request
        graph: StageGraph = self.graphs[(order.file, order.platform)]
        images = tuple(self.images[needed] for needed in sorted(images_needed(graph, order.stage)))
        file = request.files[order.file]
        given = given_contexts(file.named_contexts, images)
        self._number += 1
        output = self.folder / f"build-{self._number}"
        output.mkdir()
        return BuildJob(
            activity=order.activity,
            node=order.node,
            dockerfile=derived.text,
            ignore=self.project.ignore_text(order.file),
            context=self.project.context_root(order.file),
            target=derived.target,
            platform=order.platform,
            output=output,
            build_args={**platform_arguments(derived.text, request.build_platform), **file.build_args},
            named_contexts={
                **pinned_contexts(images),
                **given,
                **self._unused_links(graph),
                **{name: image.address for name, image in linked.items()},
                **order.contexts,
            },
            options=self._options(order),
            labels=order.labels,
            compress=compress,
            path=graph.dockerfile.path,
            own_lines=graph.dockerfile.text.count("\n") + 1,
            stage=graph.stages[order.stage].label,
            known_layers=frozenset(diff_id for image in images for diff_id in diff_ids(image.config_content)),
            known_history=self._known_history(graph, order.stage, linked),
        )

    def _options(self, order: Order) -> BuildOptions:
        """Return what the engine is told; only what is compiled is kept in its own cache elsewhere."""
        options = join_options([self.request.files[file].options for file in order.files or (order.file,)])
        if order.activity is Activity.COMPILE:
            return scope_caches(options, self._scope(order), order.platform)
        # What a proof builds is beside what was built just now.
        is_proof = order.activity is Activity.PROVE
        filtered = () if is_proof else options.no_cache_filter
        return replace(
            options, cache_from=(), cache_to=(), no_cache=options.no_cache and not is_proof, no_cache_filter=filtered
        )

    def _scope(self, order: Order) -> str:
        """Return what tells the engine's cache of a stage from those of others: where several have its name, its file.

        Of the file, it is where it lies and what it is given that counts, so that the next run finds the same.
        """
        label = self.graphs[(order.file, order.platform)].stages[order.stage].label
        files = [file for file in self.request.files if label in _labels(file)]
        if len(files) < 2:
            return label
        file = self.request.files[order.file]
        named = (self.project.places[order.file], file.folder, sorted(file.build_args.items()))
        return f"{label}-{hashlib.sha256(msgspec.json.encode(named)).hexdigest()[:8]}"

    def absence(self, name: ResultName) -> str:
        """Return why no earlier result is taken that is not there, or does not count."""
        return absence(self.anew, name, self.cache.name)

    def _unused_links(self, graph: StageGraph) -> Mapping[str, str]:
        """Return an empty folder for each link: BuildKit looks all names up, also in stages that nothing needs."""
        nothing = self.folder / "nothing"
        names = {stage.linked.name for stage in graph.stages if stage.linked}
        if names:
            nothing.mkdir(exist_ok=True)
        return dict.fromkeys(names, str(nothing))

    def _known_history(self, graph: StageGraph, stage: int, linked: Mapping[str, LinkedImage]) -> int:
        base = chain(graph, graph.stages[stage])[0].base
        if isinstance(base, TargetSource):
            return len(decode_config(linked[base.name].config).get("history") or ())
        return self.images[(base.name, base.platform)].history_length if isinstance(base, ImageSource) else 0

    def _record(self, order: Order, seconds: float) -> None:
        self.engine_runs.append(EngineRun(activity=order.activity, node=order.node, seconds=seconds))

    async def _engine(self, order: Order) -> Engine:
        try:
            return await self.find_engine()
        except EngineUnavailable as error:
            error.notes = (*error.notes, f"{order.activity.value} {order.node} needs one: {order.reason}")
            raise


def _labels(file: SourceFile) -> frozenset[str]:
    """Return what the stages of a Dockerfile are called: by their names, else by their numbers."""
    return frozenset(stage.name or str(number) for number, stage in enumerate(file.dockerfile.stages))
