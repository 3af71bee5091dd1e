"""What users get wrong and what goes wrong around them: a clear message, the right exit code, nothing half done."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.fakes.registry import FakeRegistry, instead, status

GOOD = """\
FROM busybox:1 AS builder
RUN make

FROM busybox:1 AS app
COPY --from=builder /out/tool /bin/tool
"""

PLAIN = """\
FROM busybox:1 AS one
COPY file /one
FROM busybox:1 AS two
COPY --chown=app file /two
"""
"""A project that needs no engine."""

AMD64 = "--platform=linux/amd64"


def write(project: Path, dockerfile: str) -> None:
    """Write a project's files."""
    (project / "Dockerfile").write_text(dockerfile)
    (project / "file").write_text("content\n")


def write_engine(environment: dict[str, str], script: str) -> Path:
    """Put a `docker` on the PATH that answers as an engine does; ``script`` is what it does when it is to build."""
    program = Path(environment["PATH"]) / "docker"
    log = program.with_name("called")
    program.write_text(
        f'#!/bin/sh\nPATH=/usr/bin:/bin\necho "$*" >> {log}\ncase "$1 $2" in\n'
        f'"buildx version") echo "example.org/buildx v0.99.0 abc" ;;\n"info --format") echo \'"99.0"\' ;;\n'
        f'"buildx build") {script} ;;\nesac\n'
    )
    program.chmod(0o755)
    return log


# The Dockerfile.


def test_a_stage_name_gone_wrong_is_shown_where_it_stands(call: Call, project: Path) -> None:
    write(project, GOOD.replace("--from=builder", "--from=biulder"))
    ran = call("build", AMD64)
    assert ran.code == 2
    assert "Dockerfile:5:" in ran.err
    assert "COPY --from=biulder /out/tool /bin/tool" in ran.err
    assert "^^^^^^^" in ran.err
    assert "did you mean `--from=builder`?" in ran.err
    assert "app" in ran.err


def test_a_stage_name_gone_wrong_in_from_is_shown_where_it_stands(call: Call, project: Path) -> None:
    write(project, GOOD + "FROM bulider AS other\nENV A=1\n")
    ran = call("plan", AMD64)
    assert ran.code == 2
    assert "Dockerfile:6:" in ran.err
    assert "builder" in ran.err


@pytest.mark.parametrize(
    ("line", "named"),
    [
        pytest.param("RUNN echo", "RUNN", id="unknown instruction"),
        pytest.param("COPY onlyone", "COPY", id="too few arguments"),
        pytest.param("COPY --form=builder /a /b", "form", id="unknown flag"),
        pytest.param('RUN ["unclosed', "", id="broken JSON is a command"),
        pytest.param("ENV", "ENV", id="nothing to set"),
        pytest.param("COPY --from=app /a /b", "app", id="a stage that copies from itself"),
        pytest.param("COPY <<EOF /x\nnever ends", "EOF", id="a heredoc without an end"),
    ],
)
def test_a_syntax_error_is_shown_where_it_stands(call: Call, project: Path, line: str, named: str) -> None:
    write(project, f"FROM busybox:1 AS app\n{line}\n")
    ran = call("plan", AMD64)
    if not named:
        assert ran.code == 0
        return
    assert ran.code == 2
    assert "Dockerfile:2" in ran.err
    assert named in ran.err


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"# nothing but a comment\n", id="comment"),
        pytest.param(b"ARG A=1\n", id="no stage"),
        pytest.param(b"RUN before any FROM\n", id="no FROM"),
        pytest.param(bytes(range(128)) * 20, id="no text"),
    ],
)
def test_a_file_that_is_no_dockerfile(call: Call, project: Path, content: bytes) -> None:
    (project / "Dockerfile").write_bytes(content)
    ran = call("plan", AMD64)
    assert ran.code == 2
    assert "Dockerfile" in ran.err


