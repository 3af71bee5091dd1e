"""Which steps of a Dockerfile a job has the engine run, under names that jobs of one run can be compared by. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from buildonce.dockerfile.stages import ResolvedStage, StageGraph, StageSource
from buildonce.dockerfile.syntax import Arg, Run, TypedInstruction
from buildonce.engines.job_stages import resolve_job
from buildonce.engines.protocol import BuildJob


def find_steps(job: BuildJob) -> frozenset[str]:
    """Return a name for each RUN that the job's target needs; two jobs have a name in common if they run the same.

    A name covers what comes before: the image, the instructions in their order, the stages that they read, the values
    of arguments where they are declared, the platform, the context's folder. Files are not looked at: those of one
    folder are the same to all jobs of a run.
    """
    graph, stages = resolve_job(job)
    ends: dict[int, str] = {}
    found: set[str] = set()
    for stage in stages:
        end = _begin(job, stage, ends)
        for typed in stage.instructions:
            end = _name(end, *_words(graph, stage, typed, ends))
            if isinstance(typed, Run):
                found.add(end)
        ends[stage.index] = end
    return frozenset(found)


def _begin(job: BuildJob, stage: ResolvedStage, ends: Mapping[int, str]) -> str:
    if isinstance(stage.base, StageSource):
        return ends[stage.base.index]
    return _name(str(job.context.resolve()), str(stage.platform), repr(stage.base))


def _words(graph: StageGraph, stage: ResolvedStage, typed: TypedInstruction, ends: Mapping[int, str]) -> Iterator[str]:
    """Yield what one instruction adds to what comes before it."""
    yield typed.instruction.original
    yield from (heredoc.content for heredoc in typed.instruction.heredocs)
    if isinstance(typed, Arg):
        values = {**graph.global_args, **graph.build_args}
        yield from (f"{name}={values[name]}" for name, _ in typed.pairs if name in values)
    for used in stage.dependencies:
        if used.instruction is typed:
            source = used.source
            yield ends.get(source.index, used.name) if isinstance(source, StageSource) else repr(source)


def _name(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()
