"""``buildonce init``: a buildonce.toml from what the project has already."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--from",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A bake file, a Compose file or a Dockerfile; repeat it for several. [default: what is here]",
)
@click.option("--print", "prints", is_flag=True, help="Print it instead of writing it.")
@click.option("--force", is_flag=True, help="Write over a buildonce.toml that is there.")
def init(files: tuple[Path, ...], *, prints: bool, force: bool) -> None:
    """Write a buildonce.toml with the variants that the project has.

    They come from its bake file, its Compose file, or the final stages of its Dockerfiles. Nothing is built, and the
    file stays where it is read from.
    """
    import asyncio
    import os

    from buildonce.errors import UsageError
    from buildonce.project.drafting import draft_toml
    from buildonce.project.keys import FILE_NAME
    from buildonce.report.tables import count
    from buildonce.run.declarations import find_declared

    path = Path(FILE_NAME)
    if path.exists() and not force and not prints:
        raise UsageError(f"there is a {FILE_NAME} already", help="look at another one with --print, or use --force")
    found = asyncio.run(find_declared(Path(), files, dict(os.environ)))
    draft = draft_toml(found.declaration, found.source)
    if prints:
        click.echo(draft.text, nl=False)
    else:
        path.write_text(draft.text, encoding="utf-8")
        number = count(len(draft.declaration.variants), "variant")
        click.echo(f"wrote {FILE_NAME}: {number} from {found.source}", err=True)
    for change in draft.changes:
        click.echo(f"note: {change}", err=True)
