"""What an engine can do, as a value; and what to say of a job that asks for more. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from buildonce.build_options import conceal_cache, parse_cache
from buildonce.engines.features import Feature, Need
from buildonce.engines.protocol import BuildJob
from buildonce.errors import EngineUnavailable
from buildonce.reference import parse_reference

Version = tuple[int, ...]

OLDEST_BUILDAH: Version = (1, 28)
"""The oldest Buildah that was tried: one release before, named contexts are new."""

_SINCE: Mapping[Feature, Version | None] = MappingProxyType(
    {
        Feature.NETWORK: (1, 30),
        Feature.HEREDOC: (1, 33),
        Feature.CHECKSUM: (1, 33),
        Feature.START_INTERVAL: (1, 37),
        Feature.PARENTS: (1, 40),
        Feature.LINK: (1, 41),
        Feature.SECRET_ENV: (1, 44),
        Feature.EXCLUDE: None,
        Feature.SYMBOLIC_MODE: None,
        Feature.SECURITY: None,
        Feature.DEVICE: None,
    }
)
"""Since which version Buildah does what BuildKit does (its CHANGELOG.md, and tests); None where it never does.

It reads ``--exclude`` since 1.38, but takes the patterns to be relative to another folder than BuildKit does.
"""

_FRESH_MOUNTS: Version = (1, 44)
"""Since when Buildah looks whether what a RUN has mounted is still the same before it takes an earlier result."""

FOLDER_IGNORE: Version = (1, 33)
"""Since when Buildah follows the ignore rules of a named context that is a folder."""


class EngineTraits(Struct, frozen=True, kw_only=True):
    """What an engine lacks, and of which features its cache is not to be believed; ``name`` is with its version.

    ``ignores_ignoring`` says that a named context's own ignore rules mean nothing to it.
    """

    name: str
    lacks: frozenset[Feature] = frozenset()
    distrusts: frozenset[Feature] = frozenset()
    ignores_ignoring: bool = False
    is_podman: bool = False


def parse_version(text: str) -> Version:
    """Return the first version number in a text; nothing where there is none."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def spelt(version: Version) -> str:
    """Return a version as it is written."""
    return ".".join(map(str, version))


def buildah_traits(version: Version, *, podman: bool = False) -> EngineTraits:
    """Return what this version of Buildah can do, or a Podman that has it inside."""
    lacks = [feature for feature, since in _SINCE.items() if since is None or version < since]
    distrusts = () if version >= _FRESH_MOUNTS else (Feature.BIND_MOUNT,)
    name = f"podman (buildah {spelt(version)})" if podman else f"buildah {spelt(version)}"
    return EngineTraits(
        name=name,
        lacks=frozenset(lacks),
        distrusts=frozenset(distrusts),
        ignores_ignoring=version < FOLDER_IGNORE,
        is_podman=podman,
    )


def require(traits: EngineTraits, job: BuildJob, needs: Sequence[Need]) -> None:
    """Raise `EngineUnavailable`, with every place, if a job needs what the engine does not have."""
    missing = [need for need in needs if need.feature in traits.lacks]
    if not missing:
        return
    names = " and ".join(dict.fromkeys(need.feature.value for need in missing))
    raise EngineUnavailable(
        f"{traits.name} cannot {job.activity.value} {job.node}: it does not have {names} as BuildKit has it",
        notes=tuple(_note(job, need) for need in missing),
        help=_help(missing),
    )


def require_options(traits: EngineTraits, job: BuildJob) -> None:
    """Raise `EngineUnavailable` for an engine's cache that Buildah does not have: it has them in registries alone."""
    for text in (*job.options.cache_from, *job.options.cache_to):
        kind = parse_cache(text)["type"]
        if kind != "registry":
            raise EngineUnavailable(
                f"{traits.name} has no cache of the type `{kind}`, needed to {job.activity.value} {job.node}",
                notes=(f"what is asked for is {conceal_cache(text)}",),
                help="take type=registry,ref=REFERENCE, or BuildKit (--engine buildx)",
            )


def cache_repositories(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the repositories of caches in registries: Buildah tags each entry there by what made it."""
    references = [parse_cache(text).get("ref", "") for text in texts]
    return tuple(str(parse_reference(reference).repository) for reference in references)


def _note(job: BuildJob, need: Need) -> str:
    if need.place.line > job.own_lines:
        return f"a copy in {job.path} takes its files from this stage with {need.feature.value}"
    return f"{job.path}:{need.place.line}:{need.place.column}: {need.text.strip()}"


def _help(missing: Sequence[Need]) -> str:
    since = [_SINCE.get(need.feature) for need in missing]
    known = [version for version in since if version is not None]
    newer = f"Buildah {spelt(max(known))} or newer, or " if len(known) == len(since) else ""
    return f"build it with {newer}BuildKit (--engine buildx)"
