"""One project declared in six ways: the same keys, and the same images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Call

Document = Mapping[str, Any]

PROLOGUE = "FROM busybox:1 AS builder\nCOPY source /source\nRUN make\n"
VARIANTS = ("claude", "codex", "kiro")


def chain(name: str) -> str:
    return f"FROM busybox:1 AS {name}\nCOPY --from=builder /out/tool /bin/tool\nENV AGENT={name}\nRUN install {name}\n"


WHOLE = PROLOGUE + "".join(map(chain, VARIANTS))
ARGUMENT = (
    PROLOGUE
    + "FROM busybox:1 AS app\nARG NAME\nCOPY --from=builder /out/tool /bin/tool\nENV AGENT=$NAME\nRUN install $NAME\n"
)
PLATFORMS = '["linux/amd64", "linux/arm64"]'
TOML = f"platforms = {PLATFORMS}\n" + "".join(f'[variants.{name}]\ntarget = "{name}"\n' for name in VARIANTS)
BAKE = {
    "group": {"default": {"targets": ["agent"]}},
    "target": {
        "agent": {
            "name": "${agent}",
            "matrix": {"agent": list(VARIANTS)},
            "target": "${agent}",
            "platforms": ["linux/amd64", "linux/arm64"],
        }
    },
}
COMPOSE = "services:\n" + "".join(
    f"  {name}:\n    build:\n      context: .\n      target: {name}\n      platforms: {PLATFORMS}\n"
    for name in VARIANTS
)
ARGUMENTS = f"platforms = {PLATFORMS}\n" + "".join(
    f'[variants.{name}]\ntarget = "app"\nargs = {{ NAME = "{name}" }}\n' for name in VARIANTS
)
BOTH = "--platform=linux/amd64,linux/arm64"

WAYS: Mapping[str, tuple[Mapping[str, str], tuple[str, ...]]] = {
    "one Dockerfile": ({"Dockerfile": WHOLE}, (BOTH,)),
    "buildonce.toml": ({"Dockerfile": WHOLE, "buildonce.toml": TOML}, ()),
    "a Dockerfile each": (
        {f"Dockerfile.{name}": PROLOGUE + chain(name) for name in VARIANTS} | {"Dockerfile.x.dockerignore": "x\n"},
        ("-f", "Dockerfile.*", BOTH),
    ),
    "bake": ({"Dockerfile": WHOLE, "docker-bake.json": json.dumps(BAKE)}, ("-f", "docker-bake.json")),
    "Compose": ({"Dockerfile": WHOLE, "compose.yaml": COMPOSE}, ("-f", "compose.yaml")),
    "one stage with arguments": ({"Dockerfile": ARGUMENT, "buildonce.toml": ARGUMENTS}, ()),
}


def plan(call: Call, project: Path, way: str) -> Document:
    """Return what a project that is declared in this way is planned as."""
    files, arguments = WAYS[way]
    for name, text in {**files, "source": "1"}.items():
        (project / name).write_text(text)
    ran = call("plan", "--json", *arguments)
    assert ran.code == 0, ran.err
    document: Document = json.loads(ran.out)
    return document


@pytest.mark.parametrize("way", [way for way in WAYS if way != "one Dockerfile"])
def test_keys_are_the_same_whatever_declares_the_variants(call: Call, project: Path, way: str) -> None:
    (other := project / "other").mkdir()
    found = plan(call, project, way)
    for path in project.iterdir():
        if path.is_file():
            path.rename(other / path.name)
    expected = plan(call, project, "one Dockerfile")

    def keys(document: Document, kind: str) -> set[tuple[str, str]]:
        return {(one["platform"], one["key"]) for one in document[kind]}

    assert keys(found, "cores") == keys(expected, "cores")
    assert len(keys(found, "cores")) == 2
    if way != "one stage with arguments":  # there an argument is in force where else nothing is: other bases
        assert keys(found, "bases") == keys(expected, "bases")
    images = [(one["variant"], one["platform"]) for one in found["images"]]
    assert sorted(images) == sorted((one["variant"], one["platform"]) for one in expected["images"])
    assert len(images) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-f", "Dockerfil*"), "`-f Dockerfil*` matches no file"),
        (("-f", "missing.toml"), "there is no file `missing.toml`"),
        (("-f", "missing.json"), "missing.json"),
        (("-f", "missing.yaml"), "missing.yaml"),
        (("-f", "a.toml", "-f", "b.toml"), "a.toml, b.toml are not merged"),
        (("-f", "compose.yaml", "-f", "docker-bake.json"), "are of several kinds"),
        (("-f", "Dockerfile", "-f", "docker-bake.json"), "Dockerfile, docker-bake.json are of several kinds"),
        (("-f", "Dockerfile.json"), "there is no Dockerfile at `Dockerfile.json`"),
        (("-f", "sub/x.toml"), "`sub/x.toml` is in another folder, which its paths are relative to"),
        (("-f", "compose.yaml", "-f", "compose.other.yaml"), "several Compose files are not merged"),
    ],
)
def test_a_file_that_declares_nothing_is_an_error(call: Call, arguments: tuple[str, ...], message: str) -> None:
    ran = call("plan", *arguments)
    assert ran.code == 2
    assert message in ran.err
