"""``buildonce doctor``: can this machine ship to a repository, what does the registry do, and is there an engine?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from buildonce.checks import Findings
    from buildonce.events import Emit

_UNUSABLE = 4


@click.command()
@click.argument("repository", metavar="REPOSITORY")
@click.option(
    "--cache", metavar="REPOSITORY", help="Where cores and bases are kept. [default: beside the images, as in `build`]"
)
@click.option("--engine", metavar="NAME", help="The engine to look at first: buildx, buildah or podman.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(repository: str, *, cache: str | None, engine: str | None, as_json: bool) -> int:
    """Ask a registry what it does, with blobs of a few bytes and a manifest that nobody sees.

    REPOSITORY is where images are to go. What is put there is removed again where the registry allows that; what stays
    is named. What was learned is remembered, and saves requests from then on. Nothing is built. The exit code is 4 if
    nothing can be shipped there.
    """
    import asyncio

    from buildonce.cli.wiring import progress
    from buildonce.report.checkups import checkup_document, render_checkup
    from buildonce.report.documents import print_document

    registry, builds = asyncio.run(_examine(repository, cache, engine, progress(verbose=False)))
    if as_json:
        print_document(checkup_document(repository, registry, builds))
    else:
        click.echo(render_checkup(repository, registry, builds))
    return 0 if registry.is_usable else _UNUSABLE


async def _examine(repository: str, cache: str | None, engine: str | None, emit: Emit) -> tuple[Findings, Findings]:
    import os
    import secrets

    from buildonce.cli.wiring import registry_session
    from buildonce.engines.checking import check_engine
    from buildonce.engines.finding import parse_engine
    from buildonce.errors import UsageError
    from buildonce.reference import Repository
    from buildonce.run.state import State, state_folder
    from buildonce.store.opening import parse_store
    from buildonce.store.registry.probing import Probing

    asked = parse_engine(engine, "--engine")
    target = parse_store(repository)
    if not isinstance(target, Repository):
        raise UsageError(f"{repository} is not a repository", help="a layout on disk needs no doctor")
    beside = parse_store(cache) if cache else target.beside("-cache")
    if not isinstance(beside, Repository) or beside.registry != target.registry:
        raise UsageError(f"--cache {cache} is not in {target.registry}", help="ask about each registry by itself")
    environment = dict(os.environ)
    state = State(state_folder(environment))
    async with registry_session(environment, state, emit) as session:
        registry = await Probing(session, target, beside, secrets.token_hex(6)).visit()
    return registry, await check_engine(environment, asked)
