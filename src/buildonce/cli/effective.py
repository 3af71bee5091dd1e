"""[io] The configuration that counts for a command: buildonce.toml, the environment and the options."""

from __future__ import annotations

import os
import platform as host
from collections.abc import Mapping, Sequence
from pathlib import Path

from buildonce.cli.options import Asked, parse_build_args, split_commas
from buildonce.errors import UsageError
from buildonce.oci import parse_platform
from buildonce.project.layers import Fallbacks, Layer, environment_layer, lay_over, resolve_layers
from buildonce.project.loading import load_declaration
from buildonce.project.toml import Configuration
from buildonce.run.project import OWN_FOLDER


def effective_configuration(asked: Asked, folder: Path) -> Configuration:
    """Return what counts for the project in ``folder``. Raises `UsageError`."""
    environment = dict(os.environ)
    declared = load_declaration(folder)
    layer = lay_over(environment_layer(environment), option_layer(asked, environment))
    own = str(own_folder(declared, asked))
    return resolve_layers(
        declared, layer, Fallbacks(platform=str(parse_platform(f"linux/{host.machine()}")), folder=own)
    )


def own_folder(declared: Configuration, asked: Asked) -> Path:
    """Return the folder for what stays on this machine: beside buildonce.toml, else in the build context."""
    return Path(OWN_FOLDER) if declared.file else (asked.context or Path()) / OWN_FOLDER


def option_layer(asked: Asked, environment: dict[str, str]) -> Layer:
    """Return what the options say. Raises `UsageError`."""
    if asked.push and asked.output:
        raise UsageError("--push and --output exclude each other", help="name one place for the images")
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
    )


def _pairs(contexts: Sequence[str]) -> Mapping[str, str]:
    """Return named contexts by their names; what is no name and value is for its reader to refuse."""
    return {name: value for name, _, value in (pair.partition("=") for pair in contexts)}
