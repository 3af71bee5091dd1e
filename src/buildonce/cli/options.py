"""Options that several commands share."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from buildonce.dockerfile.runes import escape_invalid, has_invalid
from buildonce.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options that say what is built and where it goes, as the user gave them."""

    files: tuple[Path, ...]
    context: Path | None
    variants: tuple[str, ...]
    platforms: tuple[str, ...]
    build_args: tuple[str, ...]
    build_contexts: tuple[str, ...]
    given: tuple[str, ...]
    build_platform: str | None
    tags: tuple[str, ...]
    cache: str | None = None
    cache_read_only: bool = False
    push: str | None = None
    output: str | None = None
    labels: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    network: str | None = None
    extra_hosts: tuple[str, ...] = ()
    ulimits: tuple[str, ...] = ()
    shm_size: str | None = None
    allow: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    engine: str | None = None


_PATH = click.Path(path_type=Path)
_SOURCES = (
    click.option("-f", "--file", "files", multiple=True, type=_PATH, metavar="DOCKERFILE",
                 help="A Dockerfile, or a pattern for several; repeat it for more. Also a bake file, a Compose file "
                      "or a TOML file that declares variants. [default: buildonce.toml, else CONTEXT/Dockerfile]"),
    click.option("--context", type=_PATH, metavar="DIR",
                 help="The build context. [default: the current folder]"),
    click.option("--variant", "variants", multiple=True, metavar="NAME",
                 help="A variant to build; repeat it for several. [default: every final stage]"),
    click.option("--build-arg", "build_args", multiple=True, metavar="NAME=VALUE",
                 help="A build argument, as `docker build` takes it."),
    click.option("--build-context", "build_contexts", multiple=True, metavar="NAME=VALUE",
                 help="What stands in for a stage or image: a folder, docker-image://REFERENCE, "
                      "oci-layout://PATH, Git or URL; as `docker buildx build` takes it."),
    click.option("--given", "given", multiple=True, metavar="STAGE=DIR",
                 help="A stage whose files were made elsewhere: DIR has them at their paths in the stage, with "
                      "{os} and {arch} in its name for several platforms; repeat it for several."),
    click.option("--build-platform", metavar="OS/ARCH",
                 help="What $BUILDPLATFORM means; the same on every machine that shares a cache. "
                      "[default: linux/amd64]"),
)  # fmt: skip
"""What an image is built from."""

_BUILD = (
    click.option("--secret", "secrets", multiple=True, metavar="ID,PLACE",
                 help="A secret for RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE."),
    click.option("--ssh", "ssh", multiple=True, metavar="AGENT",
                 help="An SSH agent or key for RUN --mount=type=ssh: default, or NAME=FILE."),
    click.option("--network", metavar="MODE", help="The network of RUN: default, none or host."),
    click.option("--add-host", "extra_hosts", multiple=True, metavar="NAME=ADDRESS",
                 help="An address that RUN knows by this name."),
    click.option("--ulimit", "ulimits", multiple=True, metavar="NAME=SOFT[:HARD]", help="A limit of RUN."),
    click.option("--shm-size", metavar="SIZE", help="The size of /dev/shm in RUN, such as 128m."),
    click.option("--allow", "allow", multiple=True, metavar="ENTITLEMENT",
                 help="What a build may do that it usually may not: network.host, security.insecure, device."),
    click.option("--label", "labels", multiple=True, metavar="NAME=VALUE",
                 help="A label of the images, over one in the Dockerfile."),
    click.option("--annotation", "annotations", multiple=True, metavar="[index:]NAME=VALUE",
                 help="An annotation of the images' manifests, or of their index."),
    click.option("--cache-from", "cache_from", multiple=True, metavar="CACHE",
                 help="Where the engine finds its own cache of what it compiles, such as type=gha; each stage and "
                      "platform has its own there."),
    click.option("--cache-to", "cache_to", multiple=True, metavar="CACHE",
                 help="Where the engine keeps its own cache of what it compiles; never with --cache-read-only."),
    click.option("--no-cache", is_flag=True, help="Make everything anew, whatever is there already."),
    click.option("--no-cache-filter", "no_cache_filter", multiple=True, metavar="STAGE",
                 help="Make anew what comes from this stage; repeat it or separate with commas."),
    click.option("--pull", is_flag=True, expose_value=False,
                 help="Look base images up in their registries: buildonce does so in any case."),
)  # fmt: skip
"""What a build is told besides its Dockerfile, by the words of `docker buildx build`."""

