"""``buildonce explain``: why something is built again, or is not. No engine is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from buildonce.cli.options import Asked, project_options
from buildonce.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from buildonce.cli.wiring import Wanted
    from buildonce.plan.sources import Request
    from buildonce.run.building import Surroundings
    from buildonce.run.explaining import Against, NodeExplanation
    from buildonce.run.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """What to compare with, as the user named it; nothing: the last result in the cache."""

    since: str | None
    record: Path | None
    before_args: tuple[str, ...]

    def __post_init__(self) -> None:
        if sum(map(bool, (self.since, self.record, self.before_args))) > 1:
            raise UsageError(
                "--since, --record and --before-arg exclude each other", help="compare with one thing at a time"
            )


@click.command()
@click.argument("names", nargs=-1, metavar="[NODE]...")
@project_options
@click.option("--since", metavar="REV", help="Compare with this Git revision; your working tree stays as it is.")
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Compare with what `plan --record` wrote elsewhere.",
)
@click.option(
    "--before-arg",
    "before_args",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Compare with the same files and this build argument (NAME alone: without it); repeat it.",
)
def explain(
    asked: Asked,
    *,
    as_json: bool,
    names: tuple[str, ...],
    since: str | None,
    record: Path | None,
    before_args: tuple[str, ...],
) -> None:
    """Say why a core, a base or a variant is built again, or what it covers if it is not.

    Without NODE: everything that an engine builds. It is compared with the last result in the cache, unless you name
    something else.
    """
    import asyncio

    from buildonce.report.documents import print_document
    from buildonce.report.explanations import explanation_document, render_explanations

    found = asyncio.run(_explain(asked, names, Other(since=since, record=record, before_args=before_args)))
    print_document(explanation_document(found)) if as_json else click.echo(
        render_explanations(found, details=bool(names))
    )


async def _explain(asked: Asked, names: tuple[str, ...], other: Other) -> tuple[NodeExplanation, ...]:
    import asyncio

    from buildonce.cli.wiring import find_places, open_wanted, progress, surroundings
    from buildonce.events import Warned
    from buildonce.run.explaining import accounts_of, explain_accounts, read_record, unresolved_images
    from buildonce.run.planned import plan_project
    from buildonce.run.resolving import resolve_or_name

    wanted = await open_wanted(asked)
    emit = progress(verbose=False)
    async with surroundings(find_places(wanted, asked), emit, wanted.configuration) as around:
        planned = await plan_project(
            wanted.project,
            wanted.request,
            open_repository=around.open_repository,
            state=around.state,
            resolve=resolve_or_name,
        )
        for name in unresolved_images(planned):
            emit(Warned(message=f"no registry could be asked for `{name}`: only its name is compared"))
        accounts = await asyncio.to_thread(accounts_of, planned, names)
        against: Against | None = None
        if other.record:
            against = read_record(other.record)
        elif other.since:
            against = await _at_revision(asked, wanted, other.since, around)
        elif other.before_args:
            against = await _with_arguments(wanted, other.before_args, around)
        return await explain_accounts(accounts, planned, around.cache, against)


async def _at_revision(asked: Asked, wanted: Wanted, revision: str, around: Surroundings) -> Against:
    """Return the project as it was in a Git revision."""
    import tempfile
    from dataclasses import replace

    from buildonce.cli.wiring import open_wanted
    from buildonce.run.git import check_out, find_commit

    is_declared = wanted.configuration.file is not None
    root = Path() if is_declared else wanted.project.context_root(0)
    with tempfile.TemporaryDirectory(prefix="buildonce-") as folder:
        commit = find_commit(root, revision)
        context = check_out(root, commit, Path(folder))
        if is_declared:
            then = await open_wanted(asked, context)
        else:
            files = tuple(_moved(path, root, context) for path in asked.files)
            then = await open_wanted(replace(asked, files=files, context=context))
        found = await _other(then.project, then.request, f"the revision {revision}", around)
        return found.at(commit)


def _moved(path: Path, root: Path, context: Path) -> Path:
    """Return where a Dockerfile is in the checkout of another revision, in which ``root`` is ``context``."""
    import os

    return context / os.path.relpath(path.resolve(), root.resolve())


async def _with_arguments(wanted: Wanted, pairs: tuple[str, ...], around: Surroundings) -> Against:
    """Return the project as it would be with other build arguments."""
    from msgspec.structs import replace

    def changed(arguments: Mapping[str, str]) -> Mapping[str, str]:
        found = dict(arguments)
        for pair in pairs:
            name, equals, value = pair.partition("=")
            found.pop(name, None)
            if equals:
                found[name] = value
        return found

    files = tuple(replace(file, build_args=changed(file.build_args)) for file in wanted.request.files)
    said = " and ".join(pair if "=" in pair else f"no {pair}" for pair in pairs)
    request = replace(wanted.request, files=files)
    return await _other(wanted.project, request, f"a build with {said}", around)


async def _other(project: Project, request: Request, name: str, around: Surroundings) -> Against:
    import asyncio

    from buildonce.run.explaining import Against, accounts_of
    from buildonce.run.planned import plan_project
    from buildonce.run.resolving import resolve_or_name

    planned = await plan_project(
        project, request, open_repository=around.open_repository, state=around.state, resolve=resolve_or_name
    )
    return Against(name=name, accounts=await asyncio.to_thread(accounts_of, planned))
