"""Every value of a configuration by its key, as it can be shown to anybody."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from buildonce.build_options import conceal_cache
from buildonce.plan.secrecy import hide_credentials, looks_secret
from buildonce.project.build_settings import BuildSettings
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.keys import GIVEN, VARIANTS
from buildonce.project.layers import DEFAULT
from buildonce.project.toml import Configuration, Names

_CACHES = ("cache-from", "cache-to")
_BARE = re.compile(r"[A-Za-z0-9_-]+")

Shown = str | bool | tuple[str, ...] | None


class Setting(Struct, frozen=True, kw_only=True):
    """A value: ``key`` as TOML writes it (``variants.claude.args.AGENT``), where it comes from.

    ``value`` is None for what is secret, and for a target that is the last stage.
    """

    key: str
    value: Shown
    origin: str
    is_secret: bool = False


def list_settings(declared: Configuration) -> tuple[Setting, ...]:
    """Return what is declared: the project's values, and each variant's that are its own or that it is built with."""
    declaration = declared.declaration
    found = [*_project(declaration)]
    for variant in declaration.variants:
        found += [((VARIANTS, variant.name, *path), value) for path, value in _variant(variant)]
    return tuple(_setting(path, value, declared.origins) for path, value in found)


def dotted(path: Names) -> str:
    """Return a path of keys as TOML writes it."""
    return ".".join(part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False) for part in path)


def _project(declaration: Declaration) -> Iterator[tuple[Names, Shown]]:
    if not declaration.variants:
        yield (
            ("dockerfile",),
            declaration.dockerfiles[0] if len(declaration.dockerfiles) == 1 else (declaration.dockerfiles),
        )
        yield ("context",), declaration.context
        yield from _texts("args", declaration.args)
        yield from _texts("contexts", declaration.contexts)
        yield from _build(declaration.build)
    yield ("platforms",), declaration.platforms
    yield ("build-platform",), declaration.build_platform
    yield ("push",) if declaration.push else ("output",), declaration.push or declaration.output
    yield ("cache",), declaration.cache
    yield ("tags",), declaration.tags
    if declaration.default:
        yield ("default",), declaration.default
    yield ("latest",), declaration.latest
    if declaration.engine:
        yield ("engine",), declaration.engine
    for stage, files in declaration.given.items():
        if set(files) == {"/"}:
            yield (GIVEN, stage), files["/"]
        else:
            yield from (((GIVEN, stage, place), path) for place, path in files.items())


def _variant(variant: VariantDeclaration) -> Iterator[tuple[Names, Shown]]:
    yield ("dockerfile",), f"inline: {variant.dockerfile}" if variant.inline else variant.dockerfile
    yield ("context",), variant.context
    yield ("target",), variant.target
    yield from _texts("args", variant.args)
    yield from _texts("contexts", variant.contexts)
    yield from _build(variant.build)
    if variant.platforms:
        yield ("platforms",), variant.platforms
    if variant.tags:
        yield ("tags",), variant.tags
    if variant.push:
        yield ("push",), variant.push
    if not variant.checks_fit:
        yield ("fit-check",), False


def _build(build: BuildSettings) -> Iterator[tuple[Names, Shown]]:
    for key, value in build.values().items():
        if isinstance(value, Mapping):
            yield from _texts(key, value)
        elif key in _CACHES and isinstance(value, tuple):
            yield (key,), tuple(conceal_cache(text) for text in value)
        else:
            yield (key,), value


def _texts(key: str, values: Mapping[str, str]) -> Iterator[tuple[Names, Shown]]:
    return (((key, name), value) for name, value in sorted(values.items()))


def _setting(path: Names, value: Shown, origins: Mapping[Names, str]) -> Setting:
    is_secret = len(path) > 1 and path[-2] == "args" and looks_secret(path[-1])
    if isinstance(value, str):
        value = hide_credentials(value)
    origin = origins.get(path[:2] if path[0] == GIVEN else path, DEFAULT)
    return Setting(key=dotted(path), value=None if is_secret else value, origin=origin, is_secret=is_secret)