_ENGINE = (
    click.option("--engine", metavar="NAME",
                 help="The engine that builds: buildx, buildah or podman. [default: the first that is there]"),
)  # fmt: skip
_PLATFORM = (
    click.option("--platform", "platforms", multiple=True, metavar="OS/ARCH",
                 help="A target platform; repeat it or separate with commas. [default: this machine's]"),
)  # fmt: skip
_PLACES = (
    click.option("--cache", metavar="STORE",
                 help="Where cores and bases are kept: oci:DIR or a repository. "
                      "[default: beside the images, else .buildonce/cache]"),
    click.option("--cache-read-only", is_flag=True,
                 help="Read the cache and never write to it; what is new is kept in .buildonce/cache."),
    click.option("--push", "push", metavar="REPOSITORY",
                 help="Ship to this repository; with {variant} in it, each variant to one of its own."),
    click.option("--output", metavar="oci:DIR", help="Ship to an OCI layout. [default: .buildonce/images]"),
)  # fmt: skip
_TAG = (
    click.option("--tag", "tags", multiple=True, metavar="TEMPLATE",
                 help="How tags are made: {variant}, {version} (the commit's Git tag), {sha}, {branch}; repeat it for "
                      "several. "
                      "[default: {variant}]"),
)  # fmt: skip
_JSON = (click.option("--json", "as_json", is_flag=True, help="Print JSON."),)


def project_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say what is built and where it goes; the command gets them as one `Asked`."""
    return _collected(command, (*_SOURCES, *_BUILD, *_ENGINE, *_PLATFORM, *_PLACES, *_TAG, *_JSON))


def shipped_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say from what something was built that was shipped; the command gets them as one `Asked`.

    It has a ``--platform`` of its own.
    """
    return _collected(command, (*_SOURCES, *_BUILD, *_ENGINE, *_TAG, *_JSON))


def _collected(command: Callable[..., Any], options: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    @functools.wraps(command)
    def collected(**values: Any) -> Any:  # noqa: ANN401  click passes what the options declare
        names = [field.name for field in dataclasses.fields(Asked)]
        return command(Asked(**{name: values.pop(name) for name in names if name in values}), **values)

    for option in reversed(options):
        collected = option(collected)
    return collected


def parse_build_args(pairs: Sequence[str], environment: dict[str, str]) -> dict[str, str]:
    """Return build arguments by name; a name without value takes it from the environment, as Docker does."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name:
            raise UsageError(f"`--build-arg {pair}` has no name", help="write it as --build-arg NAME=VALUE")
        if has_invalid(pair):
            raise UsageError(f"`--build-arg {escape_invalid(pair)}` is not UTF-8", help="BuildKit takes only that")
        if equals:
            found[name] = value
        elif name in environment:
            found[name] = environment[name]
    return found


def parse_given(pairs: Sequence[str]) -> dict[str, str]:
    """Return the folders of given cores by the name of their stage."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, _, folder = pair.partition("=")
        if not name or not folder:
            raise UsageError(f"`--given {pair}` is no stage and folder", help="write it as --given STAGE=DIR")
        found[name.lower()] = folder
    return found


def split_commas(values: Sequence[str]) -> tuple[str, ...]:
    """Return the values of a repeatable option, each of which may hold several, without doubles."""
    return tuple(dict.fromkeys(part.strip() for value in values for part in value.split(",") if part.strip()))
