"""Which engine is asked for, and by what: an option, the environment or the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Call

DOCKERFILE = "FROM scratch AS app\nRUN make\n"
PLACES = ("--output", "oci:out", "--platform", "linux/amd64")


@pytest.mark.parametrize(
    ("option", "variable", "file", "engine", "origin"),
    [
        ("podman", "buildah", 'engine = "buildx"\n', "podman", "--engine"),
        ("", "buildah", 'engine = "buildx"\n', "buildah", "BUILDONCE_ENGINE"),
        ("", "", 'engine = "buildah"\n', "buildah", "buildonce.toml:1"),
        ("podman", "", "", "podman", "--engine"),
    ],
)
def test_what_asks_for_an_engine_that_is_not_there_is_named(
    call: Call, project: Path, monkeypatch: pytest.MonkeyPatch, *, option: str, variable: str, file: str, engine: str,
    origin: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("BUILDONCE_ENGINE", variable)
    (project / "Dockerfile").write_text(DOCKERFILE)
    if file:
        (project / "buildonce.toml").write_text(f"{file}[variants.app]\n")
    ran = call("build", *PLACES, *(("--engine", option) if option else ()))
    assert ran.code == 4
    assert f"the engine {engine} is not on this machine" in ran.err
    assert f"= note: {origin} asks for it" in ran.err


def test_the_configuration_shows_the_engine_and_what_asks_for_it(
    call: Call, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "buildonce.toml").write_text('engine = "buildx"\n[variants.app]\n')
    assert 'engine = "buildx"' in call("config", "--show-origin").out
    monkeypatch.setenv("BUILDONCE_ENGINE", "buildah")
    shown = call("config", "--show-origin").out
    (line,) = (line for line in shown.splitlines() if line.startswith("engine"))
    assert line.split("#")[0].strip() == 'engine = "buildah"'
    assert line.endswith("# environment BUILDONCE_ENGINE")


@pytest.mark.parametrize("words", [("build", *PLACES), ("plan",), ("doctor", "registry.example/acme/app")])
def test_an_engine_that_does_not_exist_is_refused_at_once(call: Call, project: Path, words: tuple[str, ...]) -> None:
    (project / "Dockerfile").write_text("FROM scratch AS app\nENV A=1\n")
    ran = call(*words, "--engine", "kaniko")
    assert ran.code == 2
    assert "kaniko" in ran.err
    assert "the engines are buildx, buildah" in ran.err


@pytest.mark.parametrize("file", ["[variants.app]\n", ""])
def test_a_default_of_the_environment_that_is_no_variant_is_an_error(
    call: Call, project: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.setenv("BUILDONCE_DEFAULT", "ap")
    (project / "Dockerfile").write_text("FROM scratch AS app\nENV A=1\n")
    if file:
        (project / "buildonce.toml").write_text(file)
    ran = call("build", *PLACES)
    assert ran.code == 2
    assert "there is no variant `ap` that could be the default" in ran.err
    assert "BUILDONCE_DEFAULT says so" in ran.err
    assert "did you mean `app`?" in ran.err
