"""The child pipeline for GitLab: its form, and that nothing in it comes from a name as it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from buildonce.ci.gitlab import render_child
from buildonce.oci import digest_of
from buildonce.report.wire import MatrixDocument, MatrixJob

PAGE = (Path(__file__).parents[2] / "docs" / "many-machines.md").read_text()
NOTHING = MatrixDocument(plan=digest_of(b"p"), compile=(), bases=(), ship=False)


def job(name: str, title: str = "t", platform: str = "linux/amd64") -> MatrixJob:
    return MatrixJob(job=name, title=title, platform=platform, runner="r", emulate="", seconds=1.0)


FULL = MatrixDocument(
    plan=digest_of(b"p"),
    compile=(job("compile-a", "cost: $HOME ${X}"), job("compile-b", platform="linux/arm64")),
    bases=(job("bases-1"),),
    ship=True,
)


def child(document: MatrixDocument) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(render_child(document, ".gitlab/buildonce.yml"))
    return found


def example(name: str) -> str:
    block = re.search(rf"\n    # {re.escape(name)}\n((?:    .*\n|\n)+)", PAGE)
    assert block
    return dedent(block[1])


def check(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    path = folder / ".gitlab-ci.yml"
    path.write_text(text)
    program = Path(sys.executable).parent / "check-jsonschema"
    return subprocess.run(
        [program, "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", path],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("document", [FULL, NOTHING])
def test_it_is_a_pipeline_by_the_published_schema(tmp_path: Path, document: MatrixDocument) -> None:
    done = check(tmp_path, render_child(document, ".gitlab/buildonce.yml"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", [".gitlab-ci.yml", ".gitlab/buildonce.yml"])
def test_so_are_the_files_of_the_documentation(tmp_path: Path, name: str) -> None:
    done = check(tmp_path, example(name))
    assert done.returncode == 0, done.stdout


def test_the_schema_would_find_something(tmp_path: Path) -> None:
    assert check(tmp_path, render_child(FULL, "x").replace('"script"', '"skript"')).returncode == 1


def test_stages_follow_each_other_and_each_job_names_itself() -> None:
    found = child(FULL)
    assert {name: one["stage"] for name, one in found.items() if name not in ("include", "stages")} == {
        "plan": "plan",
        "compile-a": "compile",
        "compile-b": "compile",
        "bases-1": "bases",
        "ship": "ship",
    }
    assert found["stages"] == ["plan", "compile", "bases", "ship"]
    assert found["compile-b"]["variables"]["PLATFORM"] == "linux/arm64"
    assert all("needs" not in one for name, one in found.items() if name in ("compile-a", "bases-1", "ship"))
    assert {one["extends"] for name, one in found.items() if "extends" in one} == {
        match[1] for match in re.finditer(r"^(\.buildonce-\w+):", example(".gitlab/buildonce.yml"), re.MULTILINE)
    }


def test_nothing_of_a_title_is_put_in_or_run() -> None:
    found = child(FULL)
    assert found["compile-a"]["variables"]["TITLE"] == "cost: $$HOME $${X}"
    scripts = {line for one in found.values() if isinstance(one, dict) for line in one.get("script", ())}
    stage = 'stage=--stage; [ "$CI_COMMIT_BRANCH" = "$CI_DEFAULT_BRANCH" ] && stage=; [ -n "$CI_COMMIT_TAG" ] && stage='
    make = 'buildonce make .buildonce/plan.json "$JOB" --made .buildonce/made'
    assert scripts == {"test -s .buildonce/plan.json", make, stage, f"{make} $stage"}


def test_nothing_to_do_is_a_pipeline_of_one_job() -> None:
    assert set(child(NOTHING)) == {"include", "stages", "plan"}
    assert json.loads(render_child(NOTHING, "x"))["plan"]["variables"] == {"GIT_STRATEGY": "none"}
