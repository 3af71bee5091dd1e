"""The workflow for GitHub Actions: what others' checks say of it, and what it keeps to."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from buildonce.ci.github import Workflow, render_workflow

HOSTILE = ("$(id)", "`id`", "a'b", 'a"b', "a: b #", "${{ github.token }}", "a\\b")
WORKFLOWS = {
    "github's registry": Workflow(
        install="buildonce==1.0",
        registries=("ghcr.io",),
        cache="ghcr.io/acme/family-cache",
        platforms=("linux/amd64", "linux/arm64"),
    ),
    "others": Workflow(
        install="buildonce==1.0",
        registries=("docker.io", "quay.io"),
        cache="quay.io/acme/family-cache",
        platforms=("linux/amd64",),
    ),
    "what builds are handed": Workflow(
        install="buildonce==1.0",
        registries=("ghcr.io",),
        cache="ghcr.io/acme/family-cache",
        platforms=("linux/amd64",),
        variables=("NPM_TOKEN", "OTHER"),
        has_github_cache=True,
    ),
    "emulated platforms": Workflow(
        install="buildonce==1.0",
        registries=("ghcr.io",),
        cache="ghcr.io/acme/family-cache",
        platforms=("linux/arm64", "linux/riscv64", "linux/s390x"),
    ),
}
EACH = pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)
PROGRAMS = Path(sys.executable).parent


def load(workflow: Workflow) -> Mapping[Any, Any]:
    found: Mapping[Any, Any] = yaml.safe_load(render_workflow(workflow))
    return found


def steps(workflow: Workflow) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, job in load(workflow)["jobs"].items():
        yield from ((name, step) for step in job["steps"])


def check(folder: Path, text: str, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = folder / ".github" / "workflows" / "buildonce.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return subprocess.run([PROGRAMS / program, *arguments, path], capture_output=True, text=True, cwd=folder)


def schema(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    return check(folder, text, "check-jsonschema", "--builtin-schema", "vendor.github-workflows")


def zizmor(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    return check(folder, text, "zizmor", "--offline", "--no-config", "--persona=auditor", "--strict-collection")


def actionlint(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    return check(folder, text, "actionlint", "-no-color")


@EACH
def test_it_is_a_workflow_by_the_published_schema(tmp_path: Path, workflow: Workflow) -> None:
    done = schema(tmp_path, render_workflow(workflow))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("branch", HOSTILE)
def test_it_is_one_with_a_hostile_name_in_it_too(tmp_path: Path, branch: str) -> None:
    text = render_workflow(_on(WORKFLOWS["others"], branch))
    assert schema(tmp_path, text).returncode == 0
    assert zizmor(tmp_path, text).returncode == 0


@EACH
def test_zizmor_finds_nothing(tmp_path: Path, workflow: Workflow) -> None:
    done = zizmor(tmp_path, render_workflow(workflow))
    assert done.returncode == 0, done.stdout
    assert "No findings to report" in done.stderr + done.stdout


if sys.platform == "linux" and (PROGRAMS / "actionlint").exists():  # there is a wheel of it for x86-64 alone

    @EACH
    def test_actionlint_finds_nothing(tmp_path: Path, workflow: Workflow) -> None:
        done = actionlint(tmp_path, render_workflow(workflow))
        assert (done.returncode, done.stdout) == (0, "")

    def test_actionlint_would_find_something(tmp_path: Path) -> None:
        text = render_workflow(WORKFLOWS["others"]).replace("needs.plan.outputs.compile)", "needs.plan.outputs.compil)")
        assert 'property "compil" is not defined' in actionlint(tmp_path, text).stdout


def test_the_schema_and_zizmor_would_find_something(tmp_path: Path) -> None:
    text = render_workflow(WORKFLOWS["others"])
    assert schema(tmp_path, text.replace("runs-on: ubuntu-24.04", "runs-at: ubuntu-24.04")).returncode == 1
    injected = text.replace('run: pipx install "$BUILDONCE"', 'run: pipx install "${{ github.head_ref }}"')
    assert "template-injection" in zizmor(tmp_path, injected).stdout
    assert "unpinned-uses" in zizmor(tmp_path, re.sub(r"checkout@[0-9a-f]{40} # v7.0.1", "checkout@v7", text)).stdout


def _on(workflow: Workflow, branch: str) -> Workflow:
    from msgspec.structs import replace

    return replace(workflow, branch=branch)


@EACH
@pytest.mark.parametrize("branch", HOSTILE)
def test_a_hostile_name_stays_a_name(workflow: Workflow, branch: str) -> None:
    hostile = load(_on(workflow, branch))
    assert hostile[True]["push"]["branches"] == [branch]  # YAML reads `on` as true
    plain = load(workflow)
    assert hostile["jobs"] == plain["jobs"]


@EACH
def test_no_value_from_outside_stands_in_a_script(workflow: Workflow) -> None:
    scripts = [step["run"] for _, step in steps(workflow) if "run" in step]
    assert scripts
    assert not [script for script in scripts if "${{" in script]


@EACH
def test_every_action_is_pinned_by_its_commit(workflow: Workflow) -> None:
    used = [step["uses"] for _, step in steps(workflow) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40}", one) for one in used)
    assert all(re.search(rf"{re.escape(one)} # v[0-9.]+$", render_workflow(workflow), re.MULTILINE) for one in used)


@EACH
def test_no_job_may_do_more_than_it_needs(workflow: Workflow) -> None:
    loaded = load(workflow)
    assert loaded["permissions"] == {}
    granted = {name: job["permissions"] for name, job in loaded["jobs"].items()}
    read, write = {"contents": "read", "packages": "read"}, {"contents": "read", "packages": "write"}
    assert granted == {"plan": read, "compile": write, "bases": write, "ship": write, "fork": read}
    assert all(
        step["with"]["persist-credentials"] is False
        for _, step in steps(workflow)
        if "checkout" in step.get("uses", "")
    )


@EACH
def test_a_pull_request_from_a_fork_runs_one_job_that_writes_nowhere(workflow: Workflow) -> None:
    jobs = load(workflow)["jobs"]
    assert jobs["fork"]["if"].endswith("head.repo.full_name != github.repository")
    assert jobs["plan"]["if"].endswith("head.repo.full_name == github.repository")
    script = jobs["fork"]["steps"][-1]["run"]
    assert "--cache-read-only" in script
    assert "--push" not in script
    assert not [step for step in jobs["fork"]["steps"] if "secrets." in str(step.get("env"))]
    reachable = {"plan"}
    for name in ("compile", "bases", "ship"):
        assert set(jobs[name]["needs"] if isinstance(jobs[name]["needs"], list) else [jobs[name]["needs"]]) <= reachable
        reachable.add(name)


def test_an_emulator_is_set_up_only_where_a_platform_needs_one() -> None:
    def with_emulator(workflow: Workflow) -> set[str]:
        return {name for name, step in steps(workflow) if "qemu" in step.get("uses", "")}

    assert with_emulator(WORKFLOWS["github's registry"]) == set()
    assert with_emulator(WORKFLOWS["emulated platforms"]) == {"compile", "bases", "fork"}


def test_only_jobs_that_may_need_an_engine_start_one() -> None:
    started = {name for name, step in steps(WORKFLOWS["others"]) if "docker buildx create" in step.get("run", "")}
    assert started == {"compile", "bases", "fork"}


def test_nothing_that_jobs_leave_is_in_the_checkout() -> None:
    for _, step in steps(WORKFLOWS["others"]):
        path = step.get("with", {}).get("path", "")
        assert path.startswith("${{ runner.temp }}/") or not path


def test_each_registry_has_a_login_of_its_own_in_an_environment_of_its_own() -> None:
    jobs = load(WORKFLOWS["others"])["jobs"]
    assert {name: job.get("environment") for name, job in jobs.items()} == {
        "plan": "registries",
        "compile": "registries",
        "bases": "registries",
        "ship": "registries",
        "fork": None,
    }
    logins = {
        step["env"]["REGISTRY"]: step["env"]["TOKEN"]
        for _, step in steps(WORKFLOWS["others"])
        if "Log in" in step["name"]
    }
    assert logins == {
        "docker.io": "${{ secrets.DOCKER_IO_TOKEN }}",
        "quay.io": "${{ secrets.QUAY_IO_TOKEN }}",
    }
    assert not [job for job in load(WORKFLOWS["github's registry"])["jobs"].values() if "environment" in job]


def test_secrets_of_builds_go_to_the_jobs_that_build_alone() -> None:
    handed = WORKFLOWS["what builds are handed"]
    with_token = {name for name, step in steps(handed) if "NPM_TOKEN" in step.get("env", {})}
    assert with_token == {"compile", "bases"}
    assert all("NPM_TOKEN" not in step.get("run", "") for _, step in steps(handed))
    with_cache = {name for name, step in steps(handed) if "github-script" in step.get("uses", "")}
    assert with_cache == {"compile"}
