"""``buildonce release``: move the tags of a release that was staged."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

import click

if TYPE_CHECKING:
    from buildonce.ship.publication import TagResult
    from buildonce.ship.record import ReleaseRecord


@click.command()
@click.argument("record", type=click.File("rb"))
@click.option("--force", is_flag=True, help="Also move tags that moved since the release was staged.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def release(record: BinaryIO, *, force: bool, as_json: bool) -> None:
    """Move the tags of a release that `build --stage` published, whose RECORD it printed (`-` reads it).

    Every image is looked for first; tags move together, when all of the release is there, or not at all.
    """
    import asyncio

    from buildonce.report.documents import print_document
    from buildonce.report.releases import release_document, render_release
    from buildonce.ship.record import read_record

    tags = asyncio.run(_release(read_record(record), force=force))
    print_document(release_document(tags)) if as_json else click.echo(render_release(tags))


async def _release(staged: ReleaseRecord, *, force: bool) -> tuple[TagResult, ...]:
    from buildonce.cli.wiring import progress, registry_session
    from buildonce.run.releasing import release_record
    from buildonce.run.state import State, state_folder
    from buildonce.store.opening import open_store, parse_store
    from buildonce.store.protocol import Store

    environment, emit = dict(os.environ), progress(verbose=False)
    state = State(state_folder(environment))
    async with registry_session(environment, state, emit) as session:

        def open_target(name: str) -> Store:
            return open_store(parse_store(name), session, mirrored=False)

        return await release_record(staged, open_target, state.journal, emit, force=force)
