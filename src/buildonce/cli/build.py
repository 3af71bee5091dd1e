"""``buildonce build``: compile what is missing, assemble every image, and ship the family, all or none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import click

from buildonce.cli.options import Asked, project_options
from buildonce.cli.plan import show_plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from buildonce.events import Emit
    from buildonce.run.outcome import Outcome
    from buildonce.store.protocol import Store


@click.command()
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
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option("-v", "--verbose", is_flag=True, help="Show the engine's output as it comes.")
def build(
    asked: Asked,
    *,
    as_json: bool,
    no_compile: bool,
    unchecked: tuple[str, ...],
    compression: str,
    stage: bool,
    load: bool,
    reprove: bool,
    dry_run: bool,
    verbose: bool,
) -> None:
    """Build every variant and ship the family.

    Shared stages are compiled once per platform; variants are assembled from cached bases and those files. Tags move
    last, when every image is complete.
    """
    if dry_run:
        show_plan(asked, as_json=as_json, reprove=reprove)
        return
    import asyncio

    from buildonce.cli.wiring import progress
    from buildonce.report.documents import print_document
    from buildonce.report.outcomes import outcome_document, render_outcome

    emit = progress(verbose=verbose)
    how = _How(
        may_compile=not no_compile,
        unchecked=unchecked,
        stage_only=stage,
        compression=compression,
        reprove=reprove,
        load=load,
    )
    outcome = asyncio.run(_build(asked, emit, how))
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


async def _build(asked: Asked, emit: Emit, how: _How) -> Outcome:
    from buildonce.assemble.compression import Compression
    from buildonce.cli.wiring import (
        check_loadable,
        find_places,
        keep_out_of_git,
        known_variants,
        make_request,
        open_project,
        open_targets,
        places_of_variants,
        source_date_epoch,
        surroundings,
        tag_field,
    )
    from buildonce.events import Warned
    from buildonce.run.building import Options, build_project
    from buildonce.run.planned import plan_project
    from buildonce.ship.tags import expand_tags

    project = open_project(asked)
    request = make_request(asked, project)
    if how.load:
        check_loadable(request)
    places = find_places(asked)
    keep_out_of_git(places, asked)
    async with surroundings(places, emit) as around:
        planned = await plan_project(project, request, open_repository=around.open_repository, state=around.state)
        for warning in planned.plan.warnings:
            emit(Warned(message=warning))
        locations = places_of_variants(places, planned.plan.variants, asked)
        targets = open_targets(locations, around.session)
        names = {variant: str(place) for variant, place in locations.items()}
        options = Options(
            tags=expand_tags(asked.tag_templates, names, tag_field(asked)),
            epoch=source_date_epoch(os.environ),
            may_compile=how.may_compile,
            unchecked=known_variants(how.unchecked, planned.plan.variants, "--no-fit-check"),
            stage_only=how.stage_only,
            compression=Compression(how.compression),
            reprove=how.reprove,
        )
        outcome = await build_project(planned, options, around, targets)
        return await _load(outcome, options.tags, targets, asked, emit) if how.load else outcome


async def _load(
    outcome: Outcome, tags: Mapping[str, tuple[str, ...]], targets: Mapping[str, Store], asked: Asked, emit: Emit
) -> Outcome:
    """Load the images for this machine's platform into the local engine."""
    from msgspec.structs import replace

    from buildonce.cli.wiring import own_platform
    from buildonce.engines.local_images import LocalImages
    from buildonce.run.loading import Loadable, load_images, local_names

    images = [
        Loadable(
            source=targets[one.variant],
            digest=one.digest,
            names=local_names(targets[one.variant].name, asked.context, tags[one.variant]),
        )
        for one in outcome.images
        if one.platform == own_platform()
    ]
    await load_images(images, LocalImages(environment=dict(os.environ)), emit)
    return replace(outcome, loaded=tuple(name for image in images for name in image.names))
