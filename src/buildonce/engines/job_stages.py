"""The stages of a job's Dockerfile as its engine resolves them, and those that its target needs. Pure."""

from __future__ import annotations

from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.runes import encode
from buildonce.dockerfile.stages import ResolvedStage, StageGraph, reachable, resolve_stages
from buildonce.dockerfile.syntax import Dockerfile
from buildonce.engines.protocol import BuildJob


def resolve_job(job: BuildJob, dockerfile: Dockerfile | None = None) -> tuple[StageGraph, tuple[ResolvedStage, ...]]:
    """Return the graph of a job's Dockerfile and the stages that its target needs, itself one of them.

    What a stage reads comes before it. There is none where the target is no stage.
    """
    graph = resolve_stages(
        dockerfile or parse_dockerfile(encode(job.dockerfile), job.path),
        build_args=job.build_args,
        target_platform=job.platform,
        build_platform=job.platform,
        named_contexts=job.named_contexts,
        target=job.target,
    )
    target = graph.find(job.target) if job.target else graph.stages[-1]
    return graph, tuple(reachable(graph, target)) if target else ()
