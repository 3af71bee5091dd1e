"""[io] Compose files on disk, and the file of variables beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from buildonce.errors import ConfigurationError
from buildonce.project.compose import overrides_builds, read_compose
from buildonce.project.declaration import Declaration
from buildonce.project.dotenv import read_dotenv
from buildonce.project.values import LONGEST_DOCUMENT

COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""The files that Compose looks for where none is named; the first that is there counts (compose-go, cli/options.go)."""

_OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_SETTINGS = ("COMPOSE_FILE", "COMPOSE_ENV_FILES")
_NO_DOTENV = "COMPOSE_DISABLE_ENV_FILE"


def find_compose_file(folder: Path) -> Path | None:
    """Return the Compose file that ``folder`` has, as Compose finds it, or None."""
    return next((folder / name for name in COMPOSE_FILES if (folder / name).is_file()), None)


def load_compose(folder: Path, *, environment: Mapping[str, str], file: Path | None = None) -> Declaration:
    """Return the variants of a Compose file in a project's folder; paths in them are relative to that folder.

    ``file`` is relative to the folder; where it is not named, it is the one that Compose finds there, and an override
    file that changes what is built is an error. Variables come from ``environment``, then from the file .env beside.
    Raises `ConfigurationError`.
    """
    path = folder / file if file else find_compose_file(folder)
    if path is None:
        raise ConfigurationError(
            f"there is no Compose file in {folder}", help=f"Compose files are called {', '.join(COMPOSE_FILES)}"
        )
    if not path.is_file():
        raise ConfigurationError(f"there is no Compose file {path}")
    variables = _variables(path.parent, environment)
    if file is None:
        _check_alone(path, variables)
    return read_compose(_read(path), path=str(file or path.name), environment=variables)


def _variables(folder: Path, environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment and, where it does not say otherwise, what the file .env in the folder has."""
    file = folder / ".env"
    if environment.get(_NO_DOTENV, "").lower() in ("1", "true") or not file.is_file():
        return environment
    return {**read_dotenv(_read(file), path=".env", environment=environment), **environment}


def _check_alone(path: Path, variables: Mapping[str, str]) -> None:
    """Raise `ConfigurationError` where Compose would read other files, or more than this one."""
    for name in _SETTINGS:
        if variables.get(name):
            raise ConfigurationError(
                f"{name} is set, which names other files than {path.name}", help="unset it, or name the Compose file"
            )
    override = next((path.parent / name for name in _OVERRIDES if (path.parent / name).is_file()), None)
    if override and overrides_builds(_read(override), path=override.name):
        raise ConfigurationError(
            f"{override.name} changes what the services of {path.name} build, and is not merged with it yet",
            help=f"name {path.name} if it counts alone; or write what is built into it",
        )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST_DOCUMENT + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
