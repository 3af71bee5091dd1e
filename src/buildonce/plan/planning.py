"""Make a plan: variants and platforms to cores, bases and images, without touching anything."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec.structs import replace

from buildonce.dockerfile.stages import ContextSource, Source, StageGraph, StageSource, resolve_stages
from buildonce.dockerfile.syntax import Copy, Dockerfile
from buildonce.oci import Platform
from buildonce.plan.chains import Chain, ChainStep, StepKind
from buildonce.plan.core_needs import Cores
from buildonce.plan.file_plans import FilePlan, Images, core_paths, images_needed
from buildonce.plan.given import check_given_cores, check_given_stages, give_stages, given_context, given_folders
from buildonce.plan.linking import Graphs, home_finder, linked_files, linked_homes, linked_platforms
from buildonce.plan.nodes import BaseNode, BaseOrigin, CoreNode, ImageNode, Plan
from buildonce.plan.recipes import Key, Recipe, StepRecipe, key_of
from buildonce.plan.settings import label_settings
from buildonce.plan.sources import Home, ImageContext, Marks, Request, SourceFile
from buildonce.plan.stage_recipes import Reading, describe_late_copy
from buildonce.plan.variants import (
    Variant,
    declared_variants,
    default_variants,
    select_declared,
    select_variants,
)
from buildonce.plan.verdicts import VerdictKind, judge

_ALL = Reading()

Files = Mapping[tuple[int, Platform], FilePlan]
_Planned = tuple[ImageNode, BaseNode | None, tuple[CoreNode, ...]]

CORE = "core"
"""What stands in the recipe of an image for a core that it reads; the core's content is in the recipe beside it."""


def make_graphs(request: Request) -> Graphs:
    """Return the stage graph of each Dockerfile for each platform. Raises `DockerfileError`, and `UsageError`."""
    check_given_stages(request)
    graphs: dict[tuple[int, Platform], StageGraph] = {}
    wanted = [(number, one) for number in range(len(request.files)) for one in request.platforms_of(number)]
    while wanted:
        number, platform = place = wanted.pop(0)
        if place not in graphs:
            file = request.files[number]
            graphs[place] = _resolve(give_stages(file.dockerfile, file.given), request, number, platform)
            wanted += linked_files(request, number, graphs[place])
    return graphs


def _resolve(dockerfile: Dockerfile, request: Request, number: int, platform: Platform) -> StageGraph:
    file = request.files[number]
    return resolve_stages(
        dockerfile,
        build_args=file.build_args,
        target_platform=platform,
        build_platform=request.build_platform,
        named_contexts=_addresses(file),
        targets=linked_platforms(file, request),
    )


def _addresses(file: SourceFile) -> Mapping[str, str]:
    """Return the images that named contexts are; nothing for what is none."""
    contexts = file.named_contexts.items()
    images = {name: context.address if isinstance(context, ImageContext) else "" for name, context in contexts}
    return images | dict.fromkeys(map(given_context, file.given), "")


def find_variants(request: Request, graphs: Graphs) -> tuple[tuple[Variant, ...], tuple[Variant, ...]]:
    """Return the variants that are wanted, and all that shape the cores: the default ones and these."""
    if request.declared:
        declared = declared_variants(request)
        return select_declared(request.variants, declared) if request.variants else declared, declared
    of_files = [graphs[(number, request.platforms_of(number)[0])] for number in range(len(request.files))]
    # What a given stage was made from is read by nobody any more, and no variant for that.
    whole = [
        _resolve(file.dockerfile, request, number, request.platforms_of(number)[0]) if file.given else of_files[number]
        for number, file in enumerate(request.files)
    ]
    defaults = default_variants(whole, [file.folder for file in request.files], request.platforms)
    wanted = select_variants(request.variants, defaults, of_files) if request.variants else defaults
    shaping = (*defaults, *(variant for variant in wanted if variant not in defaults))
    return tuple(replace(variant, marks=request.marks) for variant in wanted), shaping


