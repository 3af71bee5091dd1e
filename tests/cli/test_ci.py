"""``buildonce ci``: the workflow of a project, as it is written and checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Call

TOML = 'push = "ghcr.io/acme/family"\nplatforms = ["linux/amd64", "linux/arm64"]\n[variants.claude]\n[variants.codex]\n'
WORKFLOW = Path(".github/workflows/buildonce.yml")


@pytest.fixture
def declared(project: Path) -> Path:
    (project / "buildonce.toml").write_text(TOML)
    return project


def test_the_workflow_names_the_place_and_no_variant(declared: Path, call: Call) -> None:
    ran = call("ci", "github")
    assert ran.code == 0, ran.err
    assert "ghcr.io/acme/family-cache" in ran.out
    assert "claude" not in ran.out
    assert not (declared / WORKFLOW).exists()


def test_a_workflow_that_was_written_is_up_to_date_until_the_project_changes(declared: Path, call: Call) -> None:
    assert call("ci", "github", "--write").code == 0
    assert (declared / WORKFLOW).read_text() == call("ci", "github").out
    assert call("ci", "github", "--check").code == 0
    (declared / "buildonce.toml").write_text(f"{TOML}[variants.kiro]\n")
    assert call("ci", "github", "--check").code == 0, "one more variant is the plan's business"
    (declared / "buildonce.toml").write_text(TOML.replace("acme/family", "acme/other"))
    ran = call("ci", "github", "--check")
    assert ran.code == 2
    assert f"{WORKFLOW}:" in ran.err
    assert 'it should say `CACHE: "ghcr.io/acme/other-cache"`' in ran.err
    assert "buildonce ci github --write" in ran.err


def test_a_workflow_that_is_missing_or_cut_off_is_not_up_to_date(declared: Path, call: Call) -> None:
    assert call("ci", "github", "--check").code == 2
    assert call("ci", "github", "--write").code == 0
    text = (declared / WORKFLOW).read_text()
    (declared / WORKFLOW).write_text(text[: len(text) // 2])
    assert call("ci", "github", "--check").code == 2
    (declared / WORKFLOW).write_text(f"{text}# more\n")
    assert call("ci", "github", "--check").code == 2


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("", "there is no buildonce.toml"),
        ("[variants.a]\n", "does not say which repository images go to"),
        ('push = "ghcr.io/acme/a"\ncache = "oci:cache"\n[variants.a]\n', "which other machines do not have"),
    ],
    ids=["no declaration", "no repository", "a cache on disk"],
)
def test_a_project_that_other_machines_cannot_build_is_told_why(
    project: Path, call: Call, toml: str, says: str
) -> None:
    (project / "Dockerfile").write_text("FROM scratch AS a\nENV A=1\n")
    if toml:
        (project / "buildonce.toml").write_text(toml)
    ran = call("ci", "github")
    assert ran.code == 2
    assert says in ran.err
