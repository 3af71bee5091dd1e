"""[io] Which engine a run works with: the one that is asked for, else the first that is there."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from buildonce.engines.buildah import Buildah
from buildonce.engines.buildx import Buildx
from buildonce.engines.process import run_process
from buildonce.engines.programs import buildx_command
from buildonce.engines.protocol import Engine
from buildonce.engines.traits import OLDEST_BUILDAH, Version, buildah_traits, parse_version, spelt
from buildonce.errors import EngineUnavailable, UsageError
from buildonce.events import Emit

SETTING = "BUILDONCE_ENGINE"
_PATIENCE = 30.0


class EngineKind(Enum):
    """The engines there are, the preferred first."""

    BUILDX = "buildx"
    BUILDAH = "buildah"
    PODMAN = "podman"


class AskedEngine(Struct, frozen=True):
    """The engine that is asked for, and what asks for it: ``--engine``, a variable, or a line of a file."""

    kind: EngineKind
    origin: str


_LOOKED_FOR = {
    EngineKind.BUILDX: "`docker`, or the plug-in `docker-buildx`",
    EngineKind.BUILDAH: "`buildah`",
    EngineKind.PODMAN: "`podman`",
}
_VERSIONS = {
    EngineKind.BUILDAH: ("--version",),
    EngineKind.PODMAN: ("info", "--format", "{{.Host.BuildahVersion}}"),
}
"""What has a program say which Buildah it is."""


async def find_engine(environment: Mapping[str, str], emit: Emit, asked: AskedEngine | None = None) -> Engine:
    """Return the engine that is ``asked`` for, else the one that the environment asks for, else the first there is.

    Raises `UsageError` for an engine that does not exist, and `EngineUnavailable`, with what was looked for, where
    there is none. buildx is not asked whether its engine answers: that takes as long as a small build.
    """
    asked = asked or asked_engine(environment)
    silent: Buildx | None = None
    for kind in (asked.kind,) if asked else EngineKind:
        command = engine_command(kind, environment)
        if command is None:
            continue
        if kind is EngineKind.BUILDX:
            buildx = Buildx(command=command, environment=dict(environment), emit=emit)
            if asked or command[0] != "docker" or await _answers(command, environment):
                return buildx
            silent = buildx  # a docker without the plug-in, or another program under its name
            continue
        traits = buildah_traits(await buildah_version(kind, command, environment), podman=kind is EngineKind.PODMAN)
        return Buildah(command=command, traits=traits, environment=dict(environment), emit=emit)
    if silent:
        return silent
    raise _nothing(asked)


async def _answers(command: tuple[str, ...], environment: Mapping[str, str]) -> bool:
    """Say whether a program is there after all."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await run_process((*command, "version"), environment=environment, on_line=lambda _: None) == 0
    except (OSError, TimeoutError):
        return False


def asked_engine(environment: Mapping[str, str]) -> AskedEngine | None:
    """Return the engine that the environment asks for. Raises `UsageError` for one that does not exist."""
    return parse_engine(environment.get(SETTING), SETTING)


def parse_engine(asked: str | None, origin: str) -> AskedEngine | None:
    """Return the engine of a name, which ``origin`` asks for. Raises `UsageError` for one that does not exist."""
    if not asked:
        return None
    try:
        return AskedEngine(EngineKind(asked), origin)
    except ValueError:
        names = ", ".join(kind.value for kind in EngineKind)
        raise UsageError(f"{origin} is `{asked}`, which is no engine", help=f"the engines are {names}") from None


def engine_command(kind: EngineKind, environment: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the words that an engine is called with, or None where it is not on this machine."""
    if kind is EngineKind.BUILDX:
        return buildx_command(environment)
    found = shutil.which(kind.value, path=environment.get("PATH"))
    return (found,) if found else None


async def buildah_version(kind: EngineKind, command: tuple[str, ...], environment: Mapping[str, str]) -> Version:
    """Return which Buildah a program is. Raises `EngineUnavailable` if it does not say, or is too old."""
    question = " ".join((kind.value, *_VERSIONS[kind]))
    lines: list[str] = []
    try:
        async with asyncio.timeout(_PATIENCE):
            status = await run_process((*command, *_VERSIONS[kind]), environment=environment, on_line=lines.append)
    except (OSError, TimeoutError) as error:
        raise EngineUnavailable(f"`{question}` did not answer", notes=tuple(lines[-3:])) from error
    version = parse_version(lines[-1] if lines else "")
    if status != 0 or not version:
        raise EngineUnavailable(
            f"`{question}` ended with status {status}, and names no version", notes=tuple(lines[-3:])
        )
    if version < OLDEST_BUILDAH:
        raise EngineUnavailable(
            f"this {kind.value} is Buildah {spelt(version)}, which is too old",
            help=f"install version {spelt(OLDEST_BUILDAH)} or newer, or Docker with buildx",
        )
    return version


def _nothing(asked: AskedEngine | None) -> EngineUnavailable:
    if asked:
        return EngineUnavailable(
            f"the engine {asked.kind.value} is not on this machine: there is no {_LOOKED_FOR[asked.kind]}",
            notes=(f"{asked.origin} asks for it",),
            help="install it, or ask for none to take whichever engine there is",
        )
    return EngineUnavailable(
        "no build engine was found on this machine",
        notes=(f"looked for {'; '.join(_LOOKED_FOR.values())}",),
        help="install Docker with buildx or Buildah, or use a store in which everything is built already",
    )
