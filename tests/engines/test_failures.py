"""What is said of a build that failed, and the command that repeats it."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from buildonce.build_options import BuildOptions
from buildonce.engines.buildah import Inputs
from buildonce.engines.buildah import build_arguments as buildah_arguments
from buildonce.engines.buildah_contexts import spell, translate
from buildonce.engines.buildx import build_arguments, files_output
from buildonce.engines.failures import build_failed, command_alone
from buildonce.engines.last_lines import LastLines
from buildonce.engines.protocol import BuildJob
from tests.engines.jobs import make_job

CONTEXTS = {"debian:12": "docker-image://docker.io/library/debian@sha256:12", "core": "oci-layout:///cache@sha256:34"}


def job_of(folder: Path, *, stage: str = "builder", build_args: Mapping[str, str] | None = None) -> BuildJob:
    """A job for a stage that was derived: its own target is none of the user's."""
    job = make_job(folder, target="buildonce-core", contexts=CONTEXTS)
    return replace(job, stage=stage, build_args=build_args or {}, context=Path("con text"))


def alone(job: BuildJob) -> str:
    return command_alone("docker buildx", build_arguments(job, Path("/tmp/x/Dockerfile"), files_output(job)), job)


def test_the_command_builds_the_users_stage_from_the_users_dockerfile(tmp_path: Path) -> None:
    assert alone(job_of(tmp_path, build_args={"WHAT": "it's", "A": "$b"})) == (
        "docker buildx build --target builder --platform linux/amd64 --build-arg 'A=$b' --build-arg 'WHAT=it'\"'\"'s'"
        " --build-context core=oci-layout:///cache@sha256:34"
        " --build-context debian:12=docker-image://docker.io/library/debian@sha256:12"
        " --file images/Dockerfile 'con text'"
    )


def test_buildah_is_called_by_its_own_name_and_gets_no_context_that_is_gone(tmp_path: Path) -> None:
    job, inputs = job_of(tmp_path), Inputs(folder=Path("/tmp/passing"))
    contexts = {**spell(CONTEXTS), "core": "container-image://oci:/tmp/passing/layouts/34"}
    contexts["debian:12"] = translate({"debian:12": CONTEXTS["debian:12"]}, tmp_path)["debian:12"]
    words = buildah_arguments(job, inputs, contexts, archive=Path("/out/files.tar"))
    assert command_alone("podman", words, job, passing="/tmp/passing") == (
        "podman build --target builder --layers --format=docker --platform linux/amd64"
        " --build-context debian:12=container-image://docker.io/library/debian@sha256:12"
        " --file images/Dockerfile 'con text'"
    )


@pytest.mark.parametrize("stage", ["2", ""])
def test_a_stage_without_a_name_is_not_asked_for(tmp_path: Path, stage: str) -> None:
    assert "--target" not in alone(job_of(tmp_path, stage=stage))


def test_what_looks_secret_is_not_shown(tmp_path: Path) -> None:
    secrets = {"NPM_TOKEN": "s3cret", "INDEX": "https://user:s3cret@example.org/", "PUBLIC_URL": "https://example.org/"}
    job = replace(job_of(tmp_path, build_args=secrets), named_contexts={"src": "https://user:s3cret@example.org/x.git"})
    words = shlex.split(alone(job))
    assert "s3cret" not in " ".join(words)
    assert [word for before, word in itertools.pairwise(words) if before == "--build-arg"] == [
        "INDEX",
        "NPM_TOKEN",
        "PUBLIC_URL=https://example.org/",
    ]


ADDED = 'FROM scratch AS buildonce-core\nCOPY --from=builder ["/none", "/none"]\n'


@pytest.mark.parametrize(
    ("lines", "is_added"),
    [
        (("Dockerfile:5", "ERROR: failed to solve: /none: not found"), True),
        (("Dockerfile:2", "ERROR: failed to solve: make"), False),
        (("Dockerfile:3", "ERROR: failed to solve: make"), False),
        (("[2/2] STEP 1/2: FROM scratch AS buildonce-core", "Error: building at STEP: /none"), True),
        (("[1/2] STEP 1/2: FROM scratch AS builder", "Error: building at STEP: make"), False),
        ((), False),
    ],
)
def test_what_is_missing_in_a_stage_is_no_failure_of_the_stage(
    tmp_path: Path, lines: tuple[str, ...], is_added: bool
) -> None:
    own = "FROM scratch AS builder\nRUN make\n"
    job = replace(job_of(tmp_path), dockerfile=own + ADDED, own_lines=own.count("\n") + 1)
    last = LastLines()
    for line in lines:
        last.add(line)
    error = build_failed("engine", job, 1, last, "engine build .", notes=("more",))
    assert ("to run it alone" not in str(error)) is is_added
    assert ("the stage was built, but not all that is copied from it is there" in error.notes) is is_added
    assert ("correct the copies from stage `builder`" in str(error)) is is_added


def test_what_a_build_is_handed_is_handed_again_and_written_nowhere(tmp_path: Path) -> None:
    options = BuildOptions(
        secrets=("id=token,env=TOKEN", "id=file,src=secret.txt"), ssh=("default",), network="host", no_cache=True,
        cache_from=("type=registry,ref=example.org/cache",), cache_to=("type=registry,ref=example.org/cache",),
    )  # fmt: skip
    job = replace(job_of(tmp_path), options=options, labels={"a": "b c"}, named_contexts={})
    assert alone(job) == (
        "docker buildx build --target builder --platform linux/amd64 --label 'a=b c' --network host"
        " --secret id=token,env=TOKEN --secret id=file,src=secret.txt --ssh default"
        " --cache-from type=registry,ref=example.org/cache --no-cache --file images/Dockerfile 'con text'"
    )


def test_a_failure_names_the_stage_the_file_and_the_command(tmp_path: Path) -> None:
    last = LastLines()
    for line in ("make: *** no rule", "make: *** no rule"):
        last.add(line)
    job = job_of(tmp_path)
    error = build_failed("engine 1.2", job, 2, last, "engine build .", notes=("what else is known",))
    assert str(error) == (
        "engine 1.2 failed (compile builder linux/amd64, exit status 2); its last lines were:\n"
        "  | make: *** no rule (2 times)\n"
        "  = note: stage `builder` of images/Dockerfile for linux/amd64, context con text\n"
        "  = note: what else is known\n"
        "  = note: to run it alone: engine build .\n"
        "help: nothing was tagged; the lines above name the instruction of your Dockerfile that failed"
    )
    assert error.lines == ("make: *** no rule (2 times)",)
    assert build_failed("engine", job, 2, LastLines(), "").message.endswith("exit status 2) and said nothing")
