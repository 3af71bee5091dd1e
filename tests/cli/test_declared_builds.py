"""Projects that buildonce.toml declares: built as they are declared, whatever the options leave open."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.fakes.registry import FakeRegistry

TOML = """\
platforms = ["linux/amd64", "linux/arm64"]
args = { NAME = "all" }

[variants.one]
target = "app"

[variants.two]
target = "app"
args = { NAME = "two" }
platforms = ["linux/arm64"]

[variants.three]
dockerfile = "other/Dockerfile.three"
context = "other"
"""
APP = "FROM busybox:1 AS unused\nFROM busybox:1 AS app\nARG NAME\nENV NAME=$NAME\nCOPY file /file\n"


@pytest.fixture
def declared(project: Path) -> Path:
    """A project of three variants from two Dockerfiles, which needs no engine."""
    (project / "other").mkdir()
    (project / "buildonce.toml").write_text(TOML)
    (project / "Dockerfile").write_text(APP)
    (project / "other" / "Dockerfile.three").write_text("FROM busybox:1\nCOPY three /three\n")
    (project / "file").write_text("1")
    (project / "other" / "three").write_text("1")
    return project


def images(out: str) -> dict[tuple[str, str], str]:
    return {(one["variant"], one["platform"]): one["digest"] for one in json.loads(out)["images"]}


ALL = {("one", "linux/amd64"), ("one", "linux/arm64"), ("two", "linux/arm64"), ("three", "linux/amd64")}


def test_variants_are_built_as_they_are_declared(declared: Path, call: Call) -> None:
    ran = call("build", "--json")
    assert ran.code == 0, ran.err
    assert images(ran.out).keys() == ALL | {("three", "linux/arm64")}
    assert {tag["tag"] for tag in json.loads(ran.out)["tags"]} == {"one", "two", "three"}
    assert images(ran.out)["one", "linux/arm64"] != images(ran.out)["two", "linux/arm64"]
    assert (declared / ".buildonce" / "images").is_dir()
    assert not (declared / "other" / ".buildonce").exists()


def test_options_go_before_the_file(declared: Path, call: Call) -> None:
    whole = images(call("build", "--json").out)
    named = images(call("build", "--json", "two").out)
    assert named == {("two", "linux/arm64"): whole["two", "linux/arm64"]}
    ran = call("build", "--json", "--platform=linux/amd64")
    narrowed = images(ran.out)
    assert "variant `two` is left out: it is not declared for linux/amd64" in ran.err
    assert narrowed.keys() == {("one", "linux/amd64"), ("three", "linux/amd64")}
    same = images(call("build", "--json", "--build-arg=NAME=all", "two", "one").out)
    assert same["two", "linux/arm64"] == same["one", "linux/arm64"] == whole["one", "linux/arm64"]


def test_another_dockerfile_on_the_command_line_is_built_alone(declared: Path, call: Call) -> None:
    ran = call("plan", "--json", "-f", "other/Dockerfile.three", "--context", "other")
    assert {image["variant"] for image in json.loads(ran.out)["images"]} == {"three"}


def test_a_variant_goes_to_its_own_repository(declared: Path, call: Call, registry: FakeRegistry) -> None:
    (declared / "buildonce.toml").write_text(
        f'push = "{registry.host}/acme/app"\n' + TOML + f'push = "{registry.host}/acme/three"\n'
    )
    ran = call("build", "--json")
    assert ran.code == 0, ran.err
    assert registry.repository("acme/app").tags.keys() == {"one", "two"}
    assert registry.repository("acme/three").tags.keys() == {"three"}
    assert registry.repository("acme/app-cache").tags


def test_every_setting_can_come_from_the_environment(
    declared: Path, call: Call, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILDONCE_PUSH", f"{registry.host}/acme/env")
    monkeypatch.setenv("BUILDONCE_PLATFORM", "linux/amd64")
    assert images(call("build", "--json").out).keys() == {("one", "linux/amd64"), ("three", "linux/amd64")}
    assert registry.repository("acme/env").tags.keys() == {"one", "three"}


def test_a_changed_declaration_is_explained_against_a_revision(
    declared: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (declared / "Dockerfile").write_text(APP.replace("COPY", "RUN make $NAME\nCOPY"))
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        argv = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *command]
        subprocess.run(argv, check=True, cwd=declared)
    (declared / "buildonce.toml").write_text(TOML.replace('"two" }', '"three" }'))
    ran = call("explain", "--since", "HEAD")
    assert ran.code == 0, ran.err
    assert "build argument `NAME`: two -> three" in ran.out
    assert ran.out.count("build argument `NAME`") == 1


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (('target = "app"', 'target = "ap"'), ["the target `ap` of variant `one` is no stage of Dockerfile", "`app`"]),
        (("Dockerfile.three", "Dockerfile.tree"), ["there is no Dockerfile at `other/Dockerfile.tree`"]),
        (('context = "other"', 'context = "otter"'), ["there is no folder `otter`"]),
        (("platforms", "platform"), ["buildonce.toml:1:1", "`platform`", "did you mean `platforms`?"]),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_built(
    declared: Path, call: Call, change: tuple[str, str], messages: list[str]
) -> None:
    (declared / "buildonce.toml").write_text(TOML.replace(*change, 1))
    ran = call("build")
    assert ran.code == 2
    for message in messages:
        assert message in ran.err
    assert not (declared / ".buildonce" / "images").exists()


def test_a_variant_that_is_not_declared_is_an_error(declared: Path, call: Call) -> None:
    ran = call("build", "tree")
    assert ran.code == 2
    assert "there is no variant `tree`" in ran.err
    assert "did you mean `--variant three`?" in ran.err


def test_a_variant_that_is_declared_not_to_be_checked_ships_what_does_not_run(declared: Path, call: Call) -> None:
    (declared / "file").write_text("#!/bin/nothing\n")
    (declared / "file").chmod(0o755)
    (declared / "Dockerfile").write_text(APP.replace("COPY file /file", "COPY --from=given /file /file"))
    (declared / "Dockerfile").write_text("FROM scratch AS given\n" + (declared / "Dockerfile").read_text())
    toml = '[given.given]\n"/file" = "file"\n[variants.one]\ntarget = "app"\n'
    (declared / "buildonce.toml").write_text(toml)
    assert "error[FIT]" in call("build").err
    (declared / "buildonce.toml").write_text(toml + "fit-check = false\n")
    ran = call("build")
    assert ran.code == 0, ran.err


def test_of_two_stages_with_one_name_the_last_is_the_target(declared: Path, call: Call) -> None:
    (declared / "Dockerfile").write_text("FROM busybox:1 AS app\nENV A=1\nFROM busybox:1 AS app\nENV A=2\n")
    (declared / "buildonce.toml").write_text("[variants.app]\n")
    twice = images(call("build", "--json").out)
    (declared / "Dockerfile").write_text("FROM busybox:1 AS app\nENV A=2\n")
    assert images(call("build", "--json").out) == twice


def test_images_that_cannot_run_here_are_not_loaded(declared: Path, call: Call) -> None:
    (declared / "buildonce.toml").write_text('[variants.app]\nplatforms = ["linux/riscv64"]\n')
    (declared / "Dockerfile").write_text("FROM scratch AS app\nENV A=1\n")
    ran = call("build", "--load")
    assert ran.code == 2
    assert "--load: nothing is built for this machine's platform" in ran.err


def test_a_time_beyond_all_forms_is_an_error(declared: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "99999999999999")
    ran = call("build")
    assert ran.code == 2
    assert "later than the year 9999" in ran.err
