"""[io] Plan files in tests, and cores in a cache as a compile job on another machine would have left them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from buildonce.assemble.parts import Parts
from buildonce.cli.wiring import Places, open_configuration, surroundings
from buildonce.oci import Digest, digest_of
from buildonce.project.toml import Configuration
from buildonce.run.core_results import core_name, store_core
from buildonce.run.given import GivenFiles
from buildonce.run.plan_file import Made, PlanFile, decode_plan
from buildonce.run.planned import plan_project
from buildonce.run.planned_images import PlannedImages
from buildonce.store.opening import parse_store

TOOL = b"tool"


def read_plan(path: Path) -> PlanFile:
    """Return a plan file."""
    return decode_plan(path.read_bytes(), str(path))


def compile_elsewhere(path: Path, made: Path, content: bytes = TOOL) -> None:
    """Do what a plan's compile jobs do, but for the compiler: a file of these bytes is at each path of a core."""
    file = path.with_name("compiled")
    file.write_bytes(content)
    file.chmod(0o755)
    asyncio.run(_compile(path, made, file))


async def _compile(path: Path, made: Path, program: Path) -> None:
    file = read_plan(path)
    wanted = open_configuration(Configuration(file=file.file, declaration=file.declaration), file.selected)
    places = Places(target=file.variants[0].target, cache=parse_store(file.cache))
    async with surroundings(places, lambda _: None) as around:
        planned = await plan_project(
            wanted.project,
            wanted.request,
            open_repository=around.open_repository,
            state=around.state,
            resolve=PlannedImages(file),
        )
        for job in file.jobs:
            results: dict[str, Digest] = {}
            for key, core in planned.plan.cores.items():
                if key in job.cores:
                    tree = GivenFiles(dict.fromkeys(core.paths, program)).tree(core.paths, core.epoch)
                    target, parts = program.with_name(f"layer-{key}"), Parts(program.parent)
                    result = await store_core(core, tree, 7.0, store=around.cache, target=target, parts=parts)
                    results[core_name(core).tag] = result.stored.digest
            if results:
                _leave(path, made / f"{job.name}.json", job.name, results)


def _leave(plan: Path, path: Path, job: str, results: dict[str, Digest]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    left = Made(
        job=job,
        plan=digest_of(plan.read_bytes()),
        results=results,
        compiles=1,
        engine_runs=1,
        requests=0,
        bytes_up=0,
        bytes_down=0,
        seconds=7.0,
    )
    path.write_bytes(msgspec.json.encode(left))
