"""[io] A job of a plan: it makes what the plan gives to it from what the plan says, or fails.

Nothing is decided anew: external images have the plan's digests, results of the cache the digests that the plan or an
earlier job gave them, and a checkout with other keys is refused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from buildonce.assemble.compression import Compression
from buildonce.engines.protocol import Engine
from buildonce.errors import EngineUnavailable, StoreError, UsageError
from buildonce.events import Activity, Warned
from buildonce.oci import Digest
from buildonce.plan.recipes import Key
from buildonce.plan.sources import Request
from buildonce.run.agreement import check_agreement
from buildonce.run.bases import BaseMaker
from buildonce.run.building import Options, Surroundings, build_project, open_workshop
from buildonce.run.cores import CoreMaker
from buildonce.run.fitting import FitChecker
from buildonce.run.images import ImageMaker
from buildonce.run.late_layers import LateLayers
from buildonce.run.outcome import Outcome
from buildonce.run.permits import Permit
from buildonce.run.plan_file import SHIP, Job, Made, PlanFile
from buildonce.run.planned import Planned, plan_project
from buildonce.run.planned_images import PlannedImages
from buildonce.run.project import Project
from buildonce.run.proving import Prover
from buildonce.run.shipped import input_of, keep_shipped
from buildonce.run.workshop import Workshop
from buildonce.store.ensuring import ensure_blob
from buildonce.store.layout import LayoutStore
from buildonce.store.protocol import Store
from buildonce.tasks import Tasks, together


class Order(Struct, frozen=True, kw_only=True):
    """A plan to carry out: its file, that file's digest, and what earlier jobs of it left."""

    plan: PlanFile
    digest: Digest
    made: tuple[Made, ...]

    @property
    def compression(self) -> Compression:
        """How layers are compressed. Raises `UsageError` if the plan says something else than there is."""
        try:
            return Compression(self.plan.compression)
        except ValueError as error:
            raise UsageError(f"the plan has an unknown compression: {self.plan.compression[:60]}") from error

    @property
    def pins(self) -> Mapping[str, Digest]:
        """The digests of results by their tags in the cache: those of earlier jobs before those that the plan found."""
        return self.pins_but_of("")

    def pins_but_of(self, job: str) -> Mapping[str, Digest]:
        """The same without what a job of this name left: it may be carried out once more."""
        found = dict(self.plan.results)
        for made in self.made:
            if made.job != job:
                found |= made.results
        return found

    def permit(self, job: Job | None) -> Permit:
        """Return what a job may make; of the last job, None, that is nothing."""
        return Permit(
            job=job.name if job else SHIP,
            cores=frozenset(map(Key, job.cores)) if job else frozenset(),
            bases=frozenset(map(Key, job.bases)) if job else frozenset(),
            images=frozenset(job.images) if job else frozenset(),
            origins={
                node.key if node.kind != "image" else f"{node.name} {node.platform}": self._origin(node.job)
                for node in self.plan.nodes
            },
        )

    def _origin(self, job: str | None) -> str:
        """Say where a node should have come from."""
        if job is None:
            return "the plan found it in the cache, or nothing to do for it: it was removed since, or is another one"
        if job in {made.job for made in self.made}:
            return f"the job `{job}` had it in the cache: it was removed since"
        return f"the job `{job}` is to make it, and left nothing yet: give what it leaves to this job (--made)"


async def plan_as_decided(project: Project, request: Request, order: Order, around: Surroundings) -> Planned:
    """Return the plan of a checkout with the images that were decided. Raises `PlanDiffers` if it is another plan."""
    planned = await plan_project(
        project,
        request,
        open_repository=around.open_repository,
        state=around.state,
        resolve=PlannedImages(order.plan),
    )
    await asyncio.to_thread(check_agreement, planned, order.plan)
    return planned


