"""[io] From command-line options to what a run works with."""

from __future__ import annotations

import os
import platform as host
import re
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import click
from msgspec import Struct, field
from msgspec.structs import replace

from buildonce.cli.build_flags import check_build
from buildonce.cli.effective import effective_configuration, own_folder
from buildonce.cli.options import Asked, split_commas
from buildonce.dockerfile.problems import did_you_mean
from buildonce.engines.protocol import Engine
from buildonce.errors import UsageError
from buildonce.events import Emit, Warned
from buildonce.oci import Platform, parse_platform
from buildonce.plan.nodes import Plan
from buildonce.plan.sources import Declared, Marks, Request
from buildonce.project.declaration import Declaration
from buildonce.project.layers import BUILD_PLATFORM
from buildonce.project.templates import VARIANT, fill
from buildonce.project.toml import Configuration
from buildonce.reference import Repository
from buildonce.report.ci_logs import FoldedProgress, find_provider
from buildonce.report.progress import LineProgress
from buildonce.run.building import Surroundings
from buildonce.run.capabilities import remembered
from buildonce.run.declared import load_declared
from buildonce.run.engine_queue import ENGINE_JOBS
from buildonce.run.given import open_given
from buildonce.run.named_contexts import load_named_contexts
from buildonce.run.project import OWN_FOLDER, FileOrder, Project, load_files
from buildonce.run.state import State, state_folder
from buildonce.run.tag_fields import TagFields
from buildonce.ship.latest import NEVER
from buildonce.ship.tags import expand_rules, tag_rules
from buildonce.store.layout import LayoutStore
from buildonce.store.opening import LayoutLocation, open_store, parse_store
from buildonce.store.overlay import OverlayStore
from buildonce.store.protocol import Store
from buildonce.store.registry import RegistrySession, RegistryStore, options_from_environment

JOBS_SETTING = "BUILDONCE_ENGINE_JOBS"


class Wanted(Struct, frozen=True, kw_only=True):
    """What counts for a command, the project as it lies on disk, and what is asked for of it."""

    configuration: Configuration
    project: Project
    request: Request

    @property
    def declaration(self) -> Declaration:
        """What is declared, with defaults for what is not."""
        return self.configuration.declaration


class Places(Struct, frozen=True, kw_only=True):
    """Where images go and where results are kept.

    ``target`` is a store as the user writes it; with ``{variant}`` in it, each variant goes to a store of its own, and
    those in ``own`` go there. ``upper`` is where new results go instead of the cache, if that is only read.
    """

    target: str
    cache: LayoutLocation | Repository
    own: Mapping[str, str] = field(default_factory=dict)
    upper: LayoutLocation | None = None

    def location(self, variant: str) -> LayoutLocation | Repository:
        """Return where a variant's images go. Raises `UsageError` when that is no store."""
        return parse_store(fill(self.own.get(variant, self.target), variant=variant))


async def open_wanted(asked: Asked, folder: Path | None = None) -> Wanted:
    """Return what is asked for of the project in ``folder``, else in the current one. Raises `UsageError`.

    What is given lies in the current folder all the same: it is made, and in no checkout.
    """
    configuration = await effective_configuration(asked, folder or Path())
    if not configuration.declaration.variants:
        paths = _dockerfiles(asked, configuration)
        configuration = replace(configuration, declaration=replace(configuration.declaration, dockerfiles=paths))
    return open_configuration(configuration, split_commas(asked.variants), folder)


def open_configuration(configuration: Configuration, variants: tuple[str, ...], folder: Path | None = None) -> Wanted:
    """Return what is asked for of the project in ``folder``, when all that counts is known; see `open_wanted`."""
    declaration = configuration.declaration
    memory = state_folder(dict(os.environ)) / "contexts"
    declared: tuple[Declared, ...] = ()
    if declaration.variants:
        project, declared = load_declared(declaration, folder or Path(), memory=memory)
    else:
        project = load_files(_orders(declaration, folder or Path()), memory)
    platforms = tuple(sorted({parse_platform(text) for text in declaration.platforms}))
    linked = {parse_platform(text) for one in declaration.linked for text in one.platforms}
    needed = {*platforms, *linked, *(platform for one in declared for platform in one.platforms)}
    given = {stage: open_given(files, Path(), sorted(needed)) for stage, files in declaration.given.items()}
    targets = (*declaration.variants, *declaration.linked)
    check_build([declaration.build, *(target.build for target in targets)], dict(os.environ))
    request = Request(
        files=tuple(replace(file, given=given) for file in project.files),
        platforms=platforms,
        build_platform=parse_platform(declaration.build_platform or BUILD_PLATFORM),
        variants=variants,
        declared=declared,
        marks=Marks(labels=declaration.build.labels, annotations=declaration.build.annotations),
    )
    return Wanted(configuration=configuration, project=project, request=request)


def _dockerfiles(asked: Asked, configuration: Configuration) -> tuple[str, ...]:
    """Return the Dockerfiles of a project that declares no variants, as they are named, else the context's."""
    declaration = configuration.declaration
    is_declared = asked.files or configuration.file is not None
    return declaration.dockerfiles if is_declared else (str(Path(declaration.context) / "Dockerfile"),)


