"""[io] From a project on disk to a plan: its files and the digests of its external images decide it, no engine runs."""

from __future__ import annotations

import asyncio

from msgspec import Struct
from msgspec.structs import replace

from buildonce.dockerfile.evaluation import unused_build_args
from buildonce.dockerfile.problems import SyntaxProblem, suggest
from buildonce.dockerfile.stages import ImageSource, undefined_stage_diagnostic, used_contexts
from buildonce.errors import Error, StoreError
from buildonce.plan.file_plans import Images
from buildonce.plan.linking import Graphs
from buildonce.plan.nodes import Plan
from buildonce.plan.planning import make_graphs, make_plan, needed_images
from buildonce.plan.sources import RemoteContext, Request
from buildonce.plan.stage_recipes import is_commit
from buildonce.run.project import Project
from buildonce.run.resolving import OpenRepository, Resolve, resolve_images
from buildonce.run.state import State


class Planned(Struct, frozen=True, kw_only=True):
    """A plan and what it was made from."""

    project: Project
    request: Request
    graphs: Graphs
    images: Images
    plan: Plan


async def plan_project(
    project: Project,
    request: Request,
    *,
    open_repository: OpenRepository,
    state: State,
    resolve: Resolve = resolve_images,
) -> Planned:
    """Return the plan for a project, whose external images ``resolve`` finds.

    Raises `UsageError`, `DockerfileError` and `ContextError` for what is wrong with the project, and `StoreError` when
    an external image cannot be resolved.
    """
    graphs = make_graphs(request)
    wanted = needed_images(request, graphs)

    def explain(name: str, error: StoreError) -> Error:
        return explain_missing(name, error, graphs)

    images = await resolve(wanted, open_repository=open_repository, state=state, explain=explain)
    plan = await asyncio.to_thread(make_plan, request, graphs, images)
    warnings = tuple(f"no Dockerfile takes the build argument `{name}`" for name in unused_arguments(graphs))
    warnings += context_warnings(request, graphs)
    plan = replace(plan, warnings=(*plan.warnings, *warnings))
    return Planned(project=project, request=request, graphs=graphs, images=images, plan=plan)


def unused_arguments(graphs: Graphs) -> tuple[str, ...]:
    """Return the build arguments that no Dockerfile takes to which they are given."""
    given = {name for graph in graphs.values() for name in graph.build_args}
    used = {name for graph in graphs.values() for name in graph.build_args if name not in unused_build_args(graph)}
    return tuple(sorted(given - used))


def context_warnings(request: Request, graphs: Graphs) -> tuple[str, ...]:
    """Return what is odd about the named contexts: that no Dockerfile uses one, or that nothing pins what it holds."""
    used = frozenset[str]().union(*(used_contexts(graph) for graph in graphs.values()))
    known = {stage.name for graph in graphs.values() for stage in graph.stages if stage.name}
    known |= {one.name for graph in graphs.values() for one in graph.external_images}
    found = []
    given = {name: context for file in request.files for name, context in file.named_contexts.items()}
    for name, context in sorted(given.items()):
        if name not in used:
            near = suggest(name, known)
            hint = f"; did you mean `{near}`?" if near else ""
            found.append(f"no Dockerfile uses the named context `{name}`{hint}")
        elif isinstance(context, RemoteContext) and not is_commit(context.address):
            found.append(
                f"the named context `{name}` is known by its address alone: what is built once is used again "
                "even if the content there changes; name a Git commit"
            )
    return tuple(found)


def explain_missing(name: str, error: StoreError, graphs: Graphs) -> Error:
    """Return what to say of an image that cannot be resolved; a short name may be a stage's name gone wrong."""
    if any(character in name for character in "/:@."):
        return error
    for graph in graphs.values():
        for dependency in graph.dependencies:
            source = dependency.source
            if isinstance(source, ImageSource) and source.name == name and not source.context:
                note = f"as an image: {error.message}"
                return SyntaxProblem([undefined_stage_diagnostic(graph, dependency, notes=(note,))])
    return error
