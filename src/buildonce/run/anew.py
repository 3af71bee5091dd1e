"""What is made anew although it is there: because of ``--no-cache``, or of a stage that ``--no-cache-filter`` names."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct

from buildonce.build_options import BuildOptions, join_options
from buildonce.dockerfile.problems import did_you_mean
from buildonce.dockerfile.stages import StageGraph, StageSource, chain, reachable
from buildonce.dockerfile.syntax import Span
from buildonce.errors import UsageError
from buildonce.oci import Platform
from buildonce.plan.linking import Graphs
from buildonce.plan.nodes import BaseNode, BaseOrigin, CoreNode, ImageNode, Plan
from buildonce.plan.sources import Home, Request
from buildonce.store.results import ResultName


class Anew(Struct, frozen=True, kw_only=True):
    """The keys of cores and bases, and the variants and platforms of images, of which no earlier result counts."""

    keys: frozenset[str] = frozenset()
    images: frozenset[tuple[str, str]] = frozenset()

    def covers(self, name: ResultName) -> bool:
        """Say whether an earlier result of this name does not count."""
        return name.key in self.keys or (name.kind == "image" and (name.name, str(name.platform)) in self.images)


def absence(anew: Anew, name: ResultName, cache: str) -> str:
    """Return why no earlier result of this name is taken: it is to be made anew, or there is none."""
    if anew.covers(name):
        return "it is to be made anew (no-cache), whatever is there"
    return f"no {name.kind} {name.key[:12]} in {cache}"


def find_anew(plan: Plan, request: Request, graphs: Graphs) -> Anew:
    """Return what the options of the Dockerfiles want to be made anew.

    What is no engine's to make is not: its files are read anew where they change. Raises `UsageError` for a filter
    that names no stage.
    """
    _check_filters(request)
    linked: set[Home] = set()

    def is_anew(node: CoreNode | BaseNode | ImageNode, platform: Platform) -> bool:
        files = (node.file,) if isinstance(node, ImageNode) else plan.files_of(node)
        options = join_options([request.files[file].options for file in files])
        late = (*node.hoisted, *node.after) if isinstance(node, BaseNode) else ()
        return _is_anew(options, graphs[(node.file, platform)], node.stage, late) or node.built_on in linked

    for image in plan.linked:  # what others are built on comes first
        if is_anew(image, image.platform):
            linked.add(image.home)
    cores = {key for key, node in plan.cores.items() if not node.given and is_anew(node, node.target)}
    bases = {
        key for key, node in plan.bases.items() if node.origin is BaseOrigin.ENGINE and is_anew(node, node.platform)
    }
    images = {
        (node.variant, str(node.platform)) for node in (*plan.linked, *plan.images) if is_anew(node, node.platform)
    }
    return Anew(keys=frozenset(cores | bases), images=frozenset(images))


def _is_anew(options: BuildOptions, graph: StageGraph, stage: int, late: Collection[Span] = ()) -> bool:
    """Say whether a stage is made anew, by its options; what ``late`` copies bring is no part of it."""
    if options.no_cache or not options.no_cache_filter:
        return options.no_cache
    read = [
        dependency.source.index
        for member in chain(graph, graph.stages[stage])
        for dependency in member.dependencies
        if isinstance(dependency.source, StageSource) and dependency.instruction.span not in late
    ]
    members = [
        *chain(graph, graph.stages[stage]),
        *(one for index in read for one in reachable(graph, graph.stages[index])),
    ]
    return bool({name.lower() for name in options.no_cache_filter} & {one.name for one in members})


def _check_filters(request: Request) -> None:
    stages = {stage.name for file in request.files for stage in file.dockerfile.stages if stage.name}
    named: Mapping[str, None] = dict.fromkeys(name for file in request.files for name in file.options.no_cache_filter)
    for name in named:
        if name.lower() not in stages:
            raise UsageError(
                f"--no-cache-filter names the stage `{name}`, which no Dockerfile has",
                help=did_you_mean(name, stages) or f"the stages are {', '.join(sorted(stages))}",
            )