def _orders(declaration: Declaration, folder: Path) -> Sequence[FileOrder]:
    """Return the Dockerfiles of a project that declares no variants."""
    context = folder / declaration.context
    paths = [folder / path for path in declaration.dockerfiles]
    contexts = load_named_contexts([f"{name}={value}" for name, value in declaration.contexts.items()], folder)
    return [
        FileOrder(
            dockerfile=path,
            context=context,
            build_args=declaration.args,
            named_contexts=contexts,
            options=declaration.build.options,
        )
        for path in paths
    ]


def warn_of_left_out(wanted: Wanted, emit: Emit) -> None:
    """Say which declared variants are for none of the platforms that are asked for."""
    platforms = ", ".join(wanted.declaration.platforms)
    for variant in wanted.configuration.left_out:
        emit(Warned(message=f"variant `{variant.name}` is left out: it is not declared for {platforms}"))


def own_platform() -> Platform:
    """Return the platform of this machine, as Docker has it."""
    return parse_platform(f"linux/{host.machine()}")


def unchecked_variants(wanted: Wanted, names: Sequence[str], variants: Sequence[str]) -> frozenset[str]:
    """Return the variants to ship even if their programs do not run: those named by the option, or so declared."""
    declared = {variant.name for variant in wanted.declaration.variants if not variant.checks_fit}
    return known_variants(names, variants, "--no-fit-check") | declared


def check_loadable(plan: Plan) -> None:
    """Raise `UsageError` when nothing that is built could run on this machine."""
    if own_platform() not in {image.platform for image in plan.images}:
        raise UsageError(
            f"--load: nothing is built for this machine's platform, {own_platform()}",
            help=f"add {own_platform()} to --platform, or leave out --load",
        )


def known_variants(names: Sequence[str], variants: Sequence[str], option: str) -> frozenset[str]:
    """Return the variants that an option names; raise `UsageError` for one that is not built."""
    chosen = frozenset(split_commas(names))
    for name in sorted(chosen.difference(variants)):
        raise UsageError(
            f"`{option} {name}` names no variant of this build",
            help=did_you_mean(name, variants, f"{option} {{}}") or f"the variants are {', '.join(variants)}",
        )
    return chosen


def find_places(wanted: Wanted, asked: Asked) -> Places:
    """Return where images and results go."""
    declaration = wanted.declaration
    target = declaration.push or declaration.output or ""
    # Of a pattern, any variant's place tells what kind of store it is.
    example = parse_store(fill(target, variant="cache"))
    if declaration.push and not isinstance(example, Repository):
        raise UsageError(f"--push {target} is not a repository", help="for a layout on disk, use --output")
    if not declaration.push and not isinstance(example, LayoutLocation):
        raise UsageError(f"--output {target} is not a layout on disk", help="write it as oci:DIR, or use --push")
    cache = parse_store(str(declaration.cache))
    here = LayoutLocation(own_folder(wanted.configuration, asked) / "cache")
    return Places(
        target=target,
        cache=cache,
        own={variant.name: variant.push for variant in declaration.variants if variant.push},
        upper=_upper(cache, here) if asked.cache_read_only else None,
    )


def _upper(cache: LayoutLocation | Repository, here: LayoutLocation) -> LayoutLocation:
    if isinstance(cache, LayoutLocation) and cache.path.resolve() == here.path.resolve():
        raise UsageError(
            f"--cache-read-only: the cache is {cache}, which is this machine's own",
            help="name the cache that others fill with --cache STORE, or leave out --cache-read-only",
        )
    return here


def open_cache(places: Places, session: RegistrySession) -> Store:
    """Return the cache; where it is only read, with what this machine adds to it."""
    cache = open_store(places.cache, session, mirrored=False)
    return OverlayStore(cache, LayoutStore(places.upper.path)) if places.upper else cache


def unused_places() -> Places:
    """Return places for a run that ships nothing and keeps nothing."""
    nowhere = LayoutLocation(Path(OWN_FOLDER))
    return Places(target=str(nowhere), cache=nowhere)


def places_of_variants(
    places: Places, variants: Iterable[str], wanted: Wanted
) -> Mapping[str, LayoutLocation | Repository]:
    """Return where each variant goes. Raises `UsageError` if the cache would be in the place of a variant."""
    found = {variant: places.location(variant) for variant in variants}
    if VARIANT in places.target and not wanted.declaration.tags:
        raise UsageError(
            f"each variant goes to a repository of its own ({places.target}): say how the images are tagged there",
            help="for instance --tag {version}, or --tag latest",
        )
    if VARIANT in places.target and places.cache in found.values():
        raise UsageError(
            f"the images of a variant and the cache would both be in {places.cache}",
            help="name another place for the cache with --cache",
        )
    return found


