"""The jobs of a plan as a CI provider's matrices. Pure.

Nothing in a matrix comes from a name as it is: jobs have names of letters, digits and hyphens, and titles of letters,
digits and harmless signs.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from buildonce.ci.runners import emulated, runner_of
from buildonce.oci import Digest
from buildonce.report.wire import MatrixDocument, MatrixJob
from buildonce.run.plan_file import Job, PlanFile


def matrix_document(plan: PlanFile, digest: Digest) -> MatrixDocument:
    """Return the jobs of a plan, whose file has this digest."""
    return MatrixDocument(
        plan=digest,
        compile=tuple(_matrix(plan.jobs, "compile")),
        bases=tuple(_matrix(plan.jobs, "bases")),
        ship=not plan.is_shipped,
    )


def github_outputs(document: MatrixDocument) -> str:
    """Return the lines that a step appends to ``$GITHUB_OUTPUT``.

    ``compile`` and ``bases`` are matrices (with an empty ``include`` where there is nothing to do), ``compiles``,
    ``has-bases`` and ``ships`` say whether to run the jobs. ``plan`` tells this plan from others, in names.
    """
    outputs = {
        "plan": document.plan.partition(":")[2][:12],
        "compile": _include(document.compile),
        "bases": _include(document.bases),
        "compiles": _flag(bool(document.compile)),
        "has-bases": _flag(bool(document.bases)),
        "ships": _flag(document.ship),
    }
    return "".join(f"{name}={value}\n" for name, value in outputs.items())


def _include(jobs: Iterable[MatrixJob]) -> str:
    cells = [{"job": one.job, "title": one.title, "runner": one.runner, "emulate": one.emulate} for one in jobs]
    return msgspec.json.encode({"include": cells}).decode()


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _matrix(jobs: Iterable[Job], kind: str) -> Iterable[MatrixJob]:
    return (
        MatrixJob(
            job=job.name,
            title=job.title,
            platform=job.platform,
            runner=runner_of(job.platform),
            emulate=job.platform if emulated([job.platform]) else "",
            seconds=round(job.seconds, 1),
        )
        for job in jobs
        if job.kind == kind
    )