def needed_images(request: Request, graphs: Graphs) -> frozenset[tuple[str, Platform]]:
    """Return the external images that a plan is made with: their names as written, and the platforms."""
    _, shaping = find_variants(request, graphs)
    homes = {Home(variant.file, variant.stage, platform, "") for variant in shaping for platform in variant.platforms}
    homes |= {linked for home in homes for linked in linked_homes(request, graphs, home)}
    return frozenset(image for home in homes for image in images_needed(graphs[home.file, home.platform], home.stage))


def make_plan(request: Request, graphs: Graphs, images: Images) -> Plan:
    """Return the plan for ``request``, whose external images are ``images``."""
    wanted, shaping = find_variants(request, graphs)
    files = plan_files(request, graphs, images)
    cores = Cores(
        (files[(variant.file, platform)], variant.stage, platform)
        for variant in shaping
        for platform in variant.platforms
    )
    planned = [
        _plan_image(variant, platform, files[(variant.file, platform)], cores)
        for variant in wanted
        for platform in variant.platforms
    ]
    unpinned = {
        address
        for variant in wanted
        for platform in variant.platforms
        for address in files[(variant.file, platform)].unpinned(variant.stage)
    }
    linked = _plan_linked(planned, cores, files)
    everything = [*linked, *planned]
    bases = {base.key: base for _, base, _ in reversed(everything) if base is not None}
    needed = [core for _, _, found in everything for core in found]
    plan = Plan(
        cores=_with_needs(needed, cores, files),
        bases=dict(reversed(bases.items())),
        images=tuple(image for image, _, _ in planned),
        linked=tuple(image for image, _, _ in linked),
        warnings=tuple(_warn_unpinned(address) for address in sorted(unpinned)),
    )
    check_given_cores(plan, request, graphs)
    return plan


def plan_files(request: Request, graphs: Graphs, images: Images) -> Files:
    """Return what planning knows of each source file for each platform."""
    files: dict[tuple[int, Platform], FilePlan] = {}
    for (number, platform), graph in graphs.items():
        file = request.files[number]
        contexts = {**file.named_contexts, **given_folders(file, graph)}
        find = home_finder(request, files)
        files[number, platform] = FilePlan(
            number, graph, file.context, images, contexts, file.given, file.options.sandbox, find
        )
    return files


def _plan_linked(planned: Sequence[_Planned], cores: Cores, files: Files) -> tuple[_Planned, ...]:
    """Return the images of the targets that something is built on, what is needed first."""
    found: dict[Home, _Planned] = {}

    def add(plan: FilePlan, stage: int) -> None:
        home, source = plan.built_on(stage), plan.graph.stages[plan.root(stage)].linked
        if home is None or source is None or home in found:
            return
        variant = Variant(
            name=home.name,
            file=home.file,
            stage=home.stage,
            platforms=(home.platform,),
            marks=Marks(labels=plan.context_of(source).labels),
        )
        made = _plan_image(variant, home.platform, files[home.file, home.platform], cores)
        for needed in _stages((made,), cores, files):
            add(*needed)
        found[home] = made

    for wanted in _stages(planned, cores, files):
        add(*wanted)
    return tuple(found.values())


def _stages(planned: Iterable[_Planned], cores: Cores, files: Files) -> list[tuple[FilePlan, int]]:
    """Return the stages that are built for these images and their cores."""
    images = [(files[image.file, image.platform], image.stage) for image, _, _ in planned]
    needed = _with_needs([core for _, _, found in planned for core in found], cores, files)
    return [*images, *((files[core.file, core.target], core.stage) for core in needed.values())]


def _warn_unpinned(address: str) -> str:
    return (
        f"ADD reads `{address}`, which nothing pins: what is built once is used again even if the content there "
        "changes; give it a --checksum, or name a Git commit"
    )


def _with_needs(found: list[CoreNode], cores: Cores, files: Files) -> dict[Key, CoreNode]:
    """Return the cores and all that they need, what is needed first."""
    ordered: dict[Key, CoreNode] = {}

    def add(node: CoreNode) -> None:
        if node.key not in ordered:
            for needed in cores.nodes(files[(node.file, node.target)], node.stage).values():
                add(needed)
            ordered[node.key] = node

    for node in found:
        add(node)
    return ordered