def test_bytes_that_are_no_text_are_planned_and_told(project: Path, environment: dict[str, str]) -> None:
    """What is not UTF-8 is text to BuildKit, but not in RUN; it comes up in reasons and errors, on any stream."""
    metadata = (
        b'# caf\xe9\nENV A=caf\xe9\nCMD echo caf\xe9\nENTRYPOINT ["caf\xe9"]\nHEALTHCHECK CMD caf\xe9\n'
        b'SHELL ["caf\xe9"]\nONBUILD RUN caf\xe9\nLABEL caf\xe9=caf\xe9\nWORKDIR /caf\xe9\nUSER caf\xe9\n'
        b"VOLUME /caf\xe9\nMAINTAINER caf\xe9\n"
        b'RUN a \\\n# caf\xe9\nb\nCOPY <<"E" /x\ncaf\xe9\nE\n'
    )
    (project / "Dockerfile").write_bytes(GOOD.encode() + metadata)
    variables = {**environment, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for arguments in (("plan", AMD64), ("plan", AMD64, "--json"), ("build", AMD64)):
        ran = subprocess.run(
            [sys.executable, "-m", "buildonce", *arguments], cwd=project, env=variables, capture_output=True
        )
        assert ran.returncode == (4 if "build" in arguments else 0), ran.stderr.decode()
        assert b"Traceback" not in ran.stderr
        assert b"BUG" not in ran.stderr
    for line, column in {
        b"caf\xe9 au lait": 1,
        b"RUN make caf\xe9": 10,
        b'RUN ["make", "caf\xe9"]': 14,
        b"RUN --mount=type=cache,target=/caf\xe9 make": 5,
        b"RUN <<E\nE\nRUN caf\xe9": 5,
    }.items():
        (project / "Dockerfile").write_bytes(GOOD.encode() + line + b"\n")
        ran = subprocess.run(
            [sys.executable, "-m", "buildonce", "plan"], cwd=project, env=variables, capture_output=True
        )
        assert ran.returncode == 2
        assert f"Dockerfile:{6 + 2 * line.startswith(b'RUN <<')}:{column}" in ran.stderr.decode()


def test_a_missing_dockerfile_is_named_with_what_is_near(call: Call, project: Path) -> None:
    (project / "Dockerfile.prod").write_text(PLAIN)
    ran = call("build")
    assert ran.code == 2
    assert "no Dockerfile at `Dockerfile`" in ran.err
    assert "Dockerfile.prod" in ran.err
    assert "-f FILE" in ran.err


def test_a_folder_in_the_place_of_the_dockerfile(call: Call, project: Path) -> None:
    (project / "Dockerfile").mkdir()
    ran = call("build")
    assert ran.code == 2
    assert "Dockerfile" in ran.err


def test_a_missing_context_is_named(call: Call) -> None:
    ran = call("build", "--context", "nowhere")
    assert ran.code == 2
    assert "nowhere" in ran.err


@pytest.mark.parametrize(
    ("instruction", "ignored"),
    [
        pytest.param("COPY missing /x", "", id="missing"),
        pytest.param("COPY file /x", "file\n", id="ignored"),
        pytest.param("COPY ../outside /x", "", id="outside"),
    ],
)
def test_a_file_that_the_context_does_not_have(call: Call, project: Path, instruction: str, ignored: str) -> None:
    (project.parent / "outside").write_text("secret")
    write(project, f"FROM busybox:1 AS app\n{instruction}\n")
    (project / ".dockerignore").write_text(ignored)
    ran = call("build", AMD64)
    assert ran.code == 2
    assert instruction.split()[1].rpartition("/")[2] in ran.err
    assert not (project / ".buildonce" / "images" / "index.json").exists()


# What is asked for.


def test_an_unknown_variant_is_named_with_the_nearest(call: Call, project: Path) -> None:
    write(project, PLAIN)
    ran = call("build", AMD64, "--variant", "oen")
    assert ran.code == 2
    assert "no variant `oen`" in ran.err
    assert "one, two" in ran.err
    assert "did you mean `--variant one`?" in ran.err


@pytest.mark.parametrize("platform", ["linux", "linux/", "/amd64", "linux/amd64/v1/x", "Linux Ünix/x", ""])
def test_a_platform_that_is_none(call: Call, project: Path, platform: str) -> None:
    write(project, PLAIN)
    ran = call("build", f"--platform={platform or ','}")
    assert ran.code == 2 or platform == ""
    assert platform in ran.err


def test_a_platform_that_the_base_does_not_have(call: Call, project: Path) -> None:
    write(project, PLAIN)
    ran = call("build", "--platform=linux/amd64,linux/riscv64")
    assert ran.code == 2
    assert "busybox:1" in ran.err
    assert "no image for linux/riscv64" in ran.err
    assert "linux/amd64, linux/arm64" in ran.err


def test_a_base_that_does_not_exist(call: Call, project: Path, registry: FakeRegistry) -> None:
    write(project, PLAIN.replace("busybox:1 AS two", f"{registry.host}/library/busybox:2 AS two"))
    ran = call("build", AMD64)
    assert ran.code == 2
    assert f"there is no image `{registry.host}/library/busybox:2`" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--push", "r.example/a", "--output", "oci:x"), id="two places"),
        pytest.param(("--push", "oci:x"), id="push to a layout"),
        pytest.param(("--output", "r.example/a"), id="output to a registry"),
        pytest.param(("--output", "oci:"), id="no folder"),
        pytest.param(("--push", "https://r.example/a"), id="a URL"),
        pytest.param(("--push", "R.example/UPPER"), id="upper case"),
        pytest.param(("--push", "r.example/a:tag"), id="a tag in the repository"),
        pytest.param(("--cache", "./folder"), id="a path as cache"),
        pytest.param(("--tag", "{nothing}"), id="unknown field"),
        pytest.param(("--tag", "{variant"), id="half a brace"),
        pytest.param(("--tag", "a b{variant}"), id="no tag"),
        pytest.param(("--tag", "{variant}" + "x" * 128), id="too long"),
        pytest.param(("--tag", "latest"), id="one tag for all"),
        pytest.param(("--tag", "{sha}-{variant}"), id="no commit"),
        pytest.param(("--build-arg", "=x"), id="argument without name"),
        pytest.param(("--build-platform", "moon"), id="build platform"),
        pytest.param(("--no-such-option",), id="unknown option"),
        pytest.param(("--variant",), id="no value"),
    ],
)
def test_options_that_cannot_be(call: Call, project: Path, arguments: tuple[str, ...]) -> None:
    write(project, PLAIN)
    ran = call("build", AMD64, *arguments)
    assert ran.code == 2
    assert ran.err.strip()
    assert not (project / ".buildonce" / "images").exists()


