"""``buildonce plan``: what would be compiled, built and assembled, and why. No engine is started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from buildonce.cli.options import Asked, project_options

if TYPE_CHECKING:
    from buildonce.events import Emit
    from buildonce.run.inspection import Inspection


@click.command()
@click.argument("names", nargs=-1, metavar="[VARIANT]...")
@project_options
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write what every key covers, for `explain --record` on another machine.",
)
def plan(asked: Asked, *, names: tuple[str, ...], as_json: bool, record: Path | None) -> None:
    """Show what a build would do, and why, without starting an engine.

    The answer comes from your files, the cache and the digests of base images alone.
    """
    show_plan(replace(asked, variants=(*asked.variants, *names)), as_json=as_json, record=record)


def show_plan(asked: Asked, *, as_json: bool, record: Path | None = None, reprove: bool = False) -> None:
    """Print the plan of what is asked for, and write its record to a file."""
    import asyncio

    from buildonce.cli.wiring import progress
    from buildonce.events import Warned
    from buildonce.report.documents import print_document
    from buildonce.report.plans import inspection_document, render_inspection

    emit = progress(verbose=False)
    inspection = asyncio.run(_inspect(asked, emit, record, reprove=reprove))
    for warning in inspection.plan.warnings:
        emit(Warned(message=warning))
    print_document(inspection_document(inspection)) if as_json else click.echo(render_inspection(inspection))


async def _inspect(asked: Asked, emit: Emit, record: Path | None, *, reprove: bool) -> Inspection:
    import asyncio

    from buildonce.cli.wiring import find_places, open_wanted, surroundings, warn_of_left_out
    from buildonce.run.explaining import write_record
    from buildonce.run.inspection import inspect_plan
    from buildonce.run.planned import plan_project

    wanted = await open_wanted(asked)
    warn_of_left_out(wanted, emit)
    async with surroundings(find_places(wanted, asked), emit) as around:
        planned = await plan_project(
            wanted.project, wanted.request, open_repository=around.open_repository, state=around.state
        )
        if record:
            await asyncio.to_thread(write_record, record, planned)
        return await inspect_plan(planned.plan, around.cache, reprove=reprove)