async def make_job(
    planned: Planned, order: Order, job: Job, around: Surroundings, targets: Mapping[str, Store]
) -> Made:
    """Make what a job is for, and return what later jobs need to know of it; no image is published.

    ``targets`` are the stores of the variants, which get the layers of the job's bases: the last job reads none.
    """
    started = time.monotonic()
    options = Options(
        tags={}, epoch=order.plan.epoch, compression=order.compression, permit=order.permit(job), pins=order.pins
    )
    with around.state.work_folder() as folder:
        async with Tasks() as tasks:
            shop = open_workshop(planned, options, around, folder=folder, tasks=tasks, find_engine=around.find_engine)
            await _Job(shop, job, targets).make()
        # The tasks that store results have ended here.
        results = {tag: result.stored.digest for tag, result in sorted(shop.results.items())}
    pins = order.pins_but_of(job.name)
    return Made(
        job=job.name,
        plan=order.digest,
        results={tag: digest for tag, digest in results.items() if pins.get(tag) != digest},
        compiles=sum(run.activity is Activity.COMPILE for run in shop.engine_runs),
        engine_runs=len(shop.engine_runs),
        requests=sum(around.session.requests.values()),
        bytes_up=around.session.bytes_up,
        bytes_down=around.session.bytes_down,
        seconds=round(time.monotonic() - started, 3),
    )


async def ship_plan(
    planned: Planned, order: Order, around: Surroundings, targets: Mapping[str, Store], *, stage_only: bool
) -> Outcome:
    """Assemble and publish the plan's images. Nothing is compiled, no engine starts, and no layer of a base is read.

    Raises `NotCompiled` and `NotMade` for what is missing; no tag has moved then.
    """
    options = Options(
        tags={variant.name: variant.tags for variant in order.plan.variants},
        epoch=order.plan.epoch,
        compression=order.compression,
        permit=replace(
            order.permit(None),
            copied=frozenset(variant for variant, store in targets.items() if isinstance(store, LayoutStore)),
        ),
        pins=order.pins,
        unchecked=frozenset(order.plan.unchecked),
        stage_only=stage_only,
    )
    outcome = await build_project(planned, options, replace(around, find_engine=_no_engine), targets)
    if not stage_only:
        try:
            await keep_shipped(around.cache, input_of(order.plan, order.pins), outcome.tags)
        except StoreError as error:  # the release is complete all the same
            around.emit(Warned(message=f"the next plan will not know that this was shipped: {error.message}"))
    return outcome


async def _no_engine() -> Engine:
    raise EngineUnavailable("the job that ships starts no engine", help="make the plan again")


class _Job:
    """What one job makes."""

    def __init__(self, shop: Workshop, job: Job, targets: Mapping[str, Store]) -> None:
        self._shop = shop
        self._job = job
        self._targets = targets
        self._cores = CoreMaker(shop)
        late = LateLayers(shop, self._cores)
        self._bases = BaseMaker(shop, Prover(shop, self._cores, late))
        fitting = FitChecker(shop, self._cores, self._bases, frozenset(shop.plan.variants))
        self._images = ImageMaker(shop, self._cores, self._bases, late, fitting)

    async def make(self) -> None:
        """Make the cores, then bases and images at once."""
        cores = await together(self._cores.get(Key(key)) for key in self._job.cores)
        await together(core.result() for core in cores)
        names = set(self._job.images)
        images = [node for node in self._shop.plan.images if str(node) in names]
        await together(
            (
                *(self._base(Key(key)) for key in self._job.bases),
                *(self._images.prepare(node) for node in images),
            )
        )

    async def _base(self, key: Key) -> None:
        """Make a base, and have its layers where its images go: whoever publishes them there need not read them."""
        base = await self._bases.get(key)
        if base.disproof is not None:
            return
        variants = {node.variant for node in self._shop.plan.users_of(key)} & self._targets.keys()
        stores = {self._targets[variant].name: self._targets[variant] for variant in sorted(variants)}
        await together(ensure_blob(store, blob) for store in stores.values() for blob in base.blobs())
