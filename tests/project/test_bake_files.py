"""Bake files on disk, with a buildx that is a stand-in, and without one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from buildonce.errors import UsageError
from buildonce.project.declaration import VariantDeclaration
from buildonce.run.bake_files import find_bake_files, load_bake
from tests.project.bake_documents import FIRST, SECOND, default


def stand_in(folder: Path, script: str) -> dict[str, str]:
    """Return an environment in which buildx is a shell script."""
    (folder / "bin").mkdir()
    program = folder / "bin/docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder / 'bin'}:{os.defpath}", "HOME": str(folder), "DOCKER_CONFIG": str(folder)}


def without_buildx(folder: Path, **others: str) -> dict[str, str]:
    return {"PATH": str(folder / "nothing"), "HOME": str(folder), "DOCKER_CONFIG": str(folder), **others}


@pytest.fixture
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without buildx among the system's plug-ins."""
    monkeypatch.setattr("buildonce.engines.programs._SYSTEM_FOLDERS", ())


@pytest.mark.usefixtures("no_plugins")
async def test_buildx_is_asked_in_the_projects_folder_and_may_warn(tmp_path: Path) -> None:
    document = json.dumps({"group": {"default": {"targets": ["a"]}}, "target": {"a": {"target": "T"}}}, indent=2)
    script = f"echo 'WARN: old' >&2\necho \"$PWD $TAG $*\" > said\ncat <<'E'\n{document}\nE\n"
    environment = {**stand_in(tmp_path, script), "TAG": "v1"}
    (tmp_path / "my.hcl").touch()
    declaration = await load_bake(tmp_path, environment=environment, files=[Path("my.hcl")], targets=["a", "b"])
    assert declaration.variants == (VariantDeclaration(name="a", target="T"),)
    said = (tmp_path / "said").read_text()
    assert said == f"{tmp_path} v1 buildx bake --print --progress=quiet --file={tmp_path}/my.hcl -- a b\n"


@pytest.mark.usefixtures("no_plugins")
@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "[ $2 = version ] || { echo 'ERROR: bad file'; exit 1; }",
            "ended with status 1\n  = note: ERROR: bad file",
        ),
        ("echo hello", "what `docker buildx bake --print` prints is no JSON document\n  = note: hello"),
        ("true", "what `docker buildx bake --print` prints is no JSON document\nhelp: update"),
    ],
)
async def test_a_buildx_that_fails_is_an_error(script: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        await load_bake(tmp_path, environment=stand_in(tmp_path, script))
    assert said in str(caught.value)


@pytest.mark.usefixtures("no_plugins")
async def test_a_docker_without_buildx_is_as_if_there_were_none(tmp_path: Path) -> None:
    environment = stand_in(tmp_path, "echo \"docker: '$1' is not a docker command\" >&2; exit 1")
    (tmp_path / "docker-bake.json").write_text(json.dumps(default(target="t")))
    assert (await load_bake(tmp_path, environment=environment)).variants[0].target == "t"


@pytest.mark.usefixtures("no_plugins")
async def test_without_buildx_json_files_are_resolved_in_bakes_order(tmp_path: Path) -> None:
    (tmp_path / "docker-bake.json").write_text(json.dumps(FIRST))
    (tmp_path / "docker-bake.override.json").write_text(json.dumps(SECOND))
    assert [path.name for path in find_bake_files(tmp_path)] == ["docker-bake.json", "docker-bake.override.json"]
    (variant,) = (await load_bake(tmp_path, environment=without_buildx(tmp_path, A="env"))).variants
    assert (variant.args, variant.push, variant.tags) == (
        {"x": "env", "y": "2", "z": "2"},
        "docker.io/library/b",
        ("latest",),
    )


@pytest.mark.usefixtures("no_plugins")
@pytest.mark.parametrize(
    ("files", "named", "environment", "said"),
    [
        ({}, [], {}, "there is no bake file in F\nhelp: bake files are called docker-bake.json, docker-bake.hcl, "),
        ({}, ["x.json"], {}, "there is no bake file F/x.json"),
        (
            {"docker-bake.hcl": "target x {\n  a = timestamp(\n}"},
            [],
            {},
            "docker-bake.hcl:3:1: a name or a value is expected here: `}`\nhelp: install Docker's buildx",
        ),
        ({"docker-bake.json": "{"}, [], {}, "docker-bake.json is not JSON: "),
        (
            {"docker-bake.json": "{}", "compose.yaml": ""},
            [],
            {},
            "`docker buildx bake` merges compose.yaml with docker-bake.json, which is not possible without buildx\n",
        ),
        ({}, [], {"BUILDX_BAKE_FILE": "x"}, "BUILDX_BAKE_FILE is not read without buildx\nhelp: "),
    ],
)
async def test_without_buildx_what_is_not_possible_is_said(
    files: Mapping[str, str], named: list[str], environment: Mapping[str, str], said: str, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        await load_bake(
            tmp_path, environment=without_buildx(tmp_path, **environment), files=[Path(one) for one in named]
        )
    assert str(caught.value).replace(str(tmp_path), "F").startswith(said)