def test_an_epoch_that_is_no_number(call: Call, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, PLAIN)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    ran = call("build", AMD64)
    assert ran.code == 2
    assert "yesterday" in ran.err


def test_an_unknown_command_and_none(call: Call) -> None:
    assert call("biuld").code == 2
    assert call("--help").code == 0
    assert call("--version").code == 0
    assert "--push" in call("build", "--help").out


def test_two_dockerfiles_whose_variants_have_one_name(call: Call, project: Path) -> None:
    write(project, "FROM busybox:1\n")
    (project / "x").mkdir()
    (project / "y").mkdir()
    for place in ("x", "y"):
        (project / place / "Dockerfile.same").write_text("FROM busybox:1\n")
    ran = call("build", AMD64, "-f", "x/Dockerfile.same", "-f", "y/Dockerfile.same")
    assert ran.code == 2
    assert "two variants are called `same`" in ran.err
    assert "x/Dockerfile.same" in ran.err


def test_a_variant_whose_name_is_no_tag(call: Call, project: Path) -> None:
    (project / "Dockerfile.with space").write_text("FROM busybox:1\n")
    ran = call("build", AMD64, "-f", "Dockerfile.with space")
    assert ran.code == 2
    assert "with space" in ran.err
    assert call("build", AMD64, "-f", "Dockerfile.with space", "--tag", "fine").code == 0


