"""`buildonce explain` as it is called, without an engine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Call

DOCKERFILE = """\
ARG BASE=busybox:1
FROM $BASE AS builder
ARG LEVEL=1
COPY src /src
RUN make LEVEL=$LEVEL

FROM busybox:1 AS app
COPY --from=builder /out/app /bin/app
"""


@pytest.fixture
def git(project: Path) -> Callable[..., None]:
    """The project in a Git checkout with one commit; gives what runs Git there."""

    def run(*arguments: str) -> None:
        identity = ("-c", "user.name=someone", "-c", "user.email=someone@example.invalid")
        subprocess.run(("/usr/bin/git", *identity, *arguments), cwd=project, check=True, capture_output=True)

    (project / "src").mkdir()
    (project / "src" / "main.c").write_text("int main;\nint other;\n")
    (project / "Dockerfile").write_text(DOCKERFILE)
    run("init", "--quiet")
    run("add", "--all")
    run("commit", "--quiet", "--message=one")
    return run


@pytest.fixture
def call(call: Call, monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> Call:
    monkeypatch.setenv("PATH", f"{environment['PATH']}:/usr/bin:/bin")
    return call


def only_node(text: str) -> Mapping[str, Any]:
    (node,) = json.loads(text)["nodes"]
    found: Mapping[str, Any] = node
    return found


@pytest.mark.usefixtures("git")
def test_without_a_result_there_is_nothing_to_compare_with(call: Call) -> None:
    ran = call("explain", "builder")
    assert ran.code == 0, ran.err
    assert "is built: there is nothing of its name to compare it with" in ran.out
    assert "line 5: RUN make LEVEL=$LEVEL" in ran.out
    assert "files: src/main.c" in ran.out
    assert "arguments: LEVEL=1" in ran.out


@pytest.mark.usefixtures("git")
def test_a_revision_is_compared_without_touching_anything(project: Path, call: Call) -> None:
    (project / "src" / "main.c").write_text("int main;\nint another;\n")
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*")}
    ran = call("explain", "builder", "--since", "HEAD")
    assert ran.code == 0, ran.err
    assert "compared with the revision HEAD" in ran.out
    assert "file changed: `src/main.c` has other content  (Dockerfile:4)" in ran.out
    assert "-int other;\n" in ran.out
    assert "+int another;\n" in ran.out
    assert before == {path: path.stat().st_mtime_ns for path in project.rglob("*")}


def test_a_context_below_the_top_of_the_checkout_is_found(
    project: Path, git: Callable[..., None], call: Call, tmp_path: Path
) -> None:
    git("mv", "--", "src/main.c", "src/program.c")
    (project / "part" / "docker").mkdir(parents=True)
    git("mv", "src", "part/src")
    git("mv", "Dockerfile", "part/docker/Dockerfile")
    git("commit", "--quiet", "--message=two")
    ran = call("explain", "--json", "--context", "part", "-f", "part/docker/Dockerfile", "--since", "HEAD")
    assert only_node(ran.out)["status"] == "same", ran.err


@pytest.mark.usefixtures("git")
def test_a_plan_of_another_machine_is_compared(project: Path, call: Call, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    assert call("plan", "--record", str(record)).code == 0
    (project / "Dockerfile").write_text(DOCKERFILE.replace("RUN make", "RUN make -j"))
    node = only_node(call("explain", "builder", "--record", str(record), "--json").out)
    assert node["status"] == "changed"
    assert [(one["kind"], one["line"]) for one in node["inputs"]] == [("instruction", 5)]
    assert node["reruns"] == ["RUN make -j LEVEL=$LEVEL"]


def test_names_are_shown_whatever_is_in_them(project: Path, git: Callable[..., None], call: Call) -> None:
    (project / "src" / "\xe9\x1b[2J.c").write_text("")
    ran = call("explain", "builder")
    assert "src/\xe9\\x1b[2J.c" in ran.out
    ran = call("explain", "builder", "--since", "HEAD")
    assert "`src/\xe9\\x1b[2J.c` is in the build context and Git does not know it" in ran.out


@pytest.mark.usefixtures("git")
def test_two_builds_arguments_are_enough(call: Call) -> None:
    """No registry has the images, and nothing was ever built."""
    ran = call("explain", "builder", "--build-arg", "BASE=127.0.0.1:1/acme/builder:v3", "--before-arg", "BASE")
    assert ran.code == 0, ran.err
    assert "base replaced through a build argument" in ran.out
    assert "BASE=busybox:1 -> 127.0.0.1:1/acme/builder:v3" in ran.out
    assert "no registry could be asked for `127.0.0.1:1/acme/builder:v3`" in ran.err


@pytest.mark.usefixtures("git")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["bilder"], "did you mean `builder`?", id="an unknown node"),
        pytest.param(["--since", "nowhere"], "Git knows no revision `nowhere`", id="an unknown revision"),
        pytest.param(["--since=--help"], "Git knows no revision `--help`", id="an option for Git"),
        pytest.param(["--since=HEAD", "--before-arg=A=1"], "exclude each other", id="two things to compare with"),
        pytest.param(["--record", "missing.json"], "cannot be read", id="no such record"),
        pytest.param(["--record", "Dockerfile"], "is no record of a plan", id="something else than a record"),
    ],
)
def test_what_cannot_be_explained_is_refused(call: Call, arguments: list[str], message: str) -> None:
    ran = call("explain", *arguments)
    assert ran.code == 2
    assert message in ran.err


def test_a_revision_needs_a_checkout(project: Path, call: Call) -> None:
    (project / "Dockerfile").write_text("FROM scratch AS app\n")
    ran = call("explain", "--since", "HEAD")
    assert ran.code == 2
    assert "is in no Git checkout" in ran.err
