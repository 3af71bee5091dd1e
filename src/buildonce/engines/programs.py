"""[io] The programs that engines are, found on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

_SYSTEM_FOLDERS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
"""Where `docker` looks for plug-ins after the user's own folders (docker/cli, cli-plugins/manager/manager_unix.go)."""


class _DockerConfig(msgspec.Struct, frozen=True):
    folders: tuple[str, ...] = msgspec.field(default=(), name="cliPluginsExtraDirs")


def buildx_command(environment: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the words that buildx is called with, or None where there is no buildx.

    It is called by itself where ``docker`` would find it: through ``docker``, each call would start two more programs.
    """
    for folder in _plugin_folders(environment):
        program = folder / "docker-buildx"
        if program.is_file() and os.access(program, os.X_OK):
            return (str(program),)
    path = environment.get("PATH")
    if shutil.which("docker", path=path):
        return ("docker", "buildx")
    alone = shutil.which("docker-buildx", path=path)
    return (alone,) if alone else None


def _plugin_folders(environment: Mapping[str, str]) -> Iterator[Path]:
    home = environment.get("HOME") or str(Path("~").expanduser())
    own = Path(environment.get("DOCKER_CONFIG") or Path(home) / ".docker")
    yield own / "cli-plugins"
    try:
        config = msgspec.json.decode((own / "config.json").read_bytes(), type=_DockerConfig)
    except (OSError, msgspec.DecodeError):
        config = _DockerConfig()
    yield from map(Path, (*config.folders, *_SYSTEM_FOLDERS))
