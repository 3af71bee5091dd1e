"""``buildonce ci local``: the workflow's own jobs, tried on one machine against a registry in memory.

No engine is needed: what these variants are made of is plain images and files of the context.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from buildonce.ci.trials import Event, Trial
from tests.cli.conftest import Call, Ran
from tests.fakes.registry import FakeRegistry

DOCKERFILE = """\
FROM busybox:1 AS one
COPY one /one

FROM busybox:1 AS two
COPY two /two
"""


HOSTILE = ("$(touch injected)", "`touch injected`", "'; touch injected; '", '"; touch injected; "')


@pytest.fixture
def repository(registry: FakeRegistry, project: Path, environment: dict[str, str]) -> str:
    """A declared project, and the repository that it ships to."""
    environment["PATH"] += f"{os.pathsep}/usr/bin{os.pathsep}/bin"
    found = f"{registry.host}/team/app"
    (project / "Dockerfile").write_text(DOCKERFILE)
    (project / "one").write_text("1")
    (project / "two").write_text("2")
    (project / "buildonce.toml").write_text(
        f'push = "{found}"\nplatforms = ["linux/amd64", "linux/arm64"]\n[variants.one]\n[variants.two]\n'
    )
    return found


def results(ran: Ran) -> dict[str, str]:
    """Return how each job ended."""
    assert ran.out, ran.err
    rows = [line.split() for line in ran.out.splitlines()[1:]]
    return {row[0]: next(word for word in row if word in ("success", "failure", "skipped")) for row in rows}


def tags(registry: FakeRegistry) -> set[str]:
    return set(registry.repository("team/app").tags)


def test_a_push_ships_and_another_one_finds_nothing_to_do(repository: str, registry: FakeRegistry, call: Call) -> None:
    ran = call("ci", "local", "--event=push")
    assert ran.code == 0, ran.err
    assert results(ran) == {
        "plan": "success",
        "compile": "skipped",
        "bases": "success",
        "ship": "success",
        "fork": "skipped",
    }
    assert tags(registry) == {"one", "two"}
    again = call("ci", "local", "--event=push")
    assert results(again)["bases"] == results(again)["ship"] == "skipped"


def test_a_pull_request_moves_no_tag(repository: str, registry: FakeRegistry, call: Call, tmp_path: Path) -> None:
    ran = call("ci", "local", f"--keep={tmp_path / 'kept'}")
    assert (ran.code, results(ran)["ship"]) == (0, "success"), ran.err
    assert not tags(registry)
    record = json.loads((tmp_path / "kept" / "artifacts" / "buildonce-shipped" / "shipped.json").read_text())
    assert record["schema"] == "buildonce.release/1"


def test_a_fork_writes_to_no_registry(repository: str, registry: FakeRegistry, call: Call) -> None:
    assert call("ci", "local", "--event=push").code == 0
    registry.log.clear()
    ran = call("ci", "local", "--event=fork")
    assert ran.code == 0, ran.err
    assert results(ran) == {**dict.fromkeys(("plan", "compile", "bases", "ship"), "skipped"), "fork": "success"}
    assert registry.log
    assert {request.method for request in registry.log} <= {"GET", "HEAD"}


def test_a_start_by_hand_takes_variants_and_a_tag(repository: str, registry: FakeRegistry, call: Call) -> None:
    ran = call("ci", "local", "--event=workflow_dispatch", "--variants=two", "--tag=nightly-{variant}")
    assert ran.code == 0, ran.err
    assert tags(registry) == {"nightly-two"}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_inputs_and_branches_that_are_commands_stay_words(
    repository: str, registry: FakeRegistry, project: Path, call: Call, tmp_path: Path, hostile: str
) -> None:
    kept = tmp_path / "kept"
    ran = call(
        "ci", "local", "--event=workflow_dispatch", f"--variants={hostile}", f"--tag={hostile}", f"--keep={kept}"
    )
    assert ran.code == 1
    assert results(ran)["plan"] == "failure"
    assert not list(kept.rglob("injected"))
    text = call("ci", "github").out
    event = Event(name="push", branch=hostile)
    runs = Trial(project=project, folder=tmp_path / "branch", event=event, say=lambda _: None).run(text)
    assert [run.job for run in runs if run.result == "success"] == ["plan", "bases", "bases", "ship"]
    assert not list((tmp_path / "branch").rglob("injected"))


def test_a_job_that_fails_keeps_those_that_need_it_from_running(
    repository: str, registry: FakeRegistry, project: Path, call: Call
) -> None:
    text = (project / "Dockerfile").read_text()
    (project / "Dockerfile").write_text(f"FROM busybox:1 AS builder\nRUN make\n{text}COPY --from=builder /x /x\n")
    ran = call("ci", "local", "--event=push")
    assert ran.code == 1
    assert results(ran)["compile"] == "failure"
    assert results(ran)["bases"] == results(ran)["ship"] == "skipped"
    assert "needs one" in ran.err, "there is no engine here, and the log says so"
    assert not tags(registry)


def test_a_job_has_a_checkout_without_what_git_ignores(
    repository: str, project: Path, call: Call, tmp_path: Path
) -> None:
    (project / ".gitignore").write_text("secret\n")
    (project / "secret").write_text("s3cr3t")
    git = ("git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    (project / "one").write_text("changed")
    ran = call("ci", "local", "--event=push", f"--keep={tmp_path / 'kept'}")
    assert ran.code == 0, ran.err
    work = tmp_path / "kept" / "jobs" / "ship-" / "work"
    assert (work / "one").read_text() == "changed"
    assert (work / ".git").is_dir()
    assert not (work / "secret").exists()


def test_a_folder_that_is_there_is_not_written_over(repository: str, call: Call, tmp_path: Path) -> None:
    ran = call("ci", "local", f"--keep={tmp_path}")
    assert ran.code == 2
    assert "already" in ran.err
