"""The layers of a configuration: a default, below the file, below the environment, below the command line.

What a higher layer says counts for every variant, also for one with a value of its own in the file. Some keys are
kinder than that: of the platforms that a variant names for itself, a higher layer chooses; arguments, named contexts
and given files are added one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct, field
from msgspec.structs import replace

from buildonce.dockerfile.problems import did_you_mean
from buildonce.errors import ConfigurationError
from buildonce.oci import parse_platform
from buildonce.project.build_settings import NAMES, BuildSettings
from buildonce.project.build_settings import lay_over as lay_settings
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.forms import find_wrong
from buildonce.project.keys import CONTEXT, DOCKERFILE, PROJECT_KEYS, VARIANTS, Shape
from buildonce.project.templates import VARIANT, fill
from buildonce.project.toml import Configuration, Names
from buildonce.reference import Repository
from buildonce.store.opening import parse_store

DEFAULT = "default"
"""The origin of what nobody said."""

BUILD_PLATFORM = "linux/amd64"

VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "platforms": "BUILDONCE_PLATFORM",
        "build-platform": "BUILDONCE_BUILD_PLATFORM",
        "push": "BUILDONCE_PUSH",
        "output": "BUILDONCE_OUTPUT",
        "cache": "BUILDONCE_CACHE",
        "tags": "BUILDONCE_TAG",
        "default": "BUILDONCE_DEFAULT",
        "latest": "BUILDONCE_LATEST",
        "engine": "BUILDONCE_ENGINE",
    }
)
"""The environment variable of each key that has one; several values are separated by commas."""

FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "dockerfile": "--file",
        "context": "--context",
        "platforms": "--platform",
        "build-platform": "--build-platform",
        "push": "--push",
        "output": "--output",
        "cache": "--cache",
        "tags": "--tag",
        "args": "--build-arg",
        "contexts": "--build-context",
        "given": "--given",
        "engine": "--engine",
        "labels": "--label",
        "annotations": "--annotation",
        "network": "--network",
        "extra-hosts": "--add-host",
        "ulimits": "--ulimit",
        "shm-size": "--shm-size",
        "allow": "--allow",
        "secrets": "--secret",
        "ssh": "--ssh",
        "cache-from": "--cache-from",
        "cache-to": "--cache-to",
        "no-cache": "--no-cache",
        "no-cache-filter": "--no-cache-filter",
    }
)
"""The option of each key that has one."""

_PROJECT_FIELDS = {
    "dockerfile": "dockerfiles",
    "build-platform": "build_platform",
    **{name: name for name in ("context", "platforms", "cache", "tags", "default", "latest", "engine")},
}

_ADDED = ("args", "contexts", "given")
"""What a layer adds to, name by name."""


class Layer(Struct, frozen=True, kw_only=True):
    """What the environment or the command line says; None and empty where it says nothing.

    ``origins`` has a name for each key that it says something about: ``--push`` for ``push``.
    """

    dockerfiles: tuple[str, ...] = ()
    context: str | None = None
    platforms: tuple[str, ...] = ()
    build_platform: str | None = None
    push: str | None = None
    output: str | None = None
    cache: str | None = None
    tags: tuple[str, ...] = ()
    default: str | None = None
    latest: str | None = None
    engine: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    build: BuildSettings = field(default_factory=BuildSettings)
    origins: Mapping[str, str] = FLAGS


class Fallbacks(Struct, frozen=True, kw_only=True):
    """What counts where nobody says anything: this machine's platform, and the folder for what stays on it."""

    platform: str
    folder: str


