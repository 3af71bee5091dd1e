"""``buildonce verify``: is what was shipped whole, and does it belong together? Nothing is written to any store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import click

from buildonce.cli.options import Asked, shipped_options, split_commas
from buildonce.errors import UsageError

if TYPE_CHECKING:
    from buildonce.events import Emit
    from buildonce.run.building import Surroundings
    from buildonce.run.outcome import Traffic
    from buildonce.verify.looking import Checks
    from buildonce.verify.release import Release, Verification

_FOUND = 1


@click.command()
@click.argument("references", nargs=-1, metavar="REF...")
@click.option(
    "--release",
    "record",
    type=click.File("rb"),
    metavar="RECORD",
    help="Verify a release that `build --stage` published, before its tags move (`-` reads the record).",
)
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="OS/ARCH",
    help="Demand this platform of every REF; repeat it or separate with commas. [default: all that any REF has]",
)
@click.option(
    "--core",
    "core_paths",
    multiple=True,
    metavar="PATH",
    help="Demand that what is at this path is the same in every variant that has it; repeat it.",
)
@click.option(
    "--no-fit-check",
    "unchecked",
    multiple=True,
    metavar="TAG",
    help="Accept programs that do not run in the images with this tag, which may be a pattern; repeat it.",
)
@click.option("--quick", is_flag=True, help="Read no layer: ask whether each is there with its size.")
@click.option(
    "--rebuild", is_flag=True, help="Have an engine build every variant, and compare. The options below say from what."
)
@shipped_options
@click.option("-v", "--verbose", is_flag=True, help="Show all of the engine's output, not just its steps.")
def verify(
    asked: Asked,
    *,
    references: tuple[str, ...],
    record: BinaryIO | None,
    core_paths: tuple[str, ...],
    unchecked: tuple[str, ...],
    quick: bool,
    rebuild: bool,
    verbose: bool,
    as_json: bool,
) -> int:
    """Check that a release is complete and whole, that every variant has the same core, and that it runs there.

    REF is oci:DIR or registry/repository, with :TAG (which may be a pattern such as '*-1.4.2') or @DIGEST; without
    either, all tags there. All REFs together are taken for one release. The exit code is 1 if something is wrong.
    """  # fmt: skip
    import asyncio

    from buildonce.cli.wiring import progress
    from buildonce.report.documents import print_document
    from buildonce.report.verifications import render_verification, verification_document

    if bool(references) == bool(record):
        raise UsageError("name what to verify: REF..., or --release RECORD", help="`buildonce verify --help` has more")
    _refuse_nonsense(asked, core_paths, quick=quick, rebuild=rebuild)
    checks = _checks(asked, core_paths, unchecked, quick=quick)
    emit = progress(verbose=verbose)
    done, traffic = asyncio.run(_verify(record or references, checks, asked if rebuild else None, emit))
    if as_json:
        print_document(verification_document(done, traffic))
    else:
        click.echo(render_verification(done, traffic))
    return _FOUND if done.findings else 0


def _refuse_nonsense(asked: Asked, core_paths: tuple[str, ...], *, quick: bool, rebuild: bool) -> None:
    if quick and (core_paths or rebuild):
        option = "--core" if core_paths else "--rebuild"
        raise UsageError(f"{option} and --quick exclude each other", help="files are compared by reading layers")
    relative = next((path for path in core_paths if not path.startswith("/")), None)
    if relative is not None:
        raise UsageError(f"`--core {relative}` is no absolute path", help="name it as it is in the image")
    project = (asked.files, asked.context, asked.variants, asked.build_args, asked.build_contexts, asked.given)
    if any(project) and not rebuild:
        raise UsageError(
            "options that say what images are built from have no meaning without --rebuild",
            help="add --rebuild, or leave them out: images are verified without their project",
        )


def _checks(asked: Asked, core_paths: tuple[str, ...], unchecked: tuple[str, ...], *, quick: bool) -> Checks:
    from buildonce.oci import parse_platform
    from buildonce.verify.looking import Checks

    return Checks(
        platforms=tuple(sorted({parse_platform(text) for text in split_commas(asked.platforms)})),
        core_paths=core_paths,
        unchecked=split_commas(unchecked),
        is_quick=quick,
    )


async def _verify(
    what: tuple[str, ...] | BinaryIO, checks: Checks, asked: Asked | None, emit: Emit
) -> tuple[Verification, Traffic]:
    from functools import partial

    from buildonce.cli.wiring import surroundings, unused_places
    from buildonce.run.outcome import Traffic
    from buildonce.ship.record import read_record
    from buildonce.verify.ledger import Ledger
    from buildonce.verify.references import find_all_targets, staged_targets
    from buildonce.verify.release import verify_release

    ledger = Ledger()
    async with surroundings(unused_places(), emit) as around:
        if isinstance(what, tuple):
            targets = await find_all_targets(what, around.session, ledger)
        else:
            targets = staged_targets(read_record(what), around.session)
        is_whole = not all(target.is_chosen for target in targets)
        rebuild = partial(_rebuild, asked, around, is_whole=is_whole) if asked else None
        done = await verify_release(targets, checks, ledger, emit=emit, rebuild=rebuild)
    session = around.session
    traffic = Traffic(requests=sum(session.requests.values()), bytes_up=session.bytes_up, bytes_down=session.bytes_down)
    return done, traffic


async def _rebuild(asked: Asked, around: Surroundings, release: Release, *, is_whole: bool) -> int:
    """Build what was shipped from the project, for the platforms that are demanded or that were shipped."""
    import msgspec

    from buildonce.cli.wiring import engine_finder, open_wanted, variant_tags
    from buildonce.run.building import Options
    from buildonce.run.planned import plan_project
    from buildonce.run.rebuilding import rebuild_release

    shipped = {str(use.platform) for use in release[0] if use.platform}
    wanted = await open_wanted(replace(asked, platforms=asked.platforms or tuple(sorted(shipped))))
    planned = await plan_project(
        wanted.project, wanted.request, open_repository=around.open_repository, state=around.state
    )
    # Where each variant went is not known: several may have one tag, each in a repository of its own.
    places = {variant: variant for variant in planned.plan.variants}
    options = Options(tags=variant_tags(wanted, places, asked))
    finder = engine_finder(wanted.configuration, around.emit)
    around = msgspec.structs.replace(around, find_engine=finder)
    return await rebuild_release(planned, options, around, release, is_whole=is_whole)
