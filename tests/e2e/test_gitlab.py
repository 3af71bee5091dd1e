"""A child pipeline for GitLab, its scripts carried out stage by stage: checkouts and artifacts as GitLab gives them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.harness import AMD64, Host, Project, new_project

pytestmark = pytest.mark.host

DOCKERFILE = """\
FROM busybox:1.36-glibc AS builder
COPY . /all
RUN cp /all/version.txt /app
FROM busybox:1.36-glibc AS one
COPY --from=builder /app /app
FROM busybox:1.36-glibc AS two
RUN mkdir /two
COPY --from=builder /app /app
"""


class Pipeline:
    """What GitLab's coordinator does: jobs in the order of their stages, each in a checkout with earlier artifacts."""

    def __init__(self, project: Project, folder: Path, branch: str = "main") -> None:
        self._project = project
        self._given = {"CI_DEFAULT_BRANCH": "main", "CI_COMMIT_BRANCH": branch, "CI_COMMIT_TAG": ""}
        self._folder = folder
        self._artifacts = folder / "artifacts"
        self._artifacts.mkdir(parents=True)
        program = folder / "bin" / "buildonce"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m buildonce "$@"\n')
        program.chmod(0o755)
        self._path = os.pathsep.join((str(program.parent), project.host.environment["PATH"]))

    def job(self, name: str, scripts: list[str], variables: Mapping[str, str], paths: list[str]) -> None:
        checkout = self._folder / "jobs" / name
        shutil.copytree(self._project.folder, checkout)
        shutil.copytree(self._artifacts, checkout, dirs_exist_ok=True)
        home = str(self._folder / "homes" / name)
        own = {"PATH": self._path, "HOME": home, "BUILDONCE_STATE": f"{home}/state"}
        expanded = {key: value.replace("$$", "$") for key, value in variables.items()}
        script = "\n".join(("set -eo pipefail", *scripts))
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=checkout,
            env={**self._project.host.environment, **own, **self._given, **expanded},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{name}: {script}\n{done.stdout}{done.stderr}"
        for path in paths:
            source, target = checkout / path, self._artifacts / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, target, dirs_exist_ok=True) if source.is_dir() else shutil.copy(source, target)

    def run(self) -> list[str]:
        """Plan, and run the child; return the names of its jobs in their order."""
        plan = "buildonce plan --write .buildonce/plan.json --matrix gitlab > .buildonce/child.yml"
        self.job("parent", ["mkdir -p .buildonce", plan], {}, [".buildonce/plan.json", ".buildonce/child.yml"])
        child: dict[str, Any] = yaml.safe_load((self._artifacts / ".buildonce" / "child.yml").read_text())
        ran = []
        for stage in child["stages"]:
            for name, job in child.items():
                if isinstance(job, dict) and job["stage"] == stage:
                    self.job(name, job["script"], job["variables"], job.get("artifacts", {}).get("paths", []))
                    ran.append(name)
        return ran


def test_the_pipeline_ships_what_there_is_to_ship(host: Host, tmp_path: Path, run_id: str) -> None:
    target = f"{host.registry}/gitlab-{run_id}"
    project = new_project(
        host,
        tmp_path,
        {
            "Dockerfile": DOCKERFILE,
            "version.txt": run_id,
            "buildonce.toml": f'platforms = ["{AMD64}"]\npush = "{target}"\n[variants.one]\n[variants.two]\n',
        },
    )
    first = Pipeline(project, tmp_path / "first").run()
    assert first == ["plan", f"compile-builder-{AMD64.replace('/', '-')}", *first[2:-1], "ship"]
    assert len(first) == 4
    verified = project.buildonce("verify", f"{target}:one", f"{target}:two")
    assert verified.code == 0, verified.out + verified.err
    assert Pipeline(project, tmp_path / "again").run() == ["plan"]
    project.write("version.txt", f"{run_id} changed")
    before = project.host.demand("docker", "buildx", "imagetools", "inspect", "--raw", f"{target}:one")
    assert Pipeline(project, tmp_path / "aside", branch="feature").run() == ["plan", first[1], "ship"]
    assert project.host.demand("docker", "buildx", "imagetools", "inspect", "--raw", f"{target}:one") == before
    assert Pipeline(project, tmp_path / "changed").run() == ["plan", "ship"]
    assert project.host.demand("docker", "buildx", "imagetools", "inspect", "--raw", f"{target}:one") != before