def environment_layer(environment: Mapping[str, str]) -> Layer:
    """Return what the environment says; an empty variable says nothing. Raises `ConfigurationError`."""
    wrong: list[str] = []
    values: dict[str, str | tuple[str, ...]] = {}
    for name, variable in VARIABLES.items():
        if f"{variable}S" in environment:
            wrong.append(f"{variable}S is not read; the variable is called {variable}")
        if text := environment.get(variable, "").strip():
            key = PROJECT_KEYS[name]
            parts = tuple(part.strip() for part in text.split(",") if part.strip())
            values[name] = parts if key.shape is Shape.ARRAY else text
            found = [find_wrong(key.form, part, variable) for part in (parts if key.shape is Shape.ARRAY else (text,))]
            wrong += [f"{variable}: {one.message}; {one.help}" for one in found if one]
    if "push" in values and "output" in values:
        wrong.append(f"{VARIABLES['push']} and {VARIABLES['output']} exclude each other; name one place for the images")
    if wrong:
        raise ConfigurationError(
            wrong[0], notes=tuple(wrong[1:]), help="correct it, or remove the variable from the environment"
        )
    return Layer(
        platforms=_several(values, "platforms"),
        build_platform=_one(values, "build-platform"),
        push=_one(values, "push"),
        output=_one(values, "output"),
        cache=_one(values, "cache"),
        tags=_several(values, "tags"),
        default=_one(values, "default"),
        latest=_one(values, "latest"),
        engine=_one(values, "engine"),
        origins={name: f"environment {variable}" for name, variable in VARIABLES.items()},
    )


def _one(values: Mapping[str, str | tuple[str, ...]], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) else None


def _several(values: Mapping[str, str | tuple[str, ...]], name: str) -> tuple[str, ...]:
    value = values.get(name)
    return value if isinstance(value, tuple) else ()


def lay_over(lower: Layer, upper: Layer) -> Layer:
    """Return the two as one; what the upper says counts."""
    has_place = bool(upper.push or upper.output)
    return Layer(
        dockerfiles=upper.dockerfiles or lower.dockerfiles,
        context=upper.context or lower.context,
        platforms=upper.platforms or lower.platforms,
        build_platform=upper.build_platform or lower.build_platform,
        push=upper.push if has_place else lower.push,
        output=upper.output if has_place else lower.output,
        cache=upper.cache or lower.cache,
        tags=upper.tags or lower.tags,
        default=upper.default or lower.default,
        latest=upper.latest or lower.latest,
        engine=upper.engine or lower.engine,
        args={**lower.args, **upper.args},
        contexts={**lower.contexts, **upper.contexts},
        given={**lower.given, **upper.given},
        build=lay_settings(lower.build, upper.build),
        origins={**lower.origins, **{name: upper.origins[name] for name in _said(upper)}},
    )


def _said(layer: Layer) -> tuple[str, ...]:
    """Return the keys that a layer says something about."""
    fields = {**_PROJECT_FIELDS, "push": "push", "output": "output", **{name: name for name in _ADDED}}
    return (*(name for name, attribute in fields.items() if getattr(layer, attribute)), *layer.build.values())


def resolve_layers(declared: Configuration, layer: Layer, fallbacks: Fallbacks) -> Configuration:
    """Return what counts, with its origins: the file's declaration below ``layer``, defaults for what nobody says.

    With Dockerfiles in the layer the file's variants do not count: those are built that are in these Dockerfiles.
    Raises `ConfigurationError` if no variant is for the platforms that the layer chooses.
    """
    declaration, origins = declared.declaration, dict(declared.origins)
    changes = {attribute: value for attribute in _PROJECT_FIELDS.values() if (value := getattr(layer, attribute))}
    if layer.push or layer.output:
        changes |= {"push": layer.push, "output": layer.output}
        origins = {path: origin for path, origin in origins.items() if path not in (("push",), ("output",))}
    if not layer.dockerfiles:
        _check_default(layer, [variant.name for variant in declaration.variants])
    variants, left_out = _lay_variants(() if layer.dockerfiles else declaration.variants, layer)
    laid = replace(
        declaration,
        **changes,
        variants=variants,
        args={**declaration.args, **layer.args},
        contexts={**declaration.contexts, **layer.contexts},
        given={**declaration.given, **layer.given},
        build=lay_settings(declaration.build, layer.build),
        linked=tuple(replace(_lay_variant(one, layer), platforms=one.platforms) for one in declaration.linked),
    )
    for name in _said(layer):
        if name not in (*_ADDED, *NAMES):
            origins[name,] = layer.origins[name]
    origins |= _each(layer, ())
    for stage in layer.given:
        origins["given", stage] = layer.origins["given"]
    for variant in laid.variants:
        origins |= _variant_origins(variant, layer)
    there = {path: origin for path, origin in origins.items() if _is_there(path, laid)}
    filled = _fill(laid, fallbacks)
    return Configuration(file=declared.file, declaration=filled, origins=MappingProxyType(there), left_out=left_out)


