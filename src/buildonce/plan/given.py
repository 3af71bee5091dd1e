"""Given cores: a stage whose files the user brings is planned as a stage that copies them onto nothing.

What such a stage says in the Dockerfile counts no more: not its base, and not what it reads. Plain `docker build` still
builds it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.problems import did_you_mean
from buildonce.dockerfile.stages import StageGraph, chain
from buildonce.dockerfile.syntax import Dockerfile, From, Span, Stage, TypedInstruction
from buildonce.errors import UsageError
from buildonce.oci import Platform
from buildonce.plan.nodes import CoreNode, Plan
from buildonce.plan.sources import FolderContext, Request, SourceFile

_Placed = TypeVar("_Placed", From, TypedInstruction)


def give_stages(dockerfile: Dockerfile, names: Collection[str]) -> Dockerfile:
    """Return the Dockerfile with the stages of these names replaced by ones that copy what is given."""
    stages = tuple(_given(stage) if stage.name in names else stage for stage in dockerfile.stages)
    return replace(dockerfile, stages=stages)


def given_context(stage: str) -> str:
    """Return the name of the context that has a given stage's files, in its familiar form."""
    return f"buildonce.given/{stage}"


def given_folders(file: SourceFile, graph: StageGraph) -> Mapping[str, FolderContext]:
    """Return the contexts that a given stage copies from, for the platform of ``graph``."""
    platform = graph.target_platform
    return {
        given_context(name): FolderContext(path="", files=found[platform])
        for name, found in file.given.items()
        if platform in found
    }


def check_given_stages(request: Request) -> None:
    """Raise `UsageError` for a core that is given for no stage, or not for a platform that it is needed for."""
    names = {stage.name for file in request.files for stage in file.dockerfile.stages if stage.name}
    for number, file in enumerate(request.files):
        for name, found in file.given.items():
            if name not in names:
                raise UsageError(
                    f"a core is given for the stage `{name}`, which no Dockerfile has",
                    help=did_you_mean(name, names) or f"the stages are {', '.join(sorted(names))}",
                )
            missing = [str(platform) for platform in request.platforms_of(number) if platform not in found]
            if missing and file.dockerfile.find_stage(name):
                raise UsageError(
                    f"the core `{name}` is given, but not for {', '.join(missing)}",
                    help="put the files of every platform in place, or leave out the platform",
                )


def check_given_cores(plan: Plan, request: Request, graphs: Mapping[tuple[int, Platform], StageGraph]) -> None:
    """Raise `UsageError` for images that need more of a given core than its files, or files that it has not."""
    for image in plan.images:
        graph = graphs[image.file, image.platform]
        _refuse_base(f"variant `{image.variant}`", graph, image.stage, request.files[image.file].given)
    for node in plan.cores.values():
        if not node.given:
            graph = graphs[node.file, node.target]
            _refuse_base(f"the stage `{node.name}`", graph, node.stage, request.files[node.file].given)
    problems = [problem for node in plan.cores.values() if node.given for problem in _lacks(node, request)]
    if problems:
        raise UsageError(
            "; ".join(problems),
            help="give a file for each path that a COPY --from takes, under the path that it has in the stage",
        )


def _refuse_base(what: str, graph: StageGraph, stage: int, given: Collection[str]) -> None:
    for one in chain(graph, graph.stages[stage]):
        if one.name in given:
            raise UsageError(
                f"{what} is built FROM the stage `{one.name}`, whose files are given",
                notes=("a given core has files and no image, so only COPY --from can take from it",),
                help=f"start it from another image, and copy from `{one.name}`",
            )


def _lacks(node: CoreNode, request: Request) -> Iterable[str]:
    listed = request.files[node.file].given[node.name][node.target].files((".",), ())
    paths = {"/" + one.path.strip("/") for one in listed}
    links = {"/" + one.path.strip("/") for one in listed if one.type == "link"}
    parents = {parent for path in paths for parent in _parents(path)}
    for path in node.paths:
        if path not in paths and path not in parents and not links.intersection(_parents(path)):
            yield f"the given core `{node}` has no `{path}`, which is copied from it"


def _parents(path: str) -> Iterable[str]:
    while path != "/":
        path = posixpath.dirname(path)
        yield path


def _given(stage: Stage) -> Stage:
    text = f"FROM scratch AS {stage.name}\nCOPY --from={given_context(str(stage.name))} . /\n"
    made = parse_dockerfile(text.encode(), "").stages[0]
    span = stage.from_.span
    return replace(
        made,
        index=stage.index,
        span=stage.span,
        from_=_placed(made.from_, span),
        instructions=tuple(_placed(one, span) for one in made.instructions),
    )


def _placed(typed: _Placed, span: Span) -> _Placed:
    """Return an instruction as if it stood where the given stage's FROM does."""
    return replace(typed, instruction=replace(typed.instruction, span=span))
