"""``buildonce config``: what counts, of the file, the environment and the options, and where each value comes from."""

from __future__ import annotations

import click

from buildonce.cli.options import Asked, project_options


@click.command()
@project_options
@click.option("--show-origin", is_flag=True, help="Say where each value comes from.")
def config(asked: Asked, *, as_json: bool, show_origin: bool) -> None:
    """Show the configuration that a build with the same options has.

    A default counts below buildonce.toml, that below the environment, that below the options. Build arguments whose
    names say that they are secret are not shown.
    """
    from buildonce.cli.effective import effective_configuration
    from buildonce.project.listing import list_settings
    from buildonce.report.configurations import configuration_document, render_configuration
    from buildonce.report.documents import print_document

    declared = effective_configuration(asked)
    settings = list_settings(declared)
    if as_json:
        print_document(configuration_document(declared.file, settings))
    else:
        click.echo(render_configuration(settings, shows_origin=show_origin))