def _check_default(layer: Layer, names: Sequence[str]) -> None:
    """Raise `ConfigurationError` for a default that is no variant; the file's own was looked at when it was read."""
    if layer.default and names and layer.default not in names:
        raise ConfigurationError(
            f"there is no variant `{layer.default}` that could be the default",
            notes=(f"{layer.origins['default'].removeprefix('environment ')} says so",),
            help=did_you_mean(layer.default, names) or f"the variants are {', '.join(names)}",
        )


def _each(layer: Layer, table: Names) -> dict[Names, str]:
    """Return the origins of what a layer adds to a table."""
    said = layer.build.values()
    tables = {key: value for key, value in said.items() if isinstance(value, Mapping)}
    added = {"args": layer.args, "contexts": layer.contexts, **tables}
    found: dict[Names, str] = {(*table, key): layer.origins[key] for key in said if key not in tables}
    return found | {(*table, key, name): layer.origins[key] for key, values in added.items() for name in values}


def _variant_origins(variant: VariantDeclaration, layer: Layer) -> dict[Names, str]:
    table = (VARIANTS, variant.name)
    found = _each(layer, table)
    if layer.context:
        found[*table, "context"] = layer.origins["context"]
    if layer.platforms and variant.platforms:
        found[*table, "platforms"] = layer.origins["platforms"]
    return found


def _lay_variants(
    variants: tuple[VariantDeclaration, ...], layer: Layer
) -> tuple[tuple[VariantDeclaration, ...], tuple[VariantDeclaration, ...]]:
    """Return the variants that are for the platforms of the layer, and those that are not."""
    laid = [(_lay_variant(variant, layer), variant) for variant in variants]
    left = tuple(one for one, before in laid if one.platforms or not before.platforms)
    if variants and not left:
        named = {variant.name: ", ".join(variant.platforms) for variant in variants}
        raise ConfigurationError(
            f"no variant is for {', '.join(layer.platforms)}, which {layer.origins['platforms']} asks for",
            notes=tuple(f"`{name}` is for {platforms}" for name, platforms in named.items()),
            help="choose among these platforms, or add one to the variant's `platforms`",
        )
    return left, tuple(one for one, before in laid if before.platforms and not one.platforms)


def _lay_variant(variant: VariantDeclaration, layer: Layer) -> VariantDeclaration:
    wanted = {parse_platform(text) for text in layer.platforms}
    chosen = tuple(text for text in variant.platforms if not wanted or parse_platform(text) in wanted)
    return replace(
        variant,
        context=layer.context or variant.context,
        args={**variant.args, **layer.args},
        contexts={**variant.contexts, **layer.contexts},
        build=lay_settings(variant.build, layer.build),
        platforms=chosen,
        tags=() if layer.tags else variant.tags,
        push=None if layer.push or layer.output else variant.push,
    )


def _is_there(path: Names, declaration: Declaration) -> bool:
    """Say whether what an origin is about is still declared."""
    if path[0] != VARIANTS:
        return True
    variant = next((one for one in declaration.variants if one.name == path[1]), None)
    own = {"push": variant.push, "tags": variant.tags, "platforms": variant.platforms} if variant else {}
    return variant is not None and (len(path) != 3 or bool(own.get(path[2], True)))


def _fill(declaration: Declaration, fallbacks: Fallbacks) -> Declaration:
    """Return the declaration with defaults for what is not in it."""
    output = declaration.output if declaration.push else declaration.output or f"oci:{fallbacks.folder}/images"
    place = declaration.push or output or ""
    return replace(
        declaration,
        dockerfiles=declaration.dockerfiles or (DOCKERFILE,),
        context=declaration.context or CONTEXT,
        platforms=declaration.platforms or (fallbacks.platform,),
        build_platform=declaration.build_platform or BUILD_PLATFORM,
        output=output,
        cache=declaration.cache or _default_cache(declaration.push, fallbacks),
        tags=declaration.tags or (() if VARIANT in place else (VARIANT,)),
        latest=declaration.latest or "never",
    )


def _default_cache(push: str | None, fallbacks: Fallbacks) -> str:
    if push is None:
        return f"oci:{fallbacks.folder}/cache"
    if VARIANT in push:
        return fill(push, variant="cache")
    place = parse_store(push)
    return str(place.beside("-cache")) if isinstance(place, Repository) else f"oci:{fallbacks.folder}/cache"
