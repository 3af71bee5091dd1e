"""[io] Images: assembled from a base and late layers, or built by the engine where assembly promises nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from buildonce.assemble.entries import NotExpressible
from buildonce.assemble.image import assemble_image
from buildonce.errors import AssemblyError
from buildonce.events import Activity, Finished
from buildonce.oci import Descriptor, Manifest, decode_manifest, digest_of, encode_json
from buildonce.plan.nodes import ImageNode
from buildonce.plan.recipes import Recipe, encode_recipe
from buildonce.plan.sources import Home
from buildonce.plan.verdicts import VerdictKind
from buildonce.run.base_records import ReadyBase
from buildonce.run.bases import BaseMaker
from buildonce.run.built import read_built
from buildonce.run.cache_places import address_of
from buildonce.run.cores import CoreMaker, ReadyCore
from buildonce.run.fitting import Fit, FitChecker
from buildonce.run.image_results import image_name, recipe_with
from buildonce.run.jobs import derive_faithful
from buildonce.run.late_layers import LateLayers
from buildonce.run.original_layers import with_original_layers
from buildonce.run.outcome import Made
from buildonce.run.placement import late_copies
from buildonce.run.workshop import LinkedImage, Order, Workshop
from buildonce.ship.annotations import annotate_image
from buildonce.ship.late_copies import LateCopy
from buildonce.ship.release import Image
from buildonce.store.protocol import Blob, Source
from buildonce.store.results import Record, Result, ResultName, put_result, without_record
from buildonce.store.streams import blob_of_bytes, blob_of_file
from buildonce.tasks import together

_NO_TIME = "1970-01-01T00:00:00Z"


class ReadyImage(Struct, frozen=True, kw_only=True):
    """An image that can be published, how it came about, and why so."""

    node: ImageNode
    image: Image
    made: Made
    verdict: VerdictKind
    reason: str
    fit: Fit


class ImageMaker:
    """Makes the images of a plan."""

    def __init__(
        self, shop: Workshop, cores: CoreMaker, bases: BaseMaker, late: LateLayers, fitting: FitChecker
    ) -> None:
        self._shop = shop
        self._cores = cores
        self._bases = bases
        self._late = late
        self._fitting = fitting

    async def get(self, node: ImageNode) -> ReadyImage:
        """Return the image. Raises what making it raises."""
        place = (node.variant, node.file, node.stage, node.platform)
        return await self._shop.once("image", place, lambda: self._get(node))

    async def linked(self, home: Home) -> LinkedImage:
        """Return the image of a target that others are built on: from the cache, where an engine finds it."""
        return await self._shop.once("linked", home, lambda: self._linked(home))

    async def _linked(self, home: Home) -> LinkedImage:
        node = self._shop.plan.find_linked(home)
        name, recipe = await self._result(node)
        found = await self._find(node, name)
        if found is None:
            ready = await self.get(node)
            found = await self._find(node, name) or await put_result(
                self._shop.cache,
                manifest=decode_manifest(ready.image.manifest),
                record=_record(name, recipe, 0.0),
                new=ready.image.new,
                shared=ready.image.shared,
            )
        config = await self._shop.small_blob(self._shop.cache, found.manifest.config)
        return LinkedImage(address=await address_of(self._shop.cache, found.stored.digest), config=config)

    async def _get(self, node: ImageNode) -> ReadyImage:
        if node.verdict.kind is VerdictKind.ENGINE:
            return await self._build(node, node.verdict.reason)
        # Cores first: proofs and engine-built images wait for them, and engines run few builds at a time.
        cores, base = await asyncio.gather(self._ready_cores(node), self._bases.get(node.base))
        if base.disproof is not None:
            return await self._build(node, base.disproof.reason)
        try:
            return await self._assemble(node, base, cores)
        except NotExpressible as error:
            return await self._build(node, error.message)
        except AssemblyError as error:
            error.notes += (f"needed by variant `{node.variant}` for {node.platform}",)
            raise

    async def prepare(self, node: ImageNode) -> None:
        """Have in the cache all that an engine or the base's layers are needed for: the rest is assembly, anywhere."""
        if node.verdict.kind is VerdictKind.ENGINE:
            await self._build(node, node.verdict.reason)
            return
        cores, base = await asyncio.gather(self._ready_cores(node), self._bases.get(node.base))
        if base.disproof is not None:
            await self._build(node, base.disproof.reason)
            return
        try:
            await self._late.look(node, base, cores)
        except NotExpressible as error:
            await self._build(node, error.message)

    async def _ready_cores(self, node: ImageNode) -> Mapping[int, ReadyCore]:
        cores = await together(self._cores.get(key) for key in node.cores.values())
        return dict(zip(node.cores, cores, strict=True))

    async def _assemble(self, node: ImageNode, base: ReadyBase, cores: Mapping[int, ReadyCore]) -> ReadyImage:
        started = time.monotonic()
        late_steps = await self._late.steps(node, base, cores)
        steps = late_steps.steps
        made = assemble_image(base.image, steps, created=self._created(base), labels=node.marks.labels)
        late = {step.layer.descriptor.digest: step.layer for step in steps if step.layer is not None}
        config = blob_of_bytes(made.config, made.config_descriptor.media_type)
        image = Image(
            platform=node.platform,
            manifest=made.manifest,
            descriptor=made.manifest_descriptor,
            new=(*(blob_of_file(layer.path, layer.descriptor) for layer in late.values()), config),
            shared=self._shop.permit.shared_blobs(node, base.node, base.blobs()),
            late_copies=self._late_copies(node, decode_manifest(made.manifest)),
        )
        self._shop.emit(Finished(activity=Activity.ASSEMBLE, node=str(node), seconds=time.monotonic() - started))
        return ReadyImage(
            node=node,
            image=annotate_image(image, node.marks.annotations),
            made=Made.ASSEMBLED,
            verdict=node.verdict.kind,
            reason=_assembly_reason(node, base, cores),
            fit=await self._fitting.check_assembled(node, base, late_steps.layers, made),
        )

    def _created(self, base: ReadyBase) -> str:
        """Return the time of new history entries: SOURCE_DATE_EPOCH, else that of the base itself."""
        if self._shop.epoch is not None:
            from datetime import UTC, datetime

            return datetime.fromtimestamp(self._shop.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return msgspec.json.decode(base.image.config, type=_Created).created or _NO_TIME

    async def _build(self, node: ImageNode, reason: str) -> ReadyImage:
        """Have the engine build the image as its Dockerfile says, the cores in the place of their stages."""
        name, recipe = await self._result(node)
        found = await self._find(node, name)
        if found is not None:
            manifest = without_record(found.manifest)
            return await self._built(node, manifest, self._shop.cache, reason, made=Made.REUSED)
        self._shop.permit.check_image(node, reason)
        graph = self._shop.graphs[(node.file, node.platform)]
        built = await self._shop.build(
            Order(
                derived=derive_faithful(graph, node.stage, node.cores),
                activity=Activity.BUILD,
                node=str(node),
                file=node.file,
                stage=node.stage,
                platform=node.platform,
                reason=reason,
                contexts=await self._cores.named_contexts(graph, node.cores),
                labels=node.marks.labels,
            )
        )
        layout, manifest = await read_built(built)
        config = await self._shop.small_blob(layout, manifest.config)
        open_repository = self._shop.open_repository
        source, manifest = with_original_layers(layout, manifest, config, node.external, open_repository)
        ready = await self._built(node, manifest, source, reason, made=Made.BUILT)
        record = _record(name, recipe, built.seconds)
        kept = await put_result(
            self._shop.cache, manifest=manifest, record=record, new=ready.image.new, shared=ready.image.shared
        )
        self._shop.note(kept, name)
        cores_of = {stage: self._shop.plan.cores[key] for stage, key in node.cores.items()}
        await self._shop.keep_account(lambda: self._shop.accountant.image(node, cores_of), built.seconds)
        return ready

    async def _result(self, node: ImageNode) -> tuple[ResultName, Recipe]:
        """Return what an image is called in the cache, and its recipe with the contents of its cores."""
        cores = await self._ready_cores(node)
        recipe = recipe_with(node, [await core.content() for _, core in sorted(cores.items())])
        return image_name(node, recipe), recipe

    async def _find(self, node: ImageNode, name: ResultName) -> Result | None:
        is_own = self._shop.permit.images is None or str(node) in self._shop.permit.images
        return await self._shop.find(name, is_own=is_own)

    def _late_copies(self, node: ImageNode, manifest: Manifest) -> tuple[LateCopy, ...]:
        return late_copies(node, self._shop.core_titles, layers=len(manifest.layers))

    async def _built(
        self, node: ImageNode, manifest: Manifest, source: Source, reason: str, *, made: Made
    ) -> ReadyImage:
        content = encode_json(manifest)
        external = {layer.digest for layer in node.external.manifest.layers} if node.external else set()
        layers = tuple({layer.digest: layer for layer in manifest.layers}.values())
        descriptor = Descriptor(media_type=manifest.media_type, digest=digest_of(content), size=len(content))
        new = [_blob(source, layer) for layer in layers if layer.digest not in external]
        image = Image(
            platform=node.platform,
            manifest=content,
            descriptor=descriptor,
            new=(*new, _blob(source, manifest.config)),
            shared=tuple(_blob(source, layer) for layer in layers if layer.digest in external),
            late_copies=self._late_copies(node, manifest),
        )
        fit = await self._fitting.check_built(node, await self._ready_cores(node), descriptor.digest)
        return ReadyImage(
            node=node,
            image=annotate_image(image, node.marks.annotations),
            made=made,
            verdict=VerdictKind.ENGINE,
            reason=reason,
            fit=fit,
        )


class _Created(msgspec.Struct, frozen=True):
    created: str = ""


def _blob(source: Source, descriptor: Descriptor) -> Blob:
    return Blob(descriptor=descriptor, open=lambda: source.read_blob(descriptor))


def _record(name: ResultName, recipe: Recipe, seconds: float) -> Record:
    return Record(
        kind=name.kind,
        name=name.name,
        platform=str(name.platform),
        key=name.key,
        recipe=msgspec.Raw(encode_recipe(recipe)),
        seconds=seconds,
    )


def _assembly_reason(node: ImageNode, base: ReadyBase, cores: Mapping[int, ReadyCore]) -> str:
    """Return what was new for this image."""
    parts = [f"core {core.node.name} {_how_made(core)}" for core in cores.values()]
    parts.append(f"base {'built' if base.fresh else 'reused'}")
    if node.verdict.kind is VerdictKind.PROVE:
        parts.append("proved now" if base.proved else "proved before")
    return ", ".join(parts)


def _how_made(core: ReadyCore) -> str:
    if core.node.given:
        return "given"
    return "compiled" if core.compiled else "reused"
