"""How buildx is found: where docker would find it, but without docker in between."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from buildonce.engines import programs
from buildonce.engines.programs import buildx_command


@pytest.fixture(autouse=True)
def no_system_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own plug-ins are not what is tested."""
    monkeypatch.setattr(programs, "_SYSTEM_FOLDERS", ())


def program(path: Path, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def test_a_plug_in_of_the_user_is_called_itself(tmp_path: Path) -> None:
    plug_in = program(tmp_path / ".docker/cli-plugins/docker-buildx")
    program(tmp_path / "bin/docker")
    environment = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    assert buildx_command(environment) == (str(plug_in),)


def test_docker_config_says_where_plug_ins_are(tmp_path: Path) -> None:
    program(tmp_path / ".docker/cli-plugins/docker-buildx")
    plug_in = program(tmp_path / "config/cli-plugins/docker-buildx")
    environment = {"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "config"), "PATH": ""}
    assert buildx_command(environment) == (str(plug_in),)


def test_further_folders_come_from_the_configuration(tmp_path: Path) -> None:
    plug_in = program(tmp_path / "more/docker-buildx")
    (tmp_path / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": [str(tmp_path / "more")], "auths": {}}))
    assert buildx_command({"DOCKER_CONFIG": str(tmp_path), "PATH": ""}) == (str(plug_in),)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cliPluginsExtraDirs": 1}'])
def test_a_configuration_that_cannot_be_read_names_no_folder(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    assert buildx_command({"DOCKER_CONFIG": str(tmp_path), "PATH": ""}) is None


def test_a_file_that_cannot_be_run_is_no_plug_in(tmp_path: Path) -> None:
    program(tmp_path / "cli-plugins/docker-buildx", mode=0o644)
    program(tmp_path / "bin/docker")
    environment = {"DOCKER_CONFIG": str(tmp_path), "PATH": str(tmp_path / "bin")}
    assert buildx_command(environment) == ("docker", "buildx")


def test_buildx_is_enough_without_docker(tmp_path: Path) -> None:
    alone = program(tmp_path / "bin/docker-buildx")
    assert buildx_command({"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}) == (str(alone),)
