"""Tags as buildonce.toml declares them, on images that are really shipped."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.fakes.registry import FakeRegistry

TOML = """\
push = "{host}/acme/app"
platforms = ["linux/amd64"]
tags = ["{{branch}}-{{variant}}", "{{variant}}"]
default = "claude"
latest = "branch main"

[variants.claude]

[variants.codex]
"""
DOCKERFILE = "FROM busybox:1 AS claude\nCOPY file /claude\nFROM busybox:1 AS codex\nCOPY file /codex\n"
CI = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "GITHUB_SHA", "CI_COMMIT_REF_NAME", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME")


@pytest.fixture
def clone(project: Path, registry: FakeRegistry, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two variants in a Git checkout of the branch `main`."""
    for name in CI:
        monkeypatch.delenv(name, raising=False)
    (Path(environment["PATH"]) / "git").symlink_to(str(shutil.which("git")))
    (project / "buildonce.toml").write_text(TOML.format(host=registry.host))
    (project / "Dockerfile").write_text(DOCKERFILE)
    (project / "file").write_text("1")
    git(project, "init", "--quiet", "--initial-branch", "main")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "x")
    return project


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(("git", *identity, "-C", str(folder), *arguments), check=True)


def tags(out: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in json.loads(out)["tags"]:
        found.setdefault(one["variant"], set()).add(one["tag"])
    return found


def test_the_default_variant_is_latest_on_its_branch(clone: Path, call: Call) -> None:
    ran = call("build", "--json")
    assert ran.code == 0, ran.err
    assert tags(ran.out) == {
        "claude": {"main-claude", "claude", "main", "latest"},
        "codex": {"main-codex", "codex"},
    }


def test_another_branch_moves_no_latest(clone: Path, call: Call) -> None:
    git(clone, "checkout", "--quiet", "-b", "feature/new")
    assert tags(call("build", "--json").out) == {
        "claude": {"feature-new-claude", "claude", "feature-new"},
        "codex": {"feature-new-codex", "codex"},
    }


def test_a_pull_request_moves_no_latest(clone: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_HEAD_REF", "main")
    assert "latest" not in tags(call("build", "--json").out)["claude"]


def test_one_variant_alone_is_not_taken_for_the_default(clone: Path, call: Call) -> None:
    assert tags(call("build", "--json", "--variant", "codex").out) == {"codex": {"main-codex", "codex"}}


def test_a_branch_called_latest_moves_nothing(clone: Path, call: Call) -> None:
    text = (clone / "buildonce.toml").read_text().replace('"{branch}-{variant}", "{variant}"', '"{branch}"')
    (clone / "buildonce.toml").write_text(text.replace("acme/app", "acme/{variant}"))
    git(clone, "checkout", "--quiet", "-b", "latest")
    ran = call("build")
    assert ran.code == 2
    assert ran.err.splitlines()[-3].startswith("error[USAGE]: `{branch}` gives the tag `latest` to variant `claude`")


def test_latest_that_is_nobodys_is_said_before_anything_is_shipped(
    clone: Path, call: Call, registry: FakeRegistry
) -> None:
    text = (clone / "buildonce.toml").read_text().replace('default = "claude"\n', "")
    (clone / "buildonce.toml").write_text(text)
    ran = call("build")
    assert ran.code == 2
    assert "`latest` would be moved, and nothing says to which variant: `claude`, `codex`" in ran.err
    assert not registry.requests("POST")
    assert not registry.requests("PUT")
