"""[io] What was shipped held against what an engine makes of the same Dockerfile, without any help from buildonce."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from buildonce.assemble.compare import Difference, config_differences, tree_differences
from buildonce.assemble.tree import Tree, apply_layers
from buildonce.errors import AssemblyError, EngineFailed, UsageError
from buildonce.events import Activity
from buildonce.oci import Manifest
from buildonce.plan.images import ExternalImage
from buildonce.plan.nodes import ImageNode
from buildonce.plan.sources import Home
from buildonce.run.building import Options, Surroundings, open_workshop
from buildonce.run.built import read_built
from buildonce.run.jobs import derive_faithful
from buildonce.run.layers import stack_layers
from buildonce.run.planned import Planned
from buildonce.run.workshop import LinkedImage, Order, Workshop
from buildonce.tasks import Tasks, together
from buildonce.verify.findings import Kind, Place
from buildonce.verify.images import LoadedImage, Use
from buildonce.verify.layers import Reading
from buildonce.verify.ledger import Ledger
from buildonce.verify.release import Release

_SHOWN = 20
"""How many differences of one image are told."""

_LONGEST = 400
"""How many characters of one are told."""


class _Faithful(Struct, frozen=True, kw_only=True):
    """What an engine made of a variant's Dockerfile."""

    manifest: Manifest
    config: bytes
    tree: Tree


async def rebuild_release(
    planned: Planned, options: Options, around: Surroundings, release: Release, *, is_whole: bool
) -> int:
    """Compare each image of a release with what an engine makes of its Dockerfile; return how many were compared.

    The options' tags say which image is of which variant. ``is_whole`` says that every variant should be there. Raises
    `EngineUnavailable`, and `UsageError` if nothing can be compared.
    """
    uses, reading, ledger = release
    variants = [_variant_of(use, options.tags) for use in uses]
    pairs = [
        (node, _distinct(use for use, variant in zip(uses, variants, strict=True) if _is_of(use, variant, node)))
        for node in planned.plan.images
    ]
    if not any(found for _, found in pairs):
        raise UsageError(
            "none of what was asked for is a variant of this project",
            notes=(f"the project has {', '.join(planned.plan.variants)}",),
            help="`--tag TEMPLATE` says how the tags were made, `--context` and `-f` where the project is",
        )
    _report_others(pairs, uses, ledger, is_whole=is_whole)
    with around.state.work_folder() as folder:
        async with Tasks() as tasks:
            shop = open_workshop(planned, options, around, folder=folder, tasks=tasks, find_engine=around.find_engine)
            rebuilder = _Rebuilder(shop, reading, ledger)
            shop.find_linked = rebuilder.linked
            compared = await together(rebuilder.compare(node, found) for node, found in pairs if found)
    return sum(compared)


