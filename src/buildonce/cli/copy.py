"""``buildonce copy``: images from one store to another, all or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from buildonce.errors import UsageError

if TYPE_CHECKING:
    from buildonce.run.outcome import Traffic
    from buildonce.ship.publication import Published
    from buildonce.store.wanted import Wanted


@click.command()
@click.argument("references", nargs=-1, required=True, metavar="REF... TARGET")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def copy(references: tuple[str, ...], *, as_json: bool) -> None:
    """Copy images as they are, with all their platforms, to TARGET; then move their tags there, together.

    REF and TARGET are oci:DIR or registry/repository. A REF has :TAG (which may be a pattern such as '*-1.4.2') or
    @DIGEST; without either it means all tags there. TARGET:TAG gives a single image another tag.
    """
    import asyncio

    from buildonce.report.copies import copy_document, render_copy
    from buildonce.report.documents import print_document

    *sources, target = references
    if not sources:
        raise UsageError(f"nothing is named that is to be copied to `{target}`", help="write REF first, then TARGET")
    done, traffic = asyncio.run(_copy(sources, _parse_target(target)))
    print_document(copy_document(done, traffic)) if as_json else click.echo(render_copy(done, traffic))


def _parse_target(text: str) -> Wanted:
    from buildonce.store.wanted import parse_wanted

    wanted = parse_wanted(text)
    if wanted.digest is not None or (wanted.tag is not None and wanted.is_pattern):
        raise UsageError(
            f"`{text}` is no place to copy to", help="name a store, or a store and one tag: registry/repository:TAG"
        )
    return wanted


async def _copy(sources: list[str], target: Wanted) -> tuple[Published, Traffic]:
    from buildonce.cli.wiring import progress, surroundings, unused_places
    from buildonce.run.copying import copy_images, find_images
    from buildonce.run.outcome import Traffic
    from buildonce.store.opening import open_store

    emit = progress(verbose=False)
    async with surroundings(unused_places(), emit) as around:
        session = around.session
        images = await find_images(sources, target.tag, session)
        store = open_store(target.location, session, mirrored=False)
        done = await copy_images(images, store, around.state.journal, emit)
    return done, Traffic(
        requests=sum(session.requests.values()), bytes_up=session.bytes_up, bytes_down=session.bytes_down
    )
