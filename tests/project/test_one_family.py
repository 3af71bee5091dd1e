"""One family, declared in three forms."""

from __future__ import annotations

import json

from buildonce.project.bake import declare_bake
from buildonce.project.bake_resolution import resolve_bake
from buildonce.project.compose import read_compose
from buildonce.project.declaration import VariantDeclaration
from buildonce.project.json_documents import read_json
from buildonce.project.toml import read_toml

NAMES = ("claude", "codex")

TOML = """
platforms = ["linux/amd64", "linux/arm64"]
""" + "".join(
    f"""
[variants.{name}]
dockerfile = "images/Dockerfile"
context = "."
target = "{name}"
args = {{ BUILDER = "rust:1", AGENT = "{name}" }}
contexts = {{ assets = "assets" }}
platforms = ["linux/amd64", "linux/arm64"]
push = "registry.example/acme/{name}"
tags = ["1.0", "stable"]
"""
    for name in NAMES
)

BAKE = {
    "variable": {"VERSION": {"default": "0"}, "NAMES": {"default": NAMES}},
    "group": {"default": {"targets": ["agent"]}},
    "target": {
        "base": {
            "dockerfile": "images/Dockerfile",
            "args": {"BUILDER": "rust:1"},
            "contexts": {"assets": "./assets"},
            "platforms": ["linux/amd64", "linux/arm64"],
        },
        "agent": {
            "inherits": ["base"],
            "name": "${agent}",
            "matrix": {"agent": "${NAMES}"},
            "target": "${agent}",
            "args": {"AGENT": "${agent}"},
            "tags": ["registry.example/acme/${agent}:${VERSION}", "registry.example/acme/${agent}:stable"],
        },
    },
}

COMPOSE = "services:\n" + "".join(
    f"""
  {name}:
    image: registry.example/acme/{name}:${{VERSION:?}}
    build:
      context: ..
      dockerfile: images/Dockerfile
      target: {name}
      args: [BUILDER=rust:1, AGENT={name}]
      additional_contexts: {{assets: ../assets}}
      platforms: [linux/amd64, linux/arm64]
      tags: [registry.example/acme/{name}:stable]
"""
    for name in NAMES
)

FAMILY = tuple(
    VariantDeclaration(
        name=name,
        dockerfile="images/Dockerfile",
        target=name,
        args={"BUILDER": "rust:1", "AGENT": name},
        contexts={"assets": "assets"},
        platforms=("linux/amd64", "linux/arm64"),
        push=f"registry.example/acme/{name}",
        tags=("1.0", "stable"),
    )
    for name in NAMES
)


def test_a_family_is_the_same_whatever_declares_it() -> None:
    environment = {"VERSION": "1.0"}
    assert read_toml(TOML).declaration.variants == FAMILY
    bake = resolve_bake([read_json(json.dumps(BAKE).encode(), "b")], (), environment, path="b")
    assert declare_bake(bake, path="b").variants == FAMILY
    assert read_compose(COMPOSE.encode(), path="deploy/compose.yaml", environment=environment).variants == FAMILY
