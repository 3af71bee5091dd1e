"""``buildonce verify``: is what was shipped whole, and does it belong together? Nothing is written to any store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from buildonce.errors import UsageError

if TYPE_CHECKING:
    from buildonce.run.outcome import Traffic
    from buildonce.verify.release import Checks, Verification

_FOUND = 1


@click.command()
@click.argument("references", nargs=-1, required=True, metavar="REF...")
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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(
    *,
    references: tuple[str, ...],
    platforms: tuple[str, ...],
    core_paths: tuple[str, ...],
    unchecked: tuple[str, ...],
    quick: bool,
    as_json: bool,
) -> int:
    """Check that a release is complete and whole, that every variant has the same core, and that it runs there.

    REF is oci:DIR or registry/repository, with :TAG (which may be a pattern such as '*-1.4.2') or @DIGEST; without
    either, all tags there. All REFs together are taken for one release. The exit code is 1 if something is wrong.
    """
    import asyncio

    from buildonce.report.documents import print_document
    from buildonce.report.verifications import render_verification, verification_document

    checks = _checks(platforms, core_paths, unchecked, quick=quick)
    done, traffic = asyncio.run(_verify(references, checks))
    if as_json:
        print_document(verification_document(done, traffic))
    else:
        click.echo(render_verification(done, traffic))
    return _FOUND if done.findings else 0


def _checks(
    platforms: tuple[str, ...], core_paths: tuple[str, ...], unchecked: tuple[str, ...], *, quick: bool
) -> Checks:
    from buildonce.cli.options import split_commas
    from buildonce.oci import parse_platform
    from buildonce.verify.release import Checks

    if quick and core_paths:
        raise UsageError("--core and --quick exclude each other", help="files are compared by reading layers")
    relative = next((path for path in core_paths if not path.startswith("/")), None)
    if relative is not None:
        raise UsageError(f"`--core {relative}` is no absolute path", help="name it as it is in the image")
    return Checks(
        platforms=tuple(sorted({parse_platform(text) for text in split_commas(platforms)})),
        core_paths=core_paths,
        unchecked=split_commas(unchecked),
        is_quick=quick,
    )


async def _verify(references: tuple[str, ...], checks: Checks) -> tuple[Verification, Traffic]:
    import os

    from buildonce.run.outcome import Traffic
    from buildonce.run.state import State, state_folder
    from buildonce.store.registry import RegistrySession, options_from_environment
    from buildonce.verify.ledger import Ledger
    from buildonce.verify.references import find_all_targets
    from buildonce.verify.release import verify_release

    environment = dict(os.environ)
    ledger = Ledger()
    async with RegistrySession(options_from_environment(environment)) as session:
        targets = await find_all_targets(references, session, ledger)
        with State(state_folder(environment)).work_folder() as folder:
            done = await verify_release(targets, checks, folder, ledger)
    traffic = Traffic(requests=sum(session.requests.values()), bytes_up=session.bytes_up, bytes_down=session.bytes_down)
    return done, traffic
