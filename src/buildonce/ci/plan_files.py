"""A decision as a plan file. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from buildonce.ci.jobs import make_jobs
from buildonce.oci import Digest
from buildonce.project.declaration import Declaration
from buildonce.run.agreement import all_accounts, image_key
from buildonce.run.deciding import Decision
from buildonce.run.inspection import Finding
from buildonce.run.plan_file import DecidedNode, Job, PinnedImage, PlanFile, PlannedVariant, pack_accounts
from buildonce.run.plan_secrets import without_secrets


class Setting(Struct, frozen=True, kw_only=True):
    """What counts for a plan besides its nodes; see `PlanFile`."""

    declaration: Declaration
    file: str | None
    commit: str
    cache: str
    cache_read_only: bool
    variants: tuple[PlannedVariant, ...]
    epoch: int | None
    compression: str
    unchecked: tuple[str, ...]


def make_plan_file(
    decision: Decision, setting: Setting, images: tuple[PinnedImage, ...], documents: Mapping[Digest, str]
) -> PlanFile:
    """Return the plan file of a decision. Raises `UsageError` if it would show a secret."""
    declaration, secrets = without_secrets(setting.declaration)
    jobs = make_jobs(decision)
    planned = decision.planned
    return PlanFile(
        commit=setting.commit,
        declaration=declaration,
        secrets=secrets,
        file=setting.file,
        selected=planned.request.variants,
        cache=setting.cache,
        cache_read_only=setting.cache_read_only,
        variants=setting.variants,
        epoch=setting.epoch,
        compression=setting.compression,
        unchecked=setting.unchecked,
        images=images,
        documents=documents,
        nodes=tuple(_nodes(decision, jobs)),
        results={tag: result.stored.digest for tag, result in sorted(decision.results.items())},
        jobs=jobs,
        warnings=planned.plan.warnings,
        accounts=pack_accounts(all_accounts(planned)),
    )


def _nodes(decision: Decision, jobs: tuple[Job, ...]) -> Iterator[DecidedNode]:
    """Yield what was decided for every node, with the job that makes it."""
    plan, inspection = decision.planned.plan, decision.inspection
    makers = {name: job.name for job in reversed(jobs) for name in (*job.cores, *job.bases, *job.images)}

    def decided(kind: str, name: str, platform: str, key: str, own: str, finding: Finding, why: str) -> DecidedNode:
        return DecidedNode(
            kind=kind,
            name=name,
            platform=platform,
            key=key,
            action=finding.action.value,
            reason=why or finding.reason,
            seconds=decision.seconds.get(own, finding.seconds),
            job=makers.get(own),
        )

    for key, found in inspection.cores.items():
        core = plan.cores[key]
        yield decided("core", core.name, str(core.platform), key, key, found, "")
    for key, found in inspection.bases.items():
        base, why = plan.bases[key], decision.unready.get(key, "")
        yield decided("base", base.name, str(base.platform), key, key, found, why)
    for node, finding in inspection.images:
        why = decision.unfinished.get(str(node), "")
        yield decided("image", node.variant, str(node.platform), image_key(node), str(node), finding, why)
