"""[io] The configuration that counts for a command: buildonce.toml, the environment and the options."""

from __future__ import annotations

import os
import platform as host
from collections.abc import Mapping, Sequence
from dataclasses import replace
from glob import glob, has_magic
from pathlib import Path

from msgspec import structs

from buildonce.cli.build_flags import build_settings
from buildonce.cli.options import Asked, parse_build_args, parse_given, split_commas
from buildonce.errors import UsageError
from buildonce.oci import parse_platform
from buildonce.project.build_settings import BuildSettings
from buildonce.project.file_kinds import kind_of
from buildonce.project.forms import ENGINE, find_wrong
from buildonce.project.layers import Fallbacks, Layer, environment_layer, lay_over, resolve_layers
from buildonce.project.toml import Configuration
from buildonce.project.toml_file import load_declaration
from buildonce.run.project import OWN_FOLDER


async def effective_configuration(asked: Asked, folder: Path) -> Configuration:
    """Return what counts for the project in ``folder``. Raises `UsageError`."""
    environment = dict(os.environ)
    files = _named_files(asked.files, folder)
    kinds = {kind_of(file) for file in files}
    if len(kinds) > 1:
        raise UsageError(f"{', '.join(map(str, files))} are of several kinds", help="name files of one kind with -f")
    is_declared = bool(kinds) and kinds != {"Dockerfile"}
    declared = await _read(files, folder, environment) if is_declared else load_declaration(folder)
    asked = replace(asked, files=() if is_declared else files)
    layer = lay_over(environment_layer(environment), option_layer(asked, environment))
    own = str(own_folder(declared, asked))
    found = resolve_layers(
        declared, layer, Fallbacks(platform=str(parse_platform(f"linux/{host.machine()}")), folder=own)
    )
    return _reading(found) if asked.cache_read_only else found


def _reading(configuration: Configuration) -> Configuration:
    """Return a configuration of a run that may not write to the cache: it does not write to an engine's either."""
    declaration = configuration.declaration
    variants, linked = (
        tuple(structs.replace(one, build=_unwritten(one.build)) for one in targets)
        for targets in (declaration.variants, declaration.linked)
    )
    quiet = structs.replace(declaration, build=_unwritten(declaration.build), variants=variants, linked=linked)
    return structs.replace(configuration, declaration=quiet)


def _unwritten(build: BuildSettings) -> BuildSettings:
    return structs.replace(build, options=structs.replace(build.options, cache_to=()))


async def _read(files: Sequence[Path], folder: Path, environment: Mapping[str, str]) -> Configuration:
    """Return what bake files, a Compose file, or a file in our own format declare."""
    if any(kind_of(file) == "toml" for file in files):
        if len(files) > 1:
            raise UsageError(f"{', '.join(map(str, files))} are not merged", help="name one file with -f")
        _check_here(files[0], folder)
        return load_declaration(folder, files[0])
    from buildonce.run.declarations import find_declared

    found = await find_declared(folder, files, environment)
    return Configuration(file=found.source, declaration=found.declaration)


def _check_here(file: Path, folder: Path) -> None:
    """Raise `UsageError` for a file in our own format that is not in the project's folder."""
    if (folder / file).parent.resolve() != folder.resolve():
        raise UsageError(
            f"`{file}` is in another folder, which its paths are relative to",
            help=f"run the command in {file.parent}, with -f {file.name}",
        )


def _named_files(files: Sequence[Path], folder: Path) -> tuple[Path, ...]:
    """Return the files that are named, those that a pattern means in order. Raises `UsageError` if it means none."""
    found: dict[Path, None] = {}
    for file in files:
        names = [file]
        if has_magic(str(file)) and not os.path.lexists(folder / file):
            matches = sorted(glob(str(file), root_dir=folder))  # noqa: PTH207  Path.glob takes no absolute pattern
            names = [Path(name) for name in matches if _is_meant(folder / name)]
            if not names:
                raise UsageError(f"`-f {file}` matches no file", help="name a Dockerfile, or correct the pattern")
        found |= dict.fromkeys(names)
    return tuple(found)


def _is_meant(path: Path) -> bool:
    return path.is_file() and path.suffix != ".dockerignore"


def own_folder(declared: Configuration, asked: Asked) -> Path:
    """Return the folder for what stays on this machine: beside buildonce.toml, else in the build context."""
    return Path(OWN_FOLDER) if declared.file else (asked.context or Path()) / OWN_FOLDER


def option_layer(asked: Asked, environment: dict[str, str]) -> Layer:
    """Return what the options say. Raises `UsageError`."""
    if asked.push and asked.output:
        raise UsageError("--push and --output exclude each other", help="name one place for the images")
    if asked.engine and (wrong := find_wrong(ENGINE, asked.engine, "--engine")):
        raise UsageError(f"--engine: {wrong.message}", help=wrong.help)
    return Layer(
        dockerfiles=tuple(map(str, asked.files)),
        context=str(asked.context) if asked.context else None,
        platforms=split_commas(asked.platforms),
        build_platform=asked.build_platform,
        push=asked.push,
        output=asked.output,
        cache=asked.cache,
        tags=asked.tags,
        args=parse_build_args(asked.build_args, environment),
        contexts=_pairs(asked.build_contexts),
        engine=asked.engine,
        given={stage: {"/": path} for stage, path in parse_given(asked.given).items()},
        build=build_settings(asked),
    )


def _pairs(contexts: Sequence[str]) -> Mapping[str, str]:
    """Return named contexts by their names; what is no name and value is for its reader to refuse."""
    return {name: value for name, _, value in (pair.partition("=") for pair in contexts)}
