"""Links: named contexts that are the results of other targets, of this or of another source file.

A linked target is planned in its own source file: what is copied from it are cores of its stages, and what is built on
it starts from its image. So a stage that several targets link to is one, however they call it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from buildonce.dockerfile.problems import did_you_mean
from buildonce.dockerfile.stages import StageGraph, TargetSource, reachable
from buildonce.errors import UsageError
from buildonce.oci import Platform
from buildonce.plan.file_plans import FilePlan, FindHome
from buildonce.plan.sources import Home, Request, SourceFile, TargetContext
from buildonce.plan.variants import find_target, stage_names

Graphs = Mapping[tuple[int, Platform], StageGraph]


def linked_platforms(file: SourceFile, request: Request) -> Mapping[str, tuple[Platform, ...]]:
    """Return the named contexts of a source file that are targets, and the platforms that these are built for."""
    return {
        name: context.platforms or request.platforms
        for name, context in file.named_contexts.items()
        if isinstance(context, TargetContext)
    }


def find_home(request: Request, file: int, source: TargetSource) -> Home:
    """Return where the target is planned that a source of ``file`` is. Raises `UsageError` if that is no stage."""
    context = request.files[file].named_contexts[source.name]
    assert isinstance(context, TargetContext)  # noqa: S101  only these make such sources
    dockerfile = request.files[context.file].dockerfile
    stage = find_target(dockerfile, context.target)
    if stage is None:
        raise UsageError(
            f"the target `{context.target}` of `{context.name}` is no stage of {dockerfile.path}",
            notes=(f"the named context `{source.name}` is its result",),
            help=did_you_mean(str(context.target), stage_names(dockerfile), "{}"),
        )
    built_for = context.platforms or request.platforms
    if source.platform not in built_for:
        raise UsageError(
            f"`{context.name}` is not built for {source.platform}",
            notes=(
                f"{request.files[file].dockerfile.path} takes its result, the named context `{source.name}`, for that",
            ),
            help=f"it is built for {', '.join(map(str, built_for))}: add {source.platform} there",
        )
    return Home(context.file, stage, source.platform, context.name)


def linked_files(request: Request, file: int, graph: StageGraph) -> tuple[tuple[int, Platform], ...]:
    """Return the source files of the targets that a graph uses, with the platforms that they are used for."""
    homes = [find_home(request, file, stage.linked) for stage in graph.stages if stage.linked]
    names = [stage.linked.name for stage in graph.stages if stage.linked]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise UsageError(
            f"{graph.dockerfile.path} takes the named context `{doubled[0]}` for two platforms, "
            "which cannot be expressed where it is the result of a target",
            help="give it two named contexts, one for each platform",
        )
    return tuple((home.file, home.platform) for home in homes)


def home_finder(request: Request, files: Mapping[tuple[int, Platform], FilePlan]) -> FindHome:
    """Return what finds where a target is planned, among ``files``."""

    def find(file: int, source: TargetSource) -> tuple[FilePlan, int, Platform]:
        home = find_home(request, file, source)
        return files[home.file, home.platform], home.stage, home.platform

    return find


def linked_homes(request: Request, graphs: Graphs, home: Home) -> Iterator[Home]:
    """Yield where everything is planned that a stage takes from other targets, directly or not."""
    pending, known = [home], {home}
    while pending:
        one = pending.pop()
        graph = graphs[one.file, one.platform]
        for member in reachable(graph, graph.stages[one.stage]):
            found = find_home(request, one.file, member.linked) if member.linked else None
            if found and found not in known:
                known.add(found)
                pending.append(found)
                yield found
