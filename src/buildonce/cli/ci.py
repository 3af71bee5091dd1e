"""``buildonce ci``: what a CI provider needs to build this project on many machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from buildonce import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildonce.ci.github import Workflow
    from buildonce.ci.trials import JobRun
    from buildonce.project.declaration import Declaration


@click.group()
def ci() -> None:
    """Write what a CI provider needs to build this project on many machines."""


@ci.command()
@click.option("--write", is_flag=True, help="Write it to .github/workflows/buildonce.yml instead of printing it.")
@click.option("--check", is_flag=True, help="Fail if the file is not what the project wants; write nothing.")
@click.option("--branch", default="main", show_default=True, metavar="NAME", help="The branch whose pushes ship.")
@click.option(
    "--install",
    default=f"buildonce=={__version__}",
    show_default=True,
    metavar="REQUIREMENT",
    help="What pipx installs in every job.",
)
def github(*, write: bool, check: bool, branch: str, install: str) -> None:
    """Print the project's workflow for GitHub Actions: plan, compile, bases, ship.

    It comes from buildonce.toml, and names no variant: those are in that file alone.
    """
    import asyncio

    from buildonce.ci.github import PATH, render_workflow
    from buildonce.errors import UsageError

    if write and check:
        raise UsageError("--write and --check exclude each other")
    text = render_workflow(asyncio.run(_workflow(branch, install)))
    path = Path(PATH)
    if check:
        _check(path, text)
    elif write:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(f"wrote {path}", err=True)
    else:
        click.echo(text, nl=False)


@ci.command()
@click.option(
    "--event",
    type=click.Choice(["pull_request", "fork", "push", "workflow_dispatch"]),
    default="pull_request",
    show_default=True,
    help="What sets the workflow off; `fork` is a pull request from a fork. A pull request moves no tag.",
)
@click.option("--variants", default="", metavar="NAMES", help="The input `variants`, with --event workflow_dispatch.")
@click.option("--tag", default="", metavar="TEMPLATE", help="The input `tag`, with --event workflow_dispatch.")
@click.option("--push", default="", metavar="REPOSITORY", help="Ship there instead of where the project says.")
@click.option("--own-engine", is_flag=True, help="Start an engine for each job that wants one, as the workflow does.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep what the jobs did in a new folder: checkouts, logs, artifacts.",
)
def local(*, event: str, variants: str, tag: str, push: str, own_engine: bool, keep: Path | None) -> int:
    """Try the project's workflow for GitHub Actions on this machine: its own jobs, one after the other.

    Each has a checkout, a home and Docker settings of its own. They share artifacts and the registry, as they do there.
    """
    import asyncio
    import tempfile
    from contextlib import nullcontext

    from buildonce.ci.github import render_workflow
    from buildonce.ci.trials import Event, Trial
    from buildonce.errors import UsageError

    if keep is not None and keep.exists():
        raise UsageError(f"there is a `{keep}` already", help="name a folder that is not there yet with --keep")
    text = render_workflow(asyncio.run(_workflow("main", f"buildonce=={__version__}", push)))
    said = Event(
        name="pull_request" if event == "fork" else event,
        is_fork=event == "fork",
        inputs={"variants": variants, "tag": tag},
    )
    place = nullcontext(str(keep)) if keep else tempfile.TemporaryDirectory(prefix="buildonce-ci-")
    with place as folder:
        trial = Trial(
            project=Path(),
            folder=Path(folder).resolve(),
            event=said,
            say=lambda line: click.echo(line, err=True),
            push=push,
            own_engine=own_engine,
        )
        runs = trial.run(text)
    click.echo(_table(runs))
    return int(any(run.result == "failure" for run in runs))


def _table(runs: Sequence[JobRun]) -> str:
    from buildonce.report.tables import render_table

    rows = [(run.job, run.title, run.result, f"{run.seconds:.1f} s" if run.seconds else "") for run in runs]
    return render_table(("JOB", "TITLE", "RESULT", "TIME"), rows)


async def _workflow(branch: str, install: str, push: str = "") -> Workflow:
    """Return what the project's workflow is made from. Raises `UsageError` for a project that has none."""
    from buildonce.ci.github import Workflow
    from buildonce.cli.effective import effective_configuration
    from buildonce.cli.options import Asked
    from buildonce.errors import UsageError
    from buildonce.oci import parse_platform
    from buildonce.project.templates import fill
    from buildonce.reference import Repository
    from buildonce.store.opening import parse_store

    nothing: tuple[str, ...] = ()
    asked = Asked(
        files=(),
        context=None,
        variants=nothing,
        platforms=nothing,
        build_args=nothing,
        build_contexts=nothing,
        given=nothing,
        build_platform=None,
        tags=nothing,
        push=push or None,
    )
    configuration = await effective_configuration(asked, Path())
    declaration = configuration.declaration
    if configuration.file is None:
        raise UsageError("there is no buildonce.toml, which the jobs read", help="write one with `buildonce init`")
    if not declaration.push:
        raise UsageError(
            f"{configuration.file} does not say which repository images go to; jobs share nothing else",
            help='declare it: push = "ghcr.io/OWNER/NAME"',
        )
    targets = (declaration.push, *(variant.push for variant in declaration.variants if variant.push))
    stores = [parse_store(fill(target, variant="variant")) for target in targets]
    cache = parse_store(str(declaration.cache))
    if not isinstance(cache, Repository):
        raise UsageError(
            f"the cache is {cache}, which other machines do not have", help="declare a repository as the cache"
        )
    hosts = [store.registry for store in (*stores, cache) if isinstance(store, Repository)]
    builds = (declaration.build, *(variant.build for variant in declaration.variants))
    caches = [cache for build in builds for cache in (*build.options.cache_from, *build.options.cache_to)]
    platforms = {*declaration.platforms, *(one for variant in declaration.variants for one in variant.platforms)}
    return Workflow(
        install=install,
        registries=tuple(dict.fromkeys(hosts)),
        cache=str(cache),
        platforms=tuple(sorted(str(parse_platform(platform)) for platform in platforms)),
        branch=branch,
        variables=_secret_variables(declaration),
        has_github_cache=any("type=gha" in cache for cache in caches),
    )


def _secret_variables(declaration: Declaration) -> tuple[str, ...]:
    """Return the variables that builds have their secrets from."""
    from buildonce.build_options import parse_secret

    builds = (declaration.build, *(variant.build for variant in declaration.variants))
    secrets = [parse_secret(text, {}) for build in builds for text in build.options.secrets]
    return tuple(dict.fromkeys(secret.variable for secret in secrets if secret.variable))


def _check(path: Path, text: str) -> None:
    from buildonce.errors import UsageError

    again = "run `buildonce ci github --write`, and commit what it writes"
    try:
        kept = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the workflow `{path}` cannot be read: {error}", help=again) from error
    if kept == text:
        click.echo(f"{path} is up to date", err=True)
        return
    old, new = kept.splitlines(), text.splitlines()
    pairs = enumerate(zip([*old, *[""] * len(new)], [*new, *[""] * len(old)], strict=False), 1)
    number, (was, wanted) = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
    raise UsageError(
        f"{path}:{number} is not what the project wants",
        notes=(f"it says `{was.strip()}`", f"it should say `{wanted.strip()}`"),
        help=again,
    )