def _plan_image(variant: Variant, platform: Platform, plan: FilePlan, cores: Cores) -> _Planned:
    chain = plan.chain(variant.stage)
    external = plan.external(chain.stages[0])
    needed = cores.nodes(plan, variant.stage)
    verdict = judge(
        chain,
        onbuild=plan.onbuild(chain.stages[0]),
        mounted=[plan.label(stage) for stage in chain.mounted if not plan.is_alias(stage)],
        root_context=_root_context(chain, plan),
        system=platform.os,
    )
    base = _plan_base(chain, platform, plan, variant.name)
    image = ImageNode(
        variant=variant.name,
        file=variant.file,
        stage=variant.stage,
        platform=platform,
        verdict=verdict,
        base=base.key,
        cores={stage: node.key for stage, node in needed.items()},
        hoisted=chain.hoisted_over,
        tail=chain.tail,
        trailing=chain.trailing,
        recipe=_image_recipe(chain, platform, plan, needed, variant.marks.labels),
        external=external,
        marks=variant.marks,
        epoch=plan.epoch(variant.stage),
        built_on=plan.built_on(variant.stage),
    )
    return image, None if verdict.kind is VerdictKind.ENGINE else base, tuple(needed.values())


def _root_context(chain: Chain, plan: FilePlan) -> str:
    """Return the named context, no image, that a chain starts from; nothing if it starts from something else."""
    base = plan.graph.stages[chain.stages[0]].base
    return base.name if isinstance(base, ContextSource) else ""


def _plan_base(chain: Chain, platform: Platform, plan: FilePlan, variant: str) -> BaseNode:
    """Return the base of a variant; one that is no stage's with a name is called after the variant."""
    root = chain.stages[0]
    external = plan.external(root)
    steps = chain.steps[: chain.engine_end]
    described = tuple(recipe for step in steps for recipe in describe_base_step(step, plan))
    recipe = plan.recipe_of("base", platform, plan.origin(root), described)
    is_linked = plan.home(root) is not None
    stage = steps[-1].stage if steps else chain.stages[1] if is_linked else root
    origin = BaseOrigin.ENGINE if steps or is_linked else BaseOrigin.IMAGE if external else BaseOrigin.SCRATCH
    after = tuple(step.span for step in chain.trailing if step.stage == stage)
    return BaseNode(
        key=key_of(recipe),
        name=plan.graph.stages[stage].name or variant if steps or external is None else str(external.reference),
        file=plan.file,
        stage=stage,
        platform=platform,
        origin=origin,
        hoisted=tuple(step.span for step in chain.hoisted_over),
        after=after,
        recipe=recipe,
        external=external,
        built_on=plan.built_on(stage),
    )


def describe_base_step(step: ChainStep, plan: FilePlan) -> tuple[StepRecipe, ...]:
    """Return a step's part in the recipe of a base: none or one."""
    if step.kind is StepKind.LATE_COPY:
        copy = step.step.expanded
        assert isinstance(copy, Copy)  # noqa: S101  a late copy is a COPY
        return (describe_late_copy(step.step, core_paths(copy.sources)),)
    return plan.describe((step.step,), with_metadata=True)


def describe_whole_step(step: ChainStep, plan: FilePlan) -> tuple[StepRecipe, ...]:
    """Return a step's part in the recipe of the image of a target that something is built on."""
    return plan.describe((step.step,), with_metadata=True)


def _image_recipe(
    chain: Chain, platform: Platform, plan: FilePlan, cores: Mapping[int, CoreNode], labels: Mapping[str, str]
) -> Recipe:
    """Return the recipe of a whole chain; what it takes from cores counts by content, which is known later."""
    steps = tuple(recipe for step in chain.steps for recipe in describe_image_step(step, plan, cores))
    return plan.recipe_of("image", platform, plan.origin(chain.stages[0]), steps, label_settings(labels))


def describe_image_step(step: ChainStep, plan: FilePlan, cores: Collection[int]) -> tuple[StepRecipe, ...]:
    """Return a step's part in the recipe of an image that an engine builds; ``cores`` are the stages that are cores."""

    def read(source: Source, reading: Reading = _ALL, /) -> str:
        is_core = isinstance(source, StageSource) and source.index in cores
        return CORE if is_core else plan.source_key(source, reading)

    return plan.describe((step.step,), with_metadata=True, read=read)
