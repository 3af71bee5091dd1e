from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts.testhost import state
from scripts.testhost.decide import Kind
from scripts.testhost.folders import locate
from scripts.testhost.state import State

STAND_INS = State(kind=Kind.STAND_INS, registry="127.0.0.1:5000")
ENGINE = State(kind=Kind.ENGINE, registry="127.0.0.1:5001", container="c0ffee")


@pytest.mark.parametrize("record", [STAND_INS, ENGINE], ids=["stand-ins", "engine"])
def test_a_record_is_read_as_it_was_written(tmp_path: Path, record: State) -> None:
    state.save(tmp_path / "run" / "state.json", record)
    assert state.load(tmp_path / "run" / "state.json") == record


@pytest.mark.parametrize("content", [None, "", "[]", '{"version": 0, "kind": "engine"}'])
def test_no_record_or_a_foreign_one_means_that_nothing_is_up(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "state.json").write_text(content)
    assert state.load(tmp_path / "state.json") is None


def test_stand_ins_are_reached_through_a_client_and_mirrors_of_their_own(tmp_path: Path) -> None:
    folders = locate({"BUILDONCE_HOST_DIR": str(tmp_path)}, Path("/home/someone"))
    assert state.environment(STAND_INS, folders, f"/bin:{tmp_path}/client:/usr/bin") == {
        "BUILDONCE_HOST_REGISTRY": "127.0.0.1:5000",
        "BUILDONCE_MIRRORS": "docker.io=http://127.0.0.1:5000",
        "DOCKER_CONFIG": f"{tmp_path}/docker-config",
        "DOCKER_HOST": f"unix://{folders.socket}",
        "PATH": f"{tmp_path}/client:/bin:/usr/bin",
    }


def test_an_engine_of_the_machines_own_is_reached_as_ever(tmp_path: Path) -> None:
    folders = locate({"BUILDONCE_HOST_DIR": str(tmp_path)}, Path("/home/someone"))
    assert state.environment(ENGINE, folders, "/bin") == {"BUILDONCE_HOST_REGISTRY": "127.0.0.1:5001"}


def test_a_shell_understands_the_exports(tmp_path: Path) -> None:
    root = tmp_path / "it's here"
    folders = locate({"BUILDONCE_HOST_DIR": str(root)}, Path("/home/someone"))
    script = state.render_exports(STAND_INS, folders) + '\nprintf "%s\\n" "$DOCKER_CONFIG" "$PATH"'
    done = subprocess.run(["/bin/sh", "-c", script], env={"PATH": "/bin"}, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{root}/docker-config", f"{root}/client:/bin"]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"BUILDONCE_HOST_DIR": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/buildonce-host"),
        ({}, "/home/someone/.cache/buildonce-host"),
    ],
    ids=["chosen", "cache", "home"],
)
def test_the_folder_is_chosen_by_the_environment(environ: dict[str, str], expected: str) -> None:
    assert locate(environ, Path("/home/someone")).root == Path(expected)


def test_the_socket_is_short_wherever_the_folder_is() -> None:
    deep = locate({"BUILDONCE_HOST_DIR": "/deep" * 60}, Path("/home/someone"))
    assert len(str(deep.socket)) < 60
    assert deep.socket != locate({}, Path("/home/someone")).socket
