"""Seven variants declared in six ways, shipped one after the other with one cache: one compile for each platform."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.harness import PLATFORMS, Document, Host, Project, digests_of, engine_nodes, new_project

pytestmark = pytest.mark.host

VARIANTS = ("claude", "codex", "copilot", "cursor", "gemini", "grok", "kiro")
BOTH = f"--platform={','.join(PLATFORMS)}"


def prologue(run_id: str) -> str:
    return f"FROM busybox:1.36-glibc AS builder\nRUN mkdir /out && echo {run_id} > /out/tool\n"


def chain(name: str) -> str:
    return (
        f"FROM busybox:1.36-glibc AS {name}\nCOPY --from=builder /out/tool /bin/tool\n"
        f"ENV AGENT={name}\nRUN echo {name} > /etc/agent\n"
    )


def files(run_id: str) -> dict[str, str]:
    """Return the project with all that declares it, each way in a file of its own."""
    whole = prologue(run_id) + "".join(map(chain, VARIANTS))
    argument = prologue(run_id) + chain("app").replace("AS app", "AS app\nARG NAME", 1).replace(
        "=app", "=$NAME"
    ).replace("echo app", "echo $NAME")
    platforms = json.dumps(list(PLATFORMS))
    target = {
        "name": "${agent}",
        "matrix": {"agent": list(VARIANTS)},
        "target": "${agent}",
        "platforms": list(PLATFORMS),
    }
    return {
        "Dockerfile": whole,
        "Dockerfile.argument": argument,
        **{f"each/Dockerfile.{name}": prologue(run_id) + chain(name) for name in VARIANTS},
        "family.toml": f"platforms = {platforms}\n"
        + "".join(f'[variants.{name}]\ntarget = "{name}"\n' for name in VARIANTS),
        "argument.toml": f'platforms = {platforms}\ndockerfile = "Dockerfile.argument"\n'
        + "".join(f'[variants.{name}]\ntarget = "app"\nargs = {{ NAME = "{name}" }}\n' for name in VARIANTS),
        "docker-bake.json": json.dumps({"target": {"agent": target}, "group": {"default": {"targets": ["agent"]}}}),
        "docker-bake.hcl": 'group "default" { targets = ["agent"] }\ntarget "agent" {\n  name = agent\n'
        f"  matrix = {{ agent = {json.dumps(list(VARIANTS))} }}\n  target = agent\n  platforms = {platforms}\n}}\n",
        "compose.yaml": "services:\n"
        + "".join(
            f"  {name}:\n    build:\n      context: .\n      target: {name}\n      platforms: {platforms}\n"
            for name in VARIANTS
        ),
    }


def ship(project: Project, way: str, folder: Path, *arguments: str) -> Document:
    """Ship the family as it is declared in one way, with the cache of all ways."""
    places = ("--output", f"oci:{folder / way}", "--cache", f"oci:{folder / 'cache'}")
    return project.buildonce("build", "--json", *arguments, *places).document


def test_six_ways_are_one_family(host: Host, run_id: str, tmp_path: Path) -> None:
    project = new_project(host, tmp_path, files(run_id))
    pasted = ship(project, "pasted", tmp_path, "-f", "each/Dockerfile.*", BOTH)
    assert engine_nodes(pasted, "compile") == [f"builder {platform}" for platform in PLATFORMS]
    digests = digests_of(pasted)
    assert len(digests) == len(VARIANTS) * len(PLATFORMS)
    for way, arguments in {
        "Dockerfile": ("-f", "Dockerfile", BOTH),
        "toml": ("-f", "family.toml"),
        "JSON": ("-f", "docker-bake.json"),
        "HCL": ("-f", "docker-bake.hcl"),
        "Compose": ("-f", "compose.yaml"),
    }.items():
        outcome = ship(project, way, tmp_path, *arguments)
        assert outcome["engine_runs"] == [], way
        assert digests_of(outcome) == digests, way
    arguments_alone = ship(project, "arguments", tmp_path, "-f", "argument.toml")
    assert engine_nodes(arguments_alone, "compile") == []
    assert digests_of(arguments_alone).keys() == digests.keys()