def test_odd_names_of_stages_are_tags(call: Call, project: Path) -> None:
    write(project, "FROM busybox:1 AS a.b_c-1\nFROM busybox:1 AS UPPER\n")
    ran = call("build", AMD64)
    assert ran.code == 0
    assert "a.b_c-1" in ran.out
    assert "upper" in ran.out


def test_two_hundred_stages_are_planned(call: Call, project: Path) -> None:
    stages = "".join(f"FROM busybox:1 AS s{n}\nCOPY --from=builder /out/{n} /{n}\nENV N={n}\n" for n in range(100))
    chain = "FROM busybox:1 AS c0\n" + "".join(f"FROM c{n} AS c{n + 1}\nLABEL n={n}\n" for n in range(100))
    write(project, f"FROM busybox:1 AS builder\nRUN make\n{stages}{chain}")
    ran = call("plan", "--platform=linux/amd64,linux/arm64")
    assert ran.code == 0
    assert "202 images: 101 variants for 2 platforms" in ran.out
    assert "An engine would run 2 times." in ran.out


# Engines.


def test_no_engine_is_said_when_one_is_needed(call: Call, project: Path) -> None:
    write(project, GOOD)
    ran = call("build", AMD64)
    assert ran.code == 4
    assert "no build engine was found on this machine" in ran.err
    assert "help: " in ran.err
    assert not (project / ".buildonce" / "images" / "index.json").exists()


def test_no_engine_is_needed_where_nothing_is_run(call: Call, project: Path) -> None:
    write(project, PLAIN)
    assert call("build", "--platform=linux/amd64,linux/arm64").code == 0


def test_a_plan_starts_no_engine(call: Call, project: Path, environment: dict[str, str]) -> None:
    called = write_engine(environment, "exit 1")
    write(project, GOOD)
    for arguments in (("plan", AMD64), ("plan", AMD64, "--json"), ("build", AMD64, "--dry-run")):
        assert call(*arguments).code == 0
    assert not called.exists()


def test_an_engine_that_does_not_answer(call: Call, project: Path, environment: dict[str, str]) -> None:
    write(project, GOOD)
    program = Path(environment["PATH"]) / "docker"
    program.write_text("#!/bin/sh\necho 'cannot connect to the daemon' >&2\nexit 1\n")
    program.chmod(0o755)
    ran = call("build", AMD64)
    assert ran.code == 4
    assert "cannot connect to the daemon" in ran.err
    assert "DOCKER_HOST" in ran.err


def test_an_engine_that_fails_is_quoted_and_the_stage_and_platform_named(
    call: Call, project: Path, environment: dict[str, str]
) -> None:
    write_engine(environment, "for i in $(seq 100); do echo step $i; done; echo 'make: no rule' >&2; exit 17")
    write(project, GOOD)
    ran = call("build", AMD64)
    assert ran.code == 1
    assert "make: no rule" in ran.err
    assert "step 100" in ran.err
    assert "step 1\n" not in ran.err
    assert "builder linux/amd64" in ran.err
    assert "exit status 17" in ran.err
    assert not (project / ".buildonce" / "images" / "index.json").exists()


def test_an_engine_that_says_it_is_done_and_wrote_nothing(
    call: Call, project: Path, environment: dict[str, str]
) -> None:
    write_engine(environment, "exit 0")
    write(project, GOOD)
    ran = call("build", AMD64)
    assert ran.code == 1
    assert "BUG" not in ran.err
    assert not (project / ".buildonce" / "images" / "index.json").exists()


