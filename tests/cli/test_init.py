"""`init` as it is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildonce.project.toml_file import load_declaration
from tests.cli.conftest import Call

DOCKERFILE = """\
FROM scratch AS builder
COPY app /app
FROM scratch AS claude
COPY --from=builder /app /app
FROM scratch AS codex
COPY --from=builder /app /app
"""
COMPOSE = """\
services:
  web:
    image: registry.example/acme/web:1.0
    build: {context: ., target: claude}
  worker:
    image: registry.example/acme/worker:1.0
    build: {context: ., target: codex}
"""
BAKE = '{"group": {"default": {"targets": ["a"]}}, "target": {"a": {"target": "claude"}}}'


def test_final_stages_become_variants(call: Call, project: Path) -> None:
    (project / "Dockerfile").write_text(DOCKERFILE)
    (project / "Dockerfile.dockerignore").write_text("x\n")
    ran = call("init")
    assert (ran.code, ran.out, ran.err) == (0, "", "wrote buildonce.toml: 2 variants from Dockerfile\n")
    variants = load_declaration(project).declaration.variants
    assert [(one.name, one.target, one.dockerfile) for one in variants] == [
        ("claude", "claude", "Dockerfile"),
        ("codex", "codex", "Dockerfile"),
    ]


def test_each_dockerfile_has_its_last_stage(call: Call, project: Path) -> None:
    for name in ("claude", "codex"):
        (project / f"Dockerfile.{name}").write_text("FROM scratch AS builder\nFROM scratch\nCOPY --from=builder / /\n")
    assert call("init").code == 0
    variants = load_declaration(project).declaration.variants
    assert [(one.name, one.target, one.dockerfile) for one in variants] == [
        ("claude", None, "Dockerfile.claude"),
        ("codex", None, "Dockerfile.codex"),
    ]


def test_a_compose_file_goes_before_dockerfiles(call: Call, project: Path) -> None:
    (project / "Dockerfile").write_text(DOCKERFILE)
    (project / "compose.yaml").write_text(COMPOSE)
    assert call("init").err == "wrote buildonce.toml: 2 variants from compose.yaml\n"
    declaration = load_declaration(project).declaration
    assert (declaration.push, declaration.tags) == ("registry.example/acme/{variant}", ("1.0",))
    assert [one.target for one in declaration.variants] == ["claude", "codex"]


def test_a_file_can_be_named(call: Call, project: Path) -> None:
    (project / "Dockerfile").write_text(DOCKERFILE)
    (project / "compose.yaml").write_text(COMPOSE)
    (project / "docker-bake.json").write_text(BAKE)
    assert "docker-bake.json and compose.yaml both declare images" in call("init").err
    for file, count in (("Dockerfile", 2), ("compose.yaml", 2), ("docker-bake.json", 1)):
        assert call("init", "--from", file, "--print").out.count("[variants.") == count
    assert not (project / "buildonce.toml").exists()


def test_a_file_that_is_there_is_kept(call: Call, project: Path) -> None:
    (project / "Dockerfile").write_text(DOCKERFILE)
    (project / "buildonce.toml").write_text("# mine\n")
    ran = call("init")
    assert (ran.code, ran.err.splitlines()[0]) == (2, "error[USAGE]: there is a buildonce.toml already")
    assert (project / "buildonce.toml").read_text() == "# mine\n"
    assert call("init", "--force").code == 0
    assert "[variants.claude]" in (project / "buildonce.toml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "there is no Dockerfile here, and no bake or Compose file"),
        (("--from", "Dockerfile.x"), "there is no Dockerfile at `Dockerfile.x`"),
        (("--from", "a.json", "--from", "b.yaml"), "a.json, b.yaml are of several kinds"),
        (("--from", "a.yaml", "--from", "b.yaml"), "several Compose files are not merged"),
    ],
)
def test_what_cannot_be_read_is_an_error(call: Call, arguments: tuple[str, ...], message: str) -> None:
    ran = call("init", *arguments)
    assert (ran.code, ran.err.splitlines()[0]) == (2, f"error[USAGE]: {message}")
