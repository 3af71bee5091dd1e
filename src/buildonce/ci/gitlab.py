"""The jobs of a plan as a child pipeline of GitLab CI. Pure.

It is JSON, which is YAML too, so that nothing in it is taken for anything else. GitLab knows no matrix that is made
while a pipeline runs; a job of the parent writes this, and another one triggers it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from buildonce.report.wire import MatrixDocument, MatrixJob

PLAN_FILE = ".buildonce/plan.json"
PARENT = "PARENT_PIPELINE_ID"
"""The variable that the parent hands on: its pipeline's ID."""

ENGINES = ".gitlab/buildonce.yml"
"""The project's file that says where jobs run."""

_MADE = ".buildonce/made"
"""Both are in the folder that no build context has in it."""
_ENGINE, _SMALL = ".buildonce-engine", ".buildonce-small"
"""Jobs of the project's own that say where jobs run: with an engine (for ``$PLATFORM``), and without one."""

Job = Mapping[str, object]


def render_child(document: MatrixDocument, include: str) -> str:
    """Return the child pipeline; ``include`` is the project's file with the jobs that all of them extend.

    Later stages get what earlier ones leave, so no job needs a list of others, which GitLab limits.
    """
    jobs: dict[str, object] = {
        "include": [{"local": include}],
        "stages": ["plan", "compile", "bases", "ship"],
        "plan": _plan(),
    }
    jobs |= _jobs("compile", document.compile)
    jobs |= _jobs("bases", document.bases)
    if document.ship:
        jobs["ship"] = _ship()
    return msgspec.json.format(msgspec.json.encode(jobs), indent=2).decode() + "\n"


def _plan() -> Job:
    """Return the job that hands the parent's plan on to all others; a pipeline has to have a job."""
    return {
        "stage": "plan",
        "extends": _SMALL,
        "needs": [{"pipeline": f"${PARENT}", "job": "plan"}],
        "variables": {"GIT_STRATEGY": "none"},
        "script": [f"test -s {PLAN_FILE}"],
        "artifacts": {"paths": [PLAN_FILE]},
    }


def _ship() -> Job:
    """Return the job that ships: one at a time, and tags move for the default branch and for Git tags alone."""
    script = [
        'stage=--stage; [ "$CI_COMMIT_BRANCH" = "$CI_DEFAULT_BRANCH" ] && stage=; [ -n "$CI_COMMIT_TAG" ] && stage=',
        f'buildonce make {PLAN_FILE} "$JOB" --made {_MADE} $stage',
    ]
    job = {name: value for name, value in _job("ship", _SMALL, {"JOB": "ship"}).items() if name != "artifacts"}
    return {**job, "script": script, "resource_group": "buildonce-ship"}


def _jobs(stage: str, jobs: Iterable[MatrixJob]) -> Mapping[str, Job]:
    return {
        one.job: _job(stage, _ENGINE, {"JOB": one.job, "TITLE": one.title, "PLATFORM": one.platform}) for one in jobs
    }


def _job(stage: str, extends: str, variables: Mapping[str, str]) -> Job:
    return {
        "stage": stage,
        "extends": extends,
        "variables": {name: _unexpanded(value) for name, value in variables.items()},
        "script": [f'buildonce make {PLAN_FILE} "$JOB" --made {_MADE}'],
        "artifacts": {"paths": [f"{_MADE}/"]},
    }


def _unexpanded(value: str) -> str:
    """Return a variable's value so that GitLab puts nothing into it."""
    return value.replace("$", "$$")