def test_a_missing_core_is_an_error_where_compiling_is_forbidden(
    call: Call, project: Path, environment: dict[str, str]
) -> None:
    called = write_engine(environment, "exit 1")
    write(project, GOOD)
    ran = call("build", AMD64, "--no-compile")
    assert ran.code == 1
    assert "core `builder linux/amd64` is not in" in ran.err
    assert "--no-compile" in ran.err
    assert not called.exists()


# Registries.


def repository_at(registry: FakeRegistry) -> str:
    """Return a repository in a registry."""
    return f"{registry.host}/team/app"


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_a_registry_that_refuses_the_login(
    call: Call, project: Path, new_registry: Callable[..., FakeRegistry], tmp_path: Path, auth: str
) -> None:
    import base64
    import json

    target = new_registry(auth=auth, users={"me": "right"})
    (tmp_path / "docker").mkdir()
    secret = base64.b64encode(b"me:wr0ng-pass").decode()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {target.host: {"auth": secret}}}))
    write(project, PLAIN)
    ran = call("build", AMD64, "--push", repository_at(target), "--cache", f"oci:{tmp_path / 'cache'}")
    assert ran.code == 4
    assert target.host in ran.err
    assert "config.json" in ran.err, "which credentials were used is said"
    assert "wr0ng-pass" not in ran.err
    assert secret not in ran.err
    assert not any(one.tags for one in target.repositories.values())


def test_a_registry_that_wants_a_login_and_there_is_none(
    call: Call, project: Path, new_registry: Callable[..., FakeRegistry], tmp_path: Path
) -> None:
    target = new_registry(auth="bearer")
    write(project, PLAIN)
    ran = call("build", AMD64, "--push", repository_at(target), "--cache", f"oci:{tmp_path / 'cache'}")
    assert ran.code == 4
    assert "docker login" in ran.err
    assert not any(one.tags for one in target.repositories.values())


def test_a_base_that_needs_a_login(call: Call, project: Path, new_registry: Callable[..., FakeRegistry]) -> None:
    private = new_registry(auth="basic")
    write(project, f"FROM {private.host}/secret/base:1 AS app\nCOPY file /x\n")
    ran = call("build", AMD64)
    assert ran.code == 4
    assert private.host in ran.err
    assert "secret/base" in ran.err


