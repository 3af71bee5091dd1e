"""Which engine a run works with."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildonce.engines.buildah import Buildah
from buildonce.engines.buildx import Buildx
from buildonce.engines.finding import find_engine
from buildonce.engines.protocol import Engine
from buildonce.errors import EngineUnavailable, UsageError
from tests.engines.jobs import write_program

SAYS = {
    "buildah": 'echo "buildah version 1.43.2 (image-spec 1.1.1)"',
    "podman": "echo 1.39.3",
    "docker": '[ "$2" = version ] || exit 9',
}


@pytest.fixture(autouse=True)
def no_system_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own plug-ins are not what is tested."""
    monkeypatch.setattr("buildonce.engines.programs._SYSTEM_FOLDERS", ())


async def find(folder: Path, *programs: str, asked: str = "", docker: str = SAYS["docker"]) -> Engine:
    for program in programs:
        write_program(folder / "bin" / program, docker if program == "docker" else SAYS[program])
    environment = {"HOME": str(folder), "PATH": str(folder / "bin"), "BUILDONCE_ENGINE": asked}
    return await find_engine(environment, lambda _: None)


@pytest.mark.parametrize(
    ("programs", "asked", "name"),
    [
        (("docker", "buildah", "podman"), "", "docker buildx"),
        (("buildah", "podman"), "", "buildah 1.43.2"),
        (("podman",), "", "podman (buildah 1.39.3)"),
        (("docker", "buildah"), "buildah", "buildah 1.43.2"),
        (("docker", "podman", "buildah"), "podman", "podman (buildah 1.39.3)"),
        (("docker", "buildah"), "buildx", "docker buildx"),
    ],
)
async def test_the_engine_is_the_one_asked_for_or_the_first(
    tmp_path: Path, programs: tuple[str, ...], asked: str, name: str
) -> None:
    engine = await find(tmp_path, *programs, asked=asked)
    assert engine.name == name
    assert isinstance(engine, Buildx if name == "docker buildx" else Buildah)


@pytest.mark.parametrize(
    ("programs", "asked", "name"),
    [
        (("docker", "buildah"), "", "buildah 1.43.2"),
        (("docker",), "", "docker buildx"),
        (("docker", "buildah"), "buildx", "docker buildx"),
    ],
)
async def test_a_docker_without_buildx_goes_after_the_others(
    tmp_path: Path, programs: tuple[str, ...], asked: str, name: str
) -> None:
    assert (await find(tmp_path, *programs, asked=asked, docker="exit 1")).name == name


async def test_what_was_looked_for_is_said_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="no build engine was found") as caught:
        await find(tmp_path)
    assert caught.value.notes == ("looked for `docker`, or the plug-in `docker-buildx`; `buildah`; `podman`",)


async def test_no_other_engine_replaces_the_one_that_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="the engine buildah is not on this machine: there is no `buildah`"):
        await find(tmp_path, "docker", asked="buildah")


async def test_an_engine_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="BUILDONCE_ENGINE is `kaniko`, which is no engine") as caught:
        await find(tmp_path, "docker", asked="kaniko")
    assert caught.value.help == "the engines are buildx, buildah, podman"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo buildah version 1.23.1", "this buildah is Buildah 1.23.1, which is too old"),
        ("echo nonsense", "`buildah --version` ended with status 0, and names no version"),
        ("echo broken; exit 3", "`buildah --version` ended with status 3"),
    ],
)
async def test_a_buildah_that_cannot_be_used_says_why(tmp_path: Path, script: str, message: str) -> None:
    program = write_program(tmp_path / "bin" / "buildah", script)
    with pytest.raises(EngineUnavailable, match=message):
        await find_engine({"HOME": str(tmp_path), "PATH": str(program.parent)}, lambda _: None)
