"""Platforms without a node."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from buildonce.engines.builders import Builder, Node, read_builder
from buildonce.engines.buildx import Buildx
from buildonce.engines.nodes import require_nodes
from buildonce.errors import EngineUnavailable
from buildonce.oci import parse_platform
from tests.engines.jobs import make_job, write_program

RUNS = """\
FROM scratch AS other
RUN false
FROM --platform=$BUILDPLATFORM x AS below
RUN make
FROM x
COPY --from=below a b
"""
AMD64 = Node(name="one", platforms="linux/amd64*, linux/amd64/v2", is_running=True)
ARM64 = Node(name="two", platforms="linux/arm64, linux/arm/v7", is_running=True)


def check(folder: Path, nodes: tuple[Node, ...], platform: str, text: str, **arguments: str) -> None:
    builder = Builder(name="family", driver="remote", nodes=nodes, writes_layouts=True)
    job = replace(make_job(folder, dockerfile=text), platform=parse_platform(platform), build_args=arguments)
    require_nodes(builder, job)


@pytest.mark.parametrize(
    ("nodes", "platform", "text"),
    [
        ((AMD64, ARM64), "linux/arm64", "FROM x\nRUN make\n"),
        ((ARM64,), "linux/arm/v6", "FROM x\nRUN make\n"),
        ((AMD64,), "linux/arm64", "FROM x\nCOPY a b\n"),
        ((AMD64,), "linux/arm64", "FROM x AS other\nRUN make\nFROM x\nCOPY a b\n"),
        ((AMD64, replace(ARM64, platforms="", is_running=False)), "linux/arm64", "FROM x\nRUN make\n"),
        ((replace(AMD64, is_running=False),), "linux/arm64", "FROM x\nRUN make\n"),
        ((), "linux/arm64", "FROM x\nRUN make\n"),
    ],
    ids=["a node", "another variant", "no run", "a stage that is not needed", "one is down", "it is down", "none yet"],
)
def test_what_some_node_may_run_is_built(tmp_path: Path, nodes: tuple[Node, ...], platform: str, text: str) -> None:
    check(tmp_path, nodes, platform, text)


def test_what_runs_on_the_build_platform_may_be_built_for_any(tmp_path: Path) -> None:
    check(tmp_path, (AMD64,), "linux/s390x", RUNS, BUILDPLATFORM="linux/amd64")


def test_a_platform_without_a_node_is_refused_with_what_runs_there_and_what_the_nodes_are(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        check(tmp_path, (AMD64, ARM64), "linux/s390x", "FROM x\nRUN make\n")
    assert caught.value.message == (
        "the builder `family` has no node that runs linux/s390x, and images/Dockerfile:2 is a RUN there "
        "(compile builder linux/amd64)"
    )
    assert caught.value.notes == (
        "`one` runs linux/amd64*, linux/amd64/v2",
        "`two` runs linux/arm64, linux/arm/v7",
    )
    assert "docker buildx create --append --name family --platform linux/s390x" in (caught.value.help or "")


def test_what_the_node_of_the_platform_does_not_run_is_refused_though_another_node_would(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        check(tmp_path, (AMD64, ARM64), "linux/arm64", RUNS, BUILDPLATFORM="linux/amd64")
    assert caught.value.message.startswith(
        "the builder `family` has no node for linux/arm64 that runs linux/amd64, and images/Dockerfile:4 is a RUN there"
    )


def test_dockers_own_driver_gets_no_second_node(tmp_path: Path) -> None:
    text = "Name: default\nDriver: docker\n\nName: default\nStatus: running\nPlatforms: linux/amd64\n"
    job = replace(make_job(tmp_path, dockerfile="FROM x\nRUN make\n"), platform=parse_platform("linux/arm64"))
    with pytest.raises(EngineUnavailable) as caught:
        require_nodes(read_builder(text), job)
    assert caught.value.help == (
        "register an emulator for arm64 (QEMU), or make a builder with `docker buildx create --use`"
    )


INSPECTED = "printf 'Name: family\\nDriver: remote\\n\\nName: one\\nStatus: running\\nPlatforms: linux/amd64\\n'"


def engine_for(folder: Path, own: str, *, build: str, inspect: str = INSPECTED) -> Buildx:
    """A buildx on a machine of the platform ``own``; it notes what it is asked."""
    script = f"echo $1 >> {folder}/log; case $1 in build) {build};; inspect) {inspect};; esac"
    program = write_program(folder / "buildx", script)
    return Buildx(
        command=(str(program),), environment=os.environ, emit=lambda _: None, own=parse_platform(f"linux/{own}")
    )


async def test_a_build_that_no_node_can_run_is_ended_as_soon_as_that_is_known(tmp_path: Path) -> None:
    job = make_job(tmp_path, dockerfile="FROM x\nRUN make\n")
    engine = engine_for(tmp_path, "amd64", build="exec sleep 60")
    async with asyncio.timeout(20):
        with pytest.raises(EngineUnavailable, match="has no node that runs linux/arm64"):
            await engine.export(replace(job, platform=parse_platform("linux/arm64")))


@pytest.mark.parametrize(
    ("own", "inspect", "asked"),
    [("arm64", INSPECTED, ["build"]), ("amd64", "exit 1", ["build", "inspect"])],
    ids=["it is for this machine", "nobody answers"],
)
async def test_a_build_goes_on_that_may_well_be_run(tmp_path: Path, own: str, inspect: str, asked: list[str]) -> None:
    job = make_job(tmp_path, dockerfile="FROM x\nRUN make\n")
    engine = engine_for(tmp_path, own, build="sleep 1", inspect=inspect)
    await engine.export(replace(job, platform=parse_platform("linux/arm64")))
    assert sorted((tmp_path / "log").read_text().split()) == asked


async def test_a_builder_that_is_up_is_asked_once(tmp_path: Path) -> None:
    engine = engine_for(tmp_path, "arm64", build="true")
    for name in ("a", "b"):
        await engine.export(make_job(tmp_path / name, dockerfile="FROM x\nRUN make\n"))
    assert sorted((tmp_path / "log").read_text().split()) == ["build", "build", "inspect"]