def test_a_registry_that_nobody_listens_at(call: Call, project: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    write(project, PLAIN)
    ran = call("build", AMD64, "--push", f"127.0.0.1:{port}/team/app", "--cache", f"oci:{tmp_path / 'cache'}")
    assert ran.code == 4
    assert f"127.0.0.1:{port}" in ran.err


def test_a_tag_that_the_registry_refuses_to_move(call: Call, project: Path, registry: FakeRegistry) -> None:
    write(project, PLAIN)
    arguments = ("build", AMD64, "--push", repository_at(registry))
    assert call(*arguments).code == 0
    before = dict(registry.repository("team/app").tags)
    (project / "file").write_text("changed\n")
    refusal = [{"code": "DENIED", "message": "this tag is immutable"}]
    registry.faults.append(status(403, errors=refusal, method="PUT", path="/manifests/two"))
    ran = call(*arguments)
    assert ran.code == 4
    assert "this tag is immutable" in ran.err
    assert "not moved: two" in ran.err
    assert registry.repository("team/app").tags["two"] == before["two"]
    assert call(*arguments).code == 0
    after = registry.repository("team/app").tags
    assert all(after[tag] != before[tag] for tag in ("one", "two"))


def test_an_image_that_the_registry_refuses_moves_no_tag(call: Call, project: Path, registry: FakeRegistry) -> None:
    write(project, PLAIN)
    arguments = ("build", AMD64, "--push", repository_at(registry))
    assert call(*arguments).code == 0
    before = dict(registry.repository("team/app").tags)
    (project / "file").write_text("changed\n")
    registry.faults.append(status(400, method="PUT", path="/team/app/manifests/sha256", times=9))
    assert call(*arguments).code == 1
    registry.faults.clear()
    assert registry.repository("team/app").tags == before
    registry.faults.clear()
    assert call(*arguments).code == 0


@pytest.mark.parametrize("lost", ["everything", "manifests", "tags"])
def test_what_the_registry_lost_is_sent_again(
    call: Call, project: Path, registry: FakeRegistry, tmp_path: Path, lost: str
) -> None:
    write(project, PLAIN)
    arguments = ("build", AMD64, "--push", repository_at(registry), "--cache", f"oci:{tmp_path / 'cache'}")
    assert call(*arguments).code == 0
    there = registry.repository("team/app")
    before = copy.deepcopy((there.blobs, there.manifests, there.tags))
    for part in ("blobs", "manifests", "tags"):
        if lost in (part, "everything"):
            getattr(there, part).clear()
    assert call(*arguments).code == 0
    assert (there.blobs, there.manifests, there.tags) == before


def test_a_layout_that_is_gone_is_made_again(call: Call, project: Path) -> None:
    write(project, PLAIN)
    assert call("build", AMD64).code == 0
    index = (project / ".buildonce" / "images" / "index.json").read_bytes()
    shutil.rmtree(project / ".buildonce" / "images")
    assert call("build", AMD64).code == 0
    assert (project / ".buildonce" / "images" / "index.json").read_bytes() == index


def test_a_memory_of_garbage_is_no_obstacle(call: Call, project: Path, environment: dict[str, str]) -> None:
    write(project, PLAIN)
    assert call("build", AMD64).code == 0
    index = (project / ".buildonce" / "images" / "index.json").read_bytes()
    for path in Path(environment["BUILDONCE_STATE"]).rglob("*"):
        if path.is_file():
            path.write_text("garbage")
    shutil.rmtree(project / ".buildonce")
    ran = call("build", AMD64)
    assert ran.code == 0, ran.err
    assert (project / ".buildonce" / "images" / "index.json").read_bytes() == index


def test_a_base_that_is_not_what_its_digest_says(call: Call, project: Path, registry: FakeRegistry) -> None:
    write(project, PLAIN.replace("busybox:1", f"{registry.host}/library/busybox:1"))
    registry.faults.append(instead(b"{}", method="GET", path="/library/busybox/manifests/", times=9))
    ran = call("build", AMD64)
    assert ran.code == 1
    assert "sha256:" in ran.err


# Interruptions and bugs.


def test_an_interrupt_while_a_registry_is_asked(call: Call, project: Path, registry: FakeRegistry) -> None:
    from tests.fakes.registry import Fault

    write(project, PLAIN)

    async def interrupt(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    arguments = ("build", AMD64, "--push", repository_at(registry))
    registry.faults.append(Fault(act=interrupt, method="PUT", path="/team/app/manifests/sha256"))
    ran = call(*arguments)
    assert ran.code == 130
    assert "interrupted" in ran.err
    assert registry.repository("team/app").tags == {}
    assert call(*arguments).code == 0


def test_a_bug_is_called_one(call: Call, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("buildonce.cli.wiring.find_places", broken)
    write(project, PLAIN)
    ran = call("build", AMD64)
    assert ran.code == 70
    assert "ZeroDivisionError: oh" in ran.err
    assert "BUILDONCE_DEBUG" in ran.err


def test_what_cannot_be_written(call: Call, project: Path) -> None:
    write(project, PLAIN)
    (project / ".buildonce").write_text("a file in the place of the folder")
    ran = call("build", AMD64)
    assert ran.code == 1
    assert ".buildonce" in ran.err


def test_a_folder_that_is_no_layout(call: Call, project: Path, tmp_path: Path) -> None:
    write(project, PLAIN)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("mine")
    ran = call("build", AMD64, "--output", f"oci:{tmp_path / 'mine'}")
    assert ran.code == 1
    assert "no OCI image layout" in ran.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["precious"]
