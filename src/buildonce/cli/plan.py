"""``buildonce plan``: what would be compiled, built and assembled, and why. No engine is started."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from buildonce.cli.options import Asked, project_options

if TYPE_CHECKING:
    from buildonce.cli.wiring import Places, Wanted
    from buildonce.events import Emit
    from buildonce.run.building import Surroundings
    from buildonce.run.inspection import Inspection
    from buildonce.run.plan_file import PlanFile
    from buildonce.run.planned import Planned


class _Jobs(NamedTuple):
    """The options that are about jobs on other machines; ``write`` is None and ``matrix`` empty without them."""

    write: Path | None
    matrix: str
    compression: str
    unchecked: tuple[str, ...]

    @property
    def are_wanted(self) -> bool:
        return self.write is not None or bool(self.matrix)


_NO_JOBS = _Jobs(write=None, matrix="", compression="gzip", unchecked=())


@click.command()
@click.argument("names", nargs=-1, metavar="[VARIANT]...")
@project_options
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write what every key covers, for `explain --record` on another machine.",
)
@click.option(
    "--write",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the plan file, which `make` carries out job by job, on any machine.",
)
@click.option(
    "--matrix",
    type=click.Choice(["github", "gitlab", "json"]),
    help="Print the jobs that there are instead of the plan: as GitHub's outputs, as a child pipeline of GitLab's, "
    "or as JSON.",
)
@click.option(
    "--compression",
    type=click.Choice(["gzip", "zstd"]),
    default="gzip",
    show_default=True,
    help="How the layers that are put into images are compressed; with --write.",
)
@click.option(
    "--no-fit-check",
    "unchecked",
    multiple=True,
    metavar="VARIANT",
    help="Ship this variant even if its programs do not run on its base; with --write.",
)
def plan(
    asked: Asked,
    *,
    names: tuple[str, ...],
    as_json: bool,
    record: Path | None,
    write: Path | None,
    matrix: str | None,
    compression: str,
    unchecked: tuple[str, ...],
) -> None:
    """Show what a build would do, and why, without starting an engine.

    The answer comes from your files, the cache and the digests of base images alone.
    """
    jobs = _Jobs(write=write, matrix=matrix or "", compression=compression, unchecked=unchecked)
    show_plan(replace(asked, variants=(*asked.variants, *names)), as_json=as_json, record=record, jobs=jobs)


def show_plan(
    asked: Asked, *, as_json: bool, record: Path | None = None, reprove: bool = False, jobs: _Jobs = _NO_JOBS
) -> None:
    """Print the plan of what is asked for, or its jobs, and write its record and its file."""
    import asyncio

    from buildonce.cli.wiring import progress
    from buildonce.events import Warned
    from buildonce.report.documents import print_document
    from buildonce.report.plans import inspection_document, render_inspection

    emit = progress(verbose=False)
    inspection, file = asyncio.run(_inspect(asked, emit, record, jobs, reprove=reprove))
    for warning in inspection.plan.warnings:
        emit(Warned(message=warning))
    if file is not None and jobs.matrix:
        _show_matrix(file, jobs.matrix)
    elif as_json:
        print_document(inspection_document(inspection))
    else:
        click.echo(render_inspection(inspection))


def _show_matrix(file: PlanFile, form: str) -> None:
    from buildonce.ci.gitlab import ENGINES, render_child
    from buildonce.ci.matrix import github_outputs, matrix_document
    from buildonce.oci import digest_of
    from buildonce.report.documents import print_document
    from buildonce.run.plan_file import encode_plan

    document = matrix_document(file, digest_of(encode_plan(file)))
    if form == "github":
        click.echo(github_outputs(document), nl=False)
    elif form == "gitlab":
        click.echo(render_child(document, ENGINES), nl=False)
    else:
        print_document(document)


async def _inspect(
    asked: Asked, emit: Emit, record: Path | None, jobs: _Jobs, *, reprove: bool
) -> tuple[Inspection, PlanFile | None]:
    import asyncio

    from buildonce.cli.wiring import find_places, open_wanted, surroundings, warn_of_left_out
    from buildonce.run.anew import find_anew
    from buildonce.run.explaining import write_record
    from buildonce.run.inspection import inspect_plan
    from buildonce.run.planned import plan_project

    wanted = await open_wanted(asked)
    warn_of_left_out(wanted, emit)
    places = find_places(wanted, asked)
    async with surroundings(places, emit, wanted.configuration) as around:
        planned = await plan_project(
            wanted.project, wanted.request, open_repository=around.open_repository, state=around.state
        )
        if record:
            await asyncio.to_thread(write_record, record, planned)
        if not jobs.are_wanted:
            anew = find_anew(planned.plan, planned.request, planned.graphs)
            return await inspect_plan(planned.plan, around.cache, reprove=reprove, anew=anew), None
        return await _write(asked, wanted, places, planned, around, jobs)


async def _write(
    asked: Asked, wanted: Wanted, places: Places, planned: Planned, around: Surroundings, jobs: _Jobs
) -> tuple[Inspection, PlanFile]:
    """Decide what other machines do, and write the plan file if that is asked for."""
    import asyncio

    from msgspec import structs

    from buildonce.assemble.compression import Compression
    from buildonce.ci.plan_files import Setting, make_plan_file
    from buildonce.cli.wiring import (
        open_targets,
        places_of_variants,
        source_date_epoch,
        unchecked_variants,
        variant_tags,
    )
    from buildonce.run.building import Options
    from buildonce.run.deciding import decide
    from buildonce.run.git import head
    from buildonce.run.plan_file import PlannedVariant, encode_plan
    from buildonce.run.planned_images import pin_images
    from buildonce.run.shipped import input_of, is_shipped
    from buildonce.store.opening import parse_store
    from buildonce.store.streams import place_bytes

    locations = {
        variant: str(place) for variant, place in places_of_variants(places, planned.plan.variants, wanted).items()
    }
    tags = variant_tags(wanted, locations, asked)
    unchecked = unchecked_variants(wanted, jobs.unchecked, planned.plan.variants)
    epoch, compression = source_date_epoch(os.environ), Compression(jobs.compression)
    options = Options(tags=tags, epoch=epoch, unchecked=unchecked, compression=compression)
    stores = open_targets({variant: parse_store(place) for variant, place in locations.items()}, around.session)
    decision = await decide(planned, options, around, stores)
    setting = Setting(
        declaration=wanted.declaration,
        file=wanted.configuration.file,
        commit=await asyncio.to_thread(head, planned.project.context_root(0)),
        cache=str(places.cache),
        cache_read_only=asked.cache_read_only,
        variants=tuple(
            PlannedVariant(name=name, target=locations[name], tags=tags[name]) for name in planned.plan.variants
        ),
        epoch=epoch,
        compression=jobs.compression,
        unchecked=tuple(sorted(unchecked)),
    )
    pinned = await asyncio.to_thread(pin_images, planned.images, around.state)
    file = await asyncio.to_thread(make_plan_file, decision, setting, *pinned)
    if not file.jobs:
        known = await is_shipped(around.cache, input_of(file, file.results), {one.name: one for one in stores.values()})
        file = structs.replace(file, is_shipped=known)
    if jobs.write is not None:
        jobs.write.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(place_bytes, jobs.write, encode_plan(file))
    return decision.inspection, file
