"""A build in the environment of a CI job, with a real engine: its log, its page, its outputs, its error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.harness import AMD64, Host, Project, new_project

pytestmark = pytest.mark.host

DOCKERFILE = """\
FROM busybox:1.36-glibc AS builder
# %s
RUN echo '::warning::from the engine' && echo a > /a
FROM busybox:1.36-glibc AS app
COPY --from=builder /a /a
"""


@pytest.fixture
def project(host: Host, tmp_path: Path, run_id: str) -> Project:
    return new_project(host, tmp_path, {"Dockerfile": DOCKERFILE % run_id})


def job(project: Project) -> dict[str, str]:
    folder = project.folder.parent
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(folder),
        "GITHUB_STEP_SUMMARY": str(folder / "page.md"),
        "GITHUB_OUTPUT": str(folder / "outputs"),
    }


def test_a_build_folds_its_log_and_leaves_a_page_and_outputs(project: Project) -> None:
    ran = project.buildonce("build", "--json", "--platform", AMD64, environment=job(project))
    lines = ran.err.splitlines()
    opened = lines.index(next(line for line in lines if line.startswith("::group::compiling")))
    stopped = lines[opened + 1].removeprefix("::stop-commands::")
    resumed = lines.index(f"::{stopped}::")
    assert lines[resumed + 1] == "::endgroup::"
    inside = [number for number, line in enumerate(lines) if "::warning::from the engine" in line]
    assert inside
    assert all(opened < number < resumed for number in inside)
    page = (project.folder.parent / "page.md").read_text()
    assert "| app | linux/amd64 | assembled |" in page
    assert "compiling:" in page
    outputs = (project.folder.parent / "outputs").read_text().splitlines()
    assert json.loads(outputs[1])["app"][AMD64] == ran.document["images"][0]["digest"]


def test_a_failure_is_shown_at_the_line_that_failed(project: Project) -> None:
    project.edit("Dockerfile", "echo a > /a", "echo gone wrong && false")
    ran = project.buildonce("build", "--platform", AMD64, environment=job(project))
    assert ran.code == 1
    shown = [line for line in ran.err.splitlines() if line.startswith("::error ")]
    assert len(shown) == 1
    assert shown[0].startswith("::error file=project/Dockerfile,line=3,title=ENGINE-FAILED::")
    assert "gone wrong" in shown[0]


def test_a_mistake_in_a_dockerfile_is_shown_at_its_place(project: Project) -> None:
    project.edit("Dockerfile", "COPY --from", "COPPY --from")
    ran = project.buildonce("build", "--platform", AMD64, environment=job(project))
    assert ran.code == 2
    assert any(line.startswith("::error file=project/Dockerfile,line=5,col=1,") for line in ran.err.splitlines())
