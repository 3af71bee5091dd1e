"""[io] From command-line options to what a run works with."""

from __future__ import annotations

import os
import platform as host
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import click
from msgspec import Struct
from msgspec.structs import replace

from buildonce.cli.options import Asked, parse_build_args, parse_given, split_commas
from buildonce.dockerfile.problems import did_you_mean
from buildonce.engines.protocol import Engine
from buildonce.errors import UsageError
from buildonce.events import Emit, Warned
from buildonce.oci import Platform, parse_platform
from buildonce.plan.sources import Request
from buildonce.project.layers import BUILD_PLATFORM
from buildonce.reference import Repository
from buildonce.report.progress import LineProgress
from buildonce.run.building import Surroundings
from buildonce.run.capabilities import remembered
from buildonce.run.given import open_given
from buildonce.run.named_contexts import load_named_contexts
from buildonce.run.project import OWN_FOLDER, Project, load_project
from buildonce.run.state import State, state_folder
from buildonce.run.tag_fields import TagFields
from buildonce.store.layout import LayoutStore
from buildonce.store.opening import LayoutLocation, open_store, parse_store
from buildonce.store.overlay import OverlayStore
from buildonce.store.protocol import Store
from buildonce.store.registry import RegistrySession, RegistryStore, options_from_environment

VARIANT = "{variant}"


class Places(Struct, frozen=True, kw_only=True):
    """Where images go and where results are kept.

    ``target`` is a store as the user writes it; with ``{variant}`` in it, each variant goes to a store of its own.
    ``upper`` is where new results go instead of the cache, if that is only read.
    """

    target: str
    cache: LayoutLocation | Repository
    upper: LayoutLocation | None = None

    def location(self, variant: str) -> LayoutLocation | Repository:
        """Return where a variant's images go. Raises `UsageError` when that is no store."""
        return parse_store(self.target.replace(VARIANT, variant))


def make_request(asked: Asked, project: Project) -> Request:
    """Return what is asked for, checked."""
    platforms = split_commas(asked.platforms) or (str(own_platform()),)
    arguments = parse_build_args(asked.build_args, dict(os.environ))
    contexts = load_named_contexts(asked.build_contexts)
    targets = tuple(sorted({parse_platform(text) for text in platforms}))
    given = {stage: open_given({"/": pattern}, Path(), targets) for stage, pattern in parse_given(asked.given).items()}
    return Request(
        files=tuple(
            replace(file, build_args=arguments, named_contexts=contexts, given=given) for file in project.files
        ),
        platforms=targets,
        build_platform=parse_platform(asked.build_platform or BUILD_PLATFORM),
        variants=split_commas(asked.variants),
    )


def own_platform() -> Platform:
    """Return the platform of this machine, as Docker has it."""
    return parse_platform(f"linux/{host.machine()}")


def check_loadable(request: Request) -> None:
    """Raise `UsageError` when nothing that is built could run on this machine."""
    if own_platform() not in request.platforms:
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


def open_project(asked: Asked) -> Project:
    """Return the project on disk that is asked for."""
    return load_project(asked.files, asked.context, state_folder(dict(os.environ)) / "contexts")


def find_places(asked: Asked) -> Places:
    """Return where images and results go: the options, else beside the images, else in the project's own folder."""
    if asked.push and asked.output:
        raise UsageError("--push and --output exclude each other", help="name one place for the images")
    own = (asked.context or Path()) / OWN_FOLDER
    target = asked.push or asked.output or f"oci:{own / 'images'}"
    # Of a pattern, any variant's place tells what kind of store it is.
    example = parse_store(target.replace(VARIANT, "cache"))
    if asked.push and not isinstance(example, Repository):
        raise UsageError(f"--push {asked.push} is not a repository", help="for a layout on disk, use --output")
    if asked.output and not isinstance(example, LayoutLocation):
        raise UsageError(f"--output {asked.output} is not a layout on disk", help="write it as oci:DIR, or use --push")
    here = LayoutLocation(own / "cache")
    if asked.cache:
        cache = parse_store(asked.cache)
    elif isinstance(example, Repository):
        cache = example if VARIANT in target else example.beside("-cache")
    else:
        cache = here
    return Places(target=target, cache=cache, upper=_upper(cache, here) if asked.cache_read_only else None)


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
    places: Places, variants: Iterable[str], asked: Asked
) -> Mapping[str, LayoutLocation | Repository]:
    """Return where each variant goes. Raises `UsageError` if the cache would be in the place of a variant."""
    found = {variant: places.location(variant) for variant in variants}
    if VARIANT in places.target and not asked.tags:
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


def keep_out_of_git(places: Places, asked: Asked) -> None:
    """Make the project's own folder, if something goes there, so that Git passes it over."""
    own = (asked.context or Path()) / OWN_FOLDER
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
async def surroundings(places: Places, emit: Emit) -> AsyncIterator[Surroundings]:
    """Give what a run works with."""
    environment = dict(os.environ)
    state = State(state_folder(environment))
    async with registry_session(environment, state, emit) as session:

        def open_repository(repository: Repository) -> Store:
            return RegistryStore(repository, session)

        async def engine() -> Engine:
            from buildonce.engines.finding import find_engine

            return await find_engine(environment, emit)

        around = Surroundings(
            state=state,
            session=session,
            open_repository=open_repository,
            cache=open_cache(places, session),
            emit=emit,
            find_engine=engine,
        )
        yield around


def open_targets(locations: Mapping[str, LayoutLocation | Repository], session: RegistrySession) -> Mapping[str, Store]:
    """Return the store of each name, one for each place."""
    stores = {place: open_store(place, session, mirrored=False) for place in dict.fromkeys(locations.values())}
    return {name: stores[place] for name, place in locations.items()}


def source_date_epoch(environment: Mapping[str, str]) -> int | None:
    """Return SOURCE_DATE_EPOCH; raise `UsageError` unless it is a number of seconds."""
    text = environment.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not text.isascii() or not text.isdecimal():
        raise UsageError(f"SOURCE_DATE_EPOCH is `{text}`, which is no number of seconds since 1970")
    return int(text)


def progress(*, verbose: bool) -> Emit:
    """Return what shows events on the standard error stream."""

    def write(line: str) -> None:
        click.echo(line, err=True)
        sys.stderr.flush()

    return LineProgress(write, verbose=verbose)


def tag_field(asked: Asked) -> Callable[[str], str]:
    """Return what looks up the fields of tag templates."""
    return TagFields(asked.context or Path(), os.environ).look_up
