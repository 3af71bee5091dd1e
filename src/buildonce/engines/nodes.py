"""Whether a builder has a node for what a job runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from buildonce.dockerfile.syntax import Run
from buildonce.engines.builders import Builder
from buildonce.engines.job_stages import resolve_job
from buildonce.engines.protocol import BuildJob
from buildonce.errors import EngineUnavailable
from buildonce.oci import Platform


def require_nodes(builder: Builder, job: BuildJob) -> None:
    """Raise `EngineUnavailable` if the job has a RUN for a machine that no node of the builder is, or emulates.

    What runs nothing can be built anywhere. buildx takes a node that lists the job's platform, else the first.
    Of a node that is not running, no more is known than what it was made for.
    """
    if not builder.is_up:
        return
    fitting = [node for node in builder.nodes if node.is_for(job.platform)]
    for platform, line in _runs(job):
        if not any(node.is_for(platform) for node in fitting or builder.nodes[:1]):
            what = f"no node for {job.platform} that runs" if fitting else "no node that runs"
            raise EngineUnavailable(
                f"the builder `{builder.name}` has {what} {platform}, and {job.path}:{line} is a RUN there "
                f"({job.activity.value} {job.node})",
                notes=tuple(f"`{node.name}` runs {node.platforms}" for node in builder.nodes),
                help=_help(builder, platform),
            )


def _runs(job: BuildJob) -> Iterator[tuple[Platform, int]]:
    """Yield the platform and the line of every RUN that the job's target needs."""
    _, stages = resolve_job(job)
    for stage in stages:
        for typed in stage.instructions:
            if isinstance(typed, Run):
                yield stage.platform, typed.span.start


def _help(builder: Builder, platform: Platform) -> str:
    emulator = f"register an emulator for {platform.architecture} (QEMU)"
    if builder.driver == "docker":
        return f"{emulator}, or make a builder with `docker buildx create --use`"
    node = f"docker buildx create --append --name {builder.name} --platform {platform} ..."
    return f"add a node with `{node}`, or {emulator} where one is"
