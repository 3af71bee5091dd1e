"""``buildonce config``: what counts, of the file, the environment and the options, and where each value comes from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from buildonce.cli.options import Asked, project_options, split_commas

if TYPE_CHECKING:
    from buildonce.project.toml import Configuration


@click.command()
@project_options
@click.option("--show-origin", is_flag=True, help="Say where each value comes from.")
def config(asked: Asked, *, as_json: bool, show_origin: bool) -> None:
    """Show the configuration that a build with the same options has.

    A default counts below buildonce.toml, that below the environment, that below the options. Build arguments whose
    names say that they are secret are not shown.
    """
    import asyncio

    from buildonce.cli.effective import effective_configuration
    from buildonce.project.listing import list_settings
    from buildonce.report.configurations import configuration_document, render_configuration
    from buildonce.report.documents import print_document

    declared = _choose(asyncio.run(effective_configuration(asked, Path())), split_commas(asked.variants))
    settings = list_settings(declared)
    if as_json:
        print_document(configuration_document(declared.file, settings))
    else:
        click.echo(render_configuration(settings, shows_origin=show_origin))


def _choose(configuration: Configuration, names: Sequence[str]) -> Configuration:
    """Return the configuration with these variants alone, if any are named and the file declares any."""
    from msgspec.structs import replace

    from buildonce.dockerfile.problems import did_you_mean
    from buildonce.errors import UsageError

    declaration = configuration.declaration
    known = [variant.name for variant in declaration.variants]
    for name in names if known else ():
        if name not in known:
            raise UsageError(
                f"there is no variant `{name}`" + _about_platforms(configuration, name),
                notes=(f"{configuration.file} declares {', '.join(known)}",),
                help=did_you_mean(name, known, "--variant {}"),
            )
    if not known or not names:
        return configuration
    chosen = tuple(variant for variant in declaration.variants if variant.name in names)
    return replace(configuration, declaration=replace(declaration, variants=chosen))


def _about_platforms(configuration: Configuration, name: str) -> str:
    is_left_out = name in {variant.name for variant in configuration.left_out}
    return f" for {', '.join(configuration.declaration.platforms)}" if is_left_out else ""
