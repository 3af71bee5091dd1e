"""A builder that writes no OCI layouts: what goes through Docker's own store, and that nothing is left there."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from buildonce.engines.buildx import Buildx
from buildonce.errors import EngineFailed, EngineUnavailable
from buildonce.events import Event, Warned
from buildonce.oci import digest_of
from tests.engines.jobs import make_job, write_program
from tests.engines.test_saved_image import ONE, config_of, layout_of, saved

BUILDX = """\
echo "buildx $*" >> {log}
case "$*" in
  *type=oci*|*oci-layout:*) echo "OCI exporter is not supported"; exit 1;;
  *exit-7*) exit 7;;
  version*) echo "github.com/docker/buildx 1.2 abc";;
  inspect*) printf 'Name: mine\\nDriver: docker\\n\\nName: mine\\nEndpoint: far\\nPlatforms: linux/amd64\\n';;
esac
"""
DOCKER = """\
echo "docker $*" >> {log}
case "$*" in
  *"image save"*) cp {archive} "$6";;
  *"image rm"*) exit {removed};;
esac
"""


class Case:
    """Programs that note how they are called."""

    def __init__(self, folder: Path, *, docker: str = DOCKER, removed: int = 0) -> None:
        self.log, self.events = folder / "log", list[Event]()
        archive = saved(folder / "archive", ["c", "l"], {"c": config_of(ONE), "l": ONE})
        buildx = write_program(folder / "buildx", BUILDX.format(log=self.log))
        if docker:
            text = docker.format(log=self.log, archive=archive, removed=removed)
            write_program(folder / "bin" / "docker", text)
        environment = {**os.environ, "PATH": f"{folder / 'bin'}:/usr/bin:/bin" if docker else str(folder / "bin")}
        self.engine = Buildx(command=(str(buildx),), environment=environment, emit=self.events.append)

    def calls(self) -> list[str]:
        """What was called since the last time."""
        lines = self.log.read_text().splitlines()
        self.log.write_text("")
        return lines


async def test_an_image_goes_through_dockers_store_and_loses_its_name_there(tmp_path: Path) -> None:
    case = Case(tmp_path)
    built = await case.engine.build(make_job(tmp_path / "a"))
    assert (built.layout / "blobs" / digest_of(ONE).replace(":", "/")).read_bytes() == ONE
    assert {path.name for path in built.layout.iterdir()} == {"blobs", "index.json", "oci-layout"}
    first, version, du, inspect, build, save, remove = case.calls()
    assert ("type=oci" in first, version, du.split()[1], inspect) == (True, "buildx version", "du", "buildx inspect")
    name = remove.split()[-1]
    assert name.startswith("buildonce.invalid/temporary:")
    assert f"--output type=docker,name={name} " in build
    assert save.startswith("docker --context far image save --output ")
    assert save.endswith(name)
    assert remove == f"docker --context far image rm {name}"


async def test_what_was_learned_of_a_builder_is_not_asked_again(tmp_path: Path) -> None:
    case = Case(tmp_path)
    await case.engine.build(make_job(tmp_path / "a"))
    names = [case.calls()[-1].split()[-1]]
    await case.engine.build(make_job(tmp_path / "b"))
    calls = case.calls()
    assert [call.split()[:4] for call in calls] == [
        ["buildx", "build", "--progress=plain", "--provenance=false"],
        ["docker", "--context", "far", "image"],
        ["docker", "--context", "far", "image"],
    ]
    assert calls[-1].split()[-1] not in names


async def test_files_are_exported_as_ever_and_layouts_are_loaded_for_them(tmp_path: Path) -> None:
    case = Case(tmp_path)
    await case.engine.export(make_job(tmp_path / "a"))
    assert [call.split()[1] for call in case.calls()] == ["build"]
    layout = f"oci-layout://{tmp_path}/layout@{layout_of(tmp_path / 'layout', ONE).digest}"
    contexts = {"builder": layout, "other": "docker-image://x", "folder": "/f"}
    await case.engine.export(make_job(tmp_path / "b", contexts=contexts))
    *_, load, build, remove = case.calls()
    name = remove.split()[-1]
    assert load.startswith("docker --context far image load --quiet --input ")
    assert f"--build-context builder=docker-image://{name} " in build
    assert "--build-context folder=/f --build-context other=docker-image://x " in build
    assert "type=tar" in build


async def test_jobs_at_the_same_time_share_what_was_loaded_and_the_last_one_gives_it_back(tmp_path: Path) -> None:
    case = Case(tmp_path)
    await case.engine.build(make_job(tmp_path / "first"))
    case.calls()
    layout = f"oci-layout://{tmp_path}/layout@{layout_of(tmp_path / 'layout', ONE).digest}"
    jobs = [make_job(tmp_path / name, contexts={"builder": layout}) for name in ("a", "b", "c")]
    await asyncio.gather(*map(case.engine.export, jobs))
    calls = case.calls()
    assert sum(call.startswith("docker --context far image load") for call in calls) == 1
    assert [call for call in calls if "image rm" in call] == calls[-1:]
    assert sum(f"builder=docker-image://{calls[-1].split()[-1]} " in call for call in calls) == 3


async def test_a_load_that_is_cancelled_takes_its_name_along_and_another_job_loads_anew(tmp_path: Path) -> None:
    docker = 'echo "docker $*" >> {log}; case "$*" in *load*) if test -e {log}.slow; then exec sleep 60; fi;; esac'
    case = Case(tmp_path, docker=docker)
    layout = f"oci-layout://{tmp_path}/layout@{layout_of(tmp_path / 'layout', ONE).digest}"
    first, second = (make_job(tmp_path / name, contexts={"builder": layout}) for name in ("a", "b"))
    slow = tmp_path / "log.slow"
    slow.touch()
    loading = asyncio.create_task(case.engine.export(first))
    while "image load" not in (case.log.read_text() if case.log.exists() else ""):  # noqa: ASYNC110  it is a program that says so
        await asyncio.sleep(0.01)
    waiting = asyncio.create_task(case.engine.export(second))
    await asyncio.sleep(0.1)
    loading.cancel()
    slow.unlink()
    with pytest.raises(asyncio.CancelledError):
        await loading
    await waiting
    images = [call.split()[4:] for call in case.calls() if call.startswith("docker ")]
    assert [words[0] for words in images] == ["load", "rm", "load", "rm"]
    assert images[1][-1] != images[3][-1]


async def test_a_build_that_fails_there_is_a_failed_build_and_leaves_no_name(tmp_path: Path) -> None:
    case = Case(tmp_path)
    layout = f"oci-layout://{tmp_path}/layout@{layout_of(tmp_path / 'layout', ONE).digest}"
    with pytest.raises(EngineFailed, match="exit status 7") as caught:
        await case.engine.build(make_job(tmp_path / "a", target="exit-7", contexts={"builder": layout}))
    (alone,) = (note for note in caught.value.notes if note.startswith("to run it alone: "))
    assert "buildonce.invalid" not in alone
    assert [call for call in case.calls() if "image" in call and "docker" in call][-1].split()[4] == "rm"


async def test_an_image_that_is_left_is_said_with_what_removes_it(tmp_path: Path) -> None:
    case = Case(tmp_path, removed=1)
    await case.engine.build(make_job(tmp_path / "a"))
    *_, remove, inspect = case.calls()
    (warning,) = (event.message for event in case.events if isinstance(event, Warned))
    assert inspect.split()[4] == "inspect"
    assert warning.endswith(f"`docker image rm {remove.split()[-1]}` removes it")


async def test_docker_failing_is_no_failed_build(tmp_path: Path) -> None:
    case = Case(tmp_path, docker='case "$*" in *save*) echo "no space left"; exit 1;; esac')
    with pytest.raises(EngineUnavailable, match=r"`docker image save` failed .*exit status 1.*\n.*no space left"):
        await case.engine.build(make_job(tmp_path / "a"))


async def test_without_the_command_docker_nothing_is_built(tmp_path: Path) -> None:
    case = Case(tmp_path, docker="")
    with pytest.raises(EngineUnavailable, match="there is no `docker` command to take them out"):
        await case.engine.build(make_job(tmp_path / "a"))
    assert [call.split()[1] for call in case.calls()] == ["build", "version", "du", "inspect"]
