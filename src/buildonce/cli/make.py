"""``buildonce make``: one job of a plan file, carried out on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from buildonce.cli.options import parse_build_args

if TYPE_CHECKING:
    from buildonce.events import Emit
    from buildonce.run.making import Order
    from buildonce.run.outcome import Outcome
    from buildonce.run.plan_file import Made


@click.command()
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False), metavar="PLAN")
@click.argument("job", metavar="JOB")
@click.option(
    "--made",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".buildonce/made"),
    show_default=True,
    metavar="DIR",
    help="Where jobs leave what later ones have to know; the jobs of one plan share it.",
)
@click.option("--stage", is_flag=True, help="Of `ship`: publish by digest, move no tag, and print the record.")
@click.option(
    "--build-arg",
    "build_args",
    multiple=True,
    metavar="NAME=VALUE",
    help="A build argument that looks like a secret, which the plan file does not have.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Show the engine's output as it comes.")
def make(
    plan: Path, job: str, *, folder: Path, stage: bool, build_args: tuple[str, ...], as_json: bool, verbose: bool
) -> None:
    """Carry out the JOB of a PLAN that `plan --write` made: one of its compile or bases jobs, or `ship`.

    A job does what the plan says, with the digests that the plan says, or fails. Only compile jobs compile; `ship`
    starts no engine, and moves tags when everything is there.
    """
    import asyncio

    from buildonce.cli.build import show_outcome
    from buildonce.cli.wiring import progress
    from buildonce.report.documents import print_document
    from buildonce.report.making import render_made
    from buildonce.run.plan_file import SHIP

    emit = progress(verbose=verbose)
    arguments = parse_build_args(build_args, dict(os.environ))
    if job == SHIP:
        show_outcome(asyncio.run(_ship(plan, folder, arguments, emit, stage=stage)), as_json=as_json)
        return
    made = asyncio.run(_make(plan, folder, job, arguments, emit))
    _leave(made, folder)
    print_document(made) if as_json else click.echo(render_made(made))


async def _ship(plan: Path, folder: Path, arguments: dict[str, str], emit: Emit, *, stage: bool) -> Outcome:
    from buildonce.cli.carrying import carry_out
    from buildonce.run.making import ship_plan

    order = read_order(plan, folder)
    async with carry_out(order, arguments, emit) as (planned, around, targets):
        return await ship_plan(planned, order, around, targets, stage_only=stage)


async def _make(plan: Path, folder: Path, name: str, arguments: dict[str, str], emit: Emit) -> Made:
    from buildonce.cli.carrying import carry_out
    from buildonce.run.making import make_job

    order = read_order(plan, folder)
    job = order.plan.job(name)
    async with carry_out(order, arguments, emit) as (planned, around, targets):
        return await make_job(planned, order, job, around, targets)


def _leave(made: Made, folder: Path) -> None:
    """Write what later jobs have to know."""
    import msgspec

    from buildonce.store.streams import place_bytes

    folder.mkdir(parents=True, exist_ok=True)
    place_bytes(folder / f"{made.job}.json", msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")


def read_order(plan: Path, folder: Path) -> Order:
    """Return a plan file with what its earlier jobs left. Raises `UsageError`."""
    from buildonce.errors import UsageError
    from buildonce.oci import digest_of
    from buildonce.run.making import Order
    from buildonce.run.plan_file import decode_made, decode_plan

    try:
        content = plan.read_bytes()
    except OSError as error:
        raise UsageError(
            f"the plan `{plan}` cannot be read: {error.strerror}", help="`buildonce plan --write FILE` writes one"
        ) from error
    digest = digest_of(content)
    files = sorted(folder.rglob("*.json")) if folder.is_dir() else []
    return Order(
        plan=decode_plan(content, f"`{plan}`"),
        digest=digest,
        made=tuple(decode_made(one.read_bytes(), f"`{one}`", digest) for one in files),
    )