def keep_out_of_git(places: Places, wanted: Wanted, asked: Asked) -> None:
    """Make the project's own folder, if something goes there, so that Git passes it over."""
    own = own_folder(wanted.configuration, asked)
    stores = (places.location("any"), places.cache, places.upper)
    used = [place.path for place in stores if isinstance(place, LayoutLocation)]
    ignore = own / ".gitignore"
    if any(own in path.parents for path in used) and not ignore.exists():
        own.mkdir(exist_ok=True)
        ignore.write_text("*\n")


@asynccontextmanager
async def registry_session(environment: Mapping[str, str], state: State, emit: Emit) -> AsyncIterator[RegistrySession]:
    """Give a session that knows what earlier runs learned of registries, and whose warnings are events."""

    def warn(text: str) -> None:
        emit(Warned(message=text))

    options = options_from_environment(environment)
    with remembered(state) as table:
        async with RegistrySession(options, capabilities=table, warn=warn) as session:
            yield session


@asynccontextmanager
async def surroundings(
    places: Places, emit: Emit, configuration: Configuration | None = None
) -> AsyncIterator[Surroundings]:
    """Give what a run works with; the engine is the one that the configuration asks for."""
    environment = dict(os.environ)
    state = State(state_folder(environment))
    async with registry_session(environment, state, emit) as session:

        def open_repository(repository: Repository) -> Store:
            return RegistryStore(repository, session)

        around = Surroundings(
            state=state,
            session=session,
            open_repository=open_repository,
            cache=open_cache(places, session),
            emit=emit,
            find_engine=engine_finder(configuration, emit),
            engine_jobs=engine_jobs(environment),
        )
        yield around


def engine_finder(configuration: Configuration | None, emit: Emit) -> Callable[[], Awaitable[Engine]]:
    """Return what finds the engine that a configuration asks for, else the environment, else the first there is."""

    async def find() -> Engine:
        from buildonce.engines.finding import find_engine, parse_engine

        name = configuration.declaration.engine if configuration else None
        origin = configuration.origins.get(("engine",), "the plan") if configuration else ""
        asked = parse_engine(name, origin.removeprefix("environment "))
        return await find_engine(dict(os.environ), emit, asked)

    return find


def engine_jobs(environment: Mapping[str, str]) -> int:
    """Return how many builds an engine is given at once; raise `UsageError` unless it is a number from 1 on."""
    text = environment.get(JOBS_SETTING)
    if not text:
        return ENGINE_JOBS
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text):
        raise UsageError(
            f"{JOBS_SETTING} is `{text}`, which is no number of builds",
            notes=("it says how many builds the engine is given at once",),
            help=f"set it to 1 or more, or unset it, which means {ENGINE_JOBS}",
        )
    return int(text)


def open_targets(locations: Mapping[str, LayoutLocation | Repository], session: RegistrySession) -> Mapping[str, Store]:
    """Return the store of each name, one for each place."""
    stores = {place: open_store(place, session, mirrored=False) for place in dict.fromkeys(locations.values())}
    return {name: stores[place] for name, place in locations.items()}


_LAST_SECOND = 253_402_300_799
"""Of the year 9999: later times have no form in an image's config (RFC 3339)."""


def source_date_epoch(environment: Mapping[str, str]) -> int | None:
    """Return SOURCE_DATE_EPOCH; raise `UsageError` unless it is a number of seconds."""
    text = environment.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not text.isascii() or not text.isdecimal():
        raise UsageError(f"SOURCE_DATE_EPOCH is `{text}`, which is no number of seconds since 1970")
    if int(text) > _LAST_SECOND:
        raise UsageError(f"SOURCE_DATE_EPOCH is `{text}`, which is later than the year 9999")
    return int(text)


def progress(*, verbose: bool) -> Emit:
    """Return what shows events on the standard error stream, in a CI job in its provider's way."""

    def write(line: str) -> None:
        click.echo(line, err=True)
        sys.stderr.flush()

    provider = find_provider(os.environ)
    if provider is None:
        return LineProgress(write, verbose=verbose)
    folded = FoldedProgress(write, provider, token=secrets.token_hex(16), clock=time.time)
    click.get_current_context().call_on_close(folded.close)
    return folded


def variant_tags(wanted: Wanted, places: Mapping[str, str], asked: Asked) -> Mapping[str, tuple[str, ...]]:
    """Return the tags of each variant in ``places``, which has the store that each goes to. Raises `UsageError`."""
    declaration = wanted.declaration
    known = {*places, *(variant.name for variant in wanted.configuration.left_out)}
    if declaration.default and not wanted.request.variants and declaration.default not in known:
        raise UsageError(
            f"there is no variant `{declaration.default}` that could be the default",
            notes=(f"{wanted.configuration.origins['default',].removeprefix('environment ')} says so",),
            help=did_you_mean(declaration.default, places) or f"the variants are {', '.join(places)}",
        )
    fields = TagFields(asked.context or Path(), os.environ)
    rules = tag_rules(
        declaration,
        tuple(places),
        moves_latest=fields.moves_latest(declaration.latest or NEVER),
        left_out=wanted.configuration.left_out,
    )
    return expand_rules(rules, places, fields.look_up)