def _variant_of(use: Use, tags: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return the variant that an image is of: by its tag, and where several have that by the name of its repository."""
    named = [variant for variant, own in tags.items() if use.tag in own]
    if len(named) > 1:
        place = use.image.source.name
        named = sorted((variant for variant in named if variant in place), key=len, reverse=True)
    return named[0] if named else None


def _is_of(use: Use, variant: str | None, node: ImageNode) -> bool:
    return variant == node.variant and use.platform == node.platform


def _distinct(uses: Iterable[Use]) -> tuple[Use, ...]:
    return tuple({use.image.stored.digest: use for use in uses}.values())


def _report_others(
    pairs: Sequence[tuple[ImageNode, tuple[Use, ...]]], uses: Sequence[Use], ledger: Ledger, *, is_whole: bool
) -> None:
    """Remark on images that are of no variant; report variants of which nothing is there."""
    known = {use.image.stored.digest for _, found in pairs for use in found}
    platforms = {node.platform for node, _ in pairs}
    for use in uses:
        if use.image.stored.digest not in known and use.platform in platforms:
            ledger.remark("this is no variant of the project, and was not rebuilt", use.place)
    there = {node.variant for node, found in pairs if found}
    for variant in dict.fromkeys(node.variant for node, _ in pairs if is_whole and node.variant not in there):
        place = Place(reference=uses[0].image.source.name)
        ledger.find(Kind.TAG_MISSING, f"nothing here is the project's variant `{variant}`", place)


class _Rebuilder:
    def __init__(self, shop: Workshop, reading: Reading, ledger: Ledger) -> None:
        self._shop = shop
        self._reading = reading
        self._ledger = ledger

    async def compare(self, node: ImageNode, uses: Sequence[Use]) -> int:
        """Build a variant and compare what was shipped of it; return how many images that were."""
        whole = [use for use in uses if all(one.digest in self._reading.layers for one in use.image.manifest.layers)]
        if not whole:
            return 0  # what keeps it from being looked at was reported
        try:
            faithful = await self._build(node)
        except EngineFailed as error:
            for use in whole:
                self._ledger.find(Kind.REBUILD_FAILED, error.message, use.place, *error.lines[-_SHOWN:])
            return 0
        for use in whole:
            await self._report(node, use, faithful)
        return len(whole)

    async def linked(self, home: Home) -> LinkedImage:
        """Have the engine build the image of a target that others take from."""
        return await self._shop.once("linked", home, lambda: self._linked(home))

    async def _linked(self, home: Home) -> LinkedImage:
        graph = self._shop.graphs[(home.file, home.platform)]
        built = await self._shop.build(
            Order(
                derived=derive_faithful(graph, home.stage, ()),
                activity=Activity.BUILD,
                node=f"{graph.stages[home.stage].label} {home.platform}",
                file=home.file,
                stage=home.stage,
                platform=home.platform,
                reason="something that is to be compared takes from it",
                labels=next((one.marks.labels for one in self._shop.plan.linked if one.home == home), {}),
                is_whole=True,
            ),
            compress=False,
        )
        layout, manifest = await read_built(built)
        config = await self._shop.small_blob(layout, manifest.config)
        return LinkedImage(address=f"oci-layout://{built.layout}@{built.manifest.digest}", config=config)

    async def _build(self, node: ImageNode) -> _Faithful:
        """Have the engine build the image as its Dockerfile says, compile stages and all."""
        graph = self._shop.graphs[(node.file, node.platform)]
        built = await self._shop.build(
            Order(
                derived=derive_faithful(graph, node.stage, ()),
                activity=Activity.BUILD,
                node=str(node),
                file=node.file,
                stage=node.stage,
                platform=node.platform,
                reason="to be compared with what was shipped",
                labels=node.marks.labels,
                is_whole=True,
            ),
            compress=False,
        )
        try:
            layout, manifest = await read_built(built)
            config = await self._shop.small_blob(layout, manifest.config)
            tree = await self._shop.layers.tree(stack_layers(layout, manifest.layers, config))
        finally:
            await asyncio.to_thread(shutil.rmtree, built.layout)
        return _Faithful(manifest=manifest, config=config, tree=tree)

    async def _report(self, node: ImageNode, use: Use, faithful: _Faithful) -> None:
        image = use.image
        config = await self._shop.small_blob(image.source, image.manifest.config)
        layers = [self._reading.layers[layer.digest].entries for layer in image.manifest.layers]
        try:
            tree = await asyncio.to_thread(apply_layers, layers)
        except AssemblyError:
            return  # reported already
        differences = await asyncio.to_thread(_differences, faithful, image, config, tree)
        if not differences:
            return
        left = len(differences) - _SHOWN
        notes = [_short(str(one)) for one in differences[:_SHOWN]] + (
            [f"and {left} differences more"] if left > 0 else []
        )
        moved = _moved_base(node.external, image)
        self._ledger.find(
            Kind.REBUILD_DIFFERS,
            f"the image of `{node.variant}` is not what its Dockerfile makes now",
            use.place,
            *notes,
            *([moved] if moved else []),
            also=image.also,
        )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _differences(faithful: _Faithful, image: LoadedImage, config: bytes, tree: Tree) -> tuple[Difference, ...]:
    """Return where the shipped image differs from the faithful one in anything but the documented deviations."""
    expected, actual = len(faithful.manifest.layers), len(image.manifest.layers)
    number = Difference(path="manifest", what="number of layers", expected=str(expected), actual=str(actual))
    return (
        *((number,) if expected != actual else ()),
        *config_differences(faithful.config, config),
        *tree_differences(faithful.tree, tree),
    )


def _moved_base(external: ExternalImage | None, image: LoadedImage) -> str | None:
    """Return what to say if an image was made from another state of its base image."""
    if external is None:
        return None
    now = [layer.digest for layer in external.manifest.layers]
    then = [layer.digest for layer in image.manifest.layers[: len(now)]]
    if now == then:
        return None
    return f"its base image `{external.reference}` has other layers now than when this was made: name it by its digest"
