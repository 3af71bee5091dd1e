"""``buildonce build``: compile what is missing, assemble every image, and ship the family, all or none."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import click

from buildonce.cli.options import Asked, project_options
from buildonce.cli.plan import show_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from buildonce.events import Emit
    from buildonce.run.local_loading import AskedAhead
    from buildonce.run.outcome import Outcome
    from buildonce.run.planned import Planned
    from buildonce.run.resolving import Resolve
    from buildonce.store.protocol import Store


@click.command()
@click.argument("names", nargs=-1, metavar="[VARIANT]...")
@project_options
@click.option("--no-compile", is_flag=True, help="A missing core is an error; never compile.")
@click.option(
    "--no-fit-check",
    "unchecked",
    multiple=True,
    metavar="VARIANT",
    help="Ship this variant even if its programs do not run on its base; repeat it for several.",
)
@click.option(
    "--compression",
    type=click.Choice(["gzip", "zstd"]),
    default="gzip",
    show_default=True,
    help="How the layers that are put into images are compressed.",
)
@click.option("--stage", is_flag=True, help="Publish by digest, move no tag, and print the record for `release`.")
@click.option("--load", is_flag=True, help="Load the images for this machine's platform into the local Docker, too.")
@click.option("--prove", "reprove", is_flag=True, help="Believe no earlier proof; compare with faithful builds again.")
@click.option("--watch", is_flag=True, help="Build again whenever something changes that is built from.")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option("-v", "--verbose", is_flag=True, help="Show all of the engine's output, not just its steps.")
def build(
    asked: Asked,
    *,
    names: tuple[str, ...],
    as_json: bool,
    no_compile: bool,
    unchecked: tuple[str, ...],
    compression: str,
    stage: bool,
    load: bool,
    reprove: bool,
    watch: bool,
    dry_run: bool,
    verbose: bool,
) -> None:
    """Build every variant, or those that are named, and ship them as one family.

    Shared stages are compiled once per platform; variants are assembled from cached bases and those files. Tags move
    last, when every image is complete.
    """
    asked = replace(asked, variants=(*asked.variants, *names))
    if dry_run:
        show_plan(asked, as_json=as_json, reprove=reprove)
        return
    import asyncio

    from buildonce.cli.wiring import progress

    emit = progress(verbose=verbose)
    how = _How(
        may_compile=not no_compile,
        unchecked=unchecked,
        stage_only=stage,
        compression=compression,
        reprove=reprove,
        load=load,
    )
    if watch:
        asyncio.run(_watch(asked, emit, how, lambda outcome: show_outcome(outcome, as_json=as_json)))
    show_outcome(asyncio.run(_build(asked, emit, how)), as_json=as_json)


def show_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """Print what was done; of a staged release, its record."""
    from buildonce.cli.job_pages import leave_outcome
    from buildonce.report.documents import print_document
    from buildonce.report.outcomes import outcome_document, render_outcome

    leave_outcome(outcome, os.environ)
    if outcome.record is not None:
        from buildonce.ship.record import encode_record

        click.echo(render_outcome(outcome), err=True)
        click.echo(encode_record(outcome.record), nl=False)
        return
    print_document(outcome_document(outcome)) if as_json else click.echo(render_outcome(outcome))


class _How(NamedTuple):
    """The options that say how the build goes."""

    may_compile: bool
    unchecked: tuple[str, ...]
    stage_only: bool
    compression: str
    reprove: bool
    load: bool


async def _watch(asked: Asked, emit: Emit, how: _How, show: Callable[[Outcome], None]) -> NoReturn:
    """Build now and after every change, until the program is ended; what fails is said, and waits for a change, too."""
    from buildonce.errors import Error
    from buildonce.run.watching import KnownImages, keys_of, wait_for_change

    images = KnownImages()

    async def look() -> frozenset[str]:
        return keys_of((await _plan(asked, emit, images.resolve)).plan)

    def complain(error: Error) -> None:
        click.echo(error.report, err=True)

    while True:
        before: frozenset[str] | None = None
        try:
            before = await look()
            show(await _build(asked, emit, how))
        except Error as error:
            complain(error)
        click.echo("waiting for a change; end with Ctrl-C", err=True)
        await wait_for_change(look, before, complain)


async def _plan(asked: Asked, emit: Emit, resolve: Resolve) -> Planned:
    from buildonce.cli.wiring import find_places, open_wanted, surroundings
    from buildonce.run.planned import plan_project

    wanted = await open_wanted(asked)
    async with surroundings(find_places(wanted, asked), emit, wanted.configuration) as around:
        return await plan_project(
            wanted.project,
            wanted.request,
            open_repository=around.open_repository,
            state=around.state,
            resolve=resolve,
        )


async def _build(asked: Asked, emit: Emit, how: _How) -> Outcome:
    from buildonce.assemble.compression import Compression
    from buildonce.cli.wiring import (
        check_loadable,
        find_places,
        keep_out_of_git,
        open_targets,
        open_wanted,
        places_of_variants,
        source_date_epoch,
        surroundings,
        unchecked_variants,
        variant_tags,
        warn_of_left_out,
    )
    from buildonce.events import Warned
    from buildonce.run.building import Options, build_project
    from buildonce.run.permits import EVERYTHING, NO_COMPILE
    from buildonce.run.planned import plan_project

    wanted = await open_wanted(asked)
    warn_of_left_out(wanted, emit)
    places = find_places(wanted, asked)
    keep_out_of_git(places, wanted, asked)
    async with surroundings(places, emit, wanted.configuration) as around:
        planned = await plan_project(
            wanted.project, wanted.request, open_repository=around.open_repository, state=around.state
        )
        for warning in planned.plan.warnings:
            emit(Warned(message=warning))
        if how.load:
            check_loadable(planned.plan)
        locations = places_of_variants(places, planned.plan.variants, wanted)
        targets = open_targets(locations, around.session)
        names = {variant: str(place) for variant, place in locations.items()}
        options = Options(
            tags=variant_tags(wanted, names, asked),
            epoch=source_date_epoch(os.environ),
            permit=EVERYTHING if how.may_compile else NO_COMPILE,
            unchecked=unchecked_variants(wanted, how.unchecked, planned.plan.variants),
            stage_only=how.stage_only,
            compression=Compression(how.compression),
            reprove=how.reprove,
        )
        local = _ask_ahead(options.tags, targets, asked) if how.load else None
        outcome = await build_project(planned, options, around, targets)
        return await _load(outcome, options.tags, targets, asked, emit, local) if local else outcome


def _ask_ahead(tags: Mapping[str, tuple[str, ...]], targets: Mapping[str, Store], asked: Asked) -> AskedAhead:
    """Return the local engine, which is asked what it has while the images are made."""
    from buildonce.engines.local_images import LocalImages
    from buildonce.run.local_loading import AskedAhead, local_names

    local = LocalImages(environment=dict(os.environ))
    return AskedAhead(local, (local_names(targets[one].name, asked.context, tags[one])[0] for one in targets))


async def _load(
    outcome: Outcome,
    tags: Mapping[str, tuple[str, ...]],
    targets: Mapping[str, Store],
    asked: Asked,
    emit: Emit,
    local: AskedAhead,
) -> Outcome:
    """Load the images for this machine's platform into the local engine."""
    from msgspec import structs

    from buildonce.cli.wiring import own_platform
    from buildonce.run.local_loading import Loadable, load_images, local_names

    images = [
        Loadable(
            source=targets[one.variant],
            digest=one.digest,
            names=local_names(targets[one.variant].name, asked.context, tags[one.variant]),
        )
        for one in outcome.images
        if one.platform == own_platform()
    ]
    await load_images(images, local, emit)
    return structs.replace(outcome, loaded=tuple(name for image in images for name in image.names))
