"""[io] Which build engines there are and what they can do. Nothing is built, and nothing is started."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from buildonce.checks import Answer, Check, Findings
from buildonce.engines.builders import read_builder
from buildonce.engines.finding import SETTING, EngineKind, asked_engine, buildah_version, engine_command
from buildonce.engines.process import run_process
from buildonce.engines.traits import EngineTraits, buildah_traits
from buildonce.errors import EngineUnavailable

_PATIENCE = 15.0
_NOT_NEEDED = "cores and bases that the cache has need no engine"
_CONTAINERD = "io.containerd.snapshotter"
_EMULATORS = Path("/proc/sys/fs/binfmt_misc")
_EMULATOR = re.compile(r"^enabled\ninterpreter \S*/qemu-(\w+)")
"""The beginning of what the kernel says of a registration."""


async def check_engine(environment: Mapping[str, str]) -> Findings:
    """Return what is there to build with: what a build takes first. Raises `UsageError` if no such engine exists."""
    asked = asked_engine(environment)
    found = {kind: command for kind in EngineKind if (command := engine_command(kind, environment))}
    checks = [] if asked is None or asked in found else [_absent(asked)]
    for kind in sorted(found, key=lambda kind: kind is not asked):
        check = _check_buildx if kind is EngineKind.BUILDX else _check_buildah
        checks += await check(kind, found[kind], environment)
    if not checks:
        seen = "no `docker` and no `buildah` and no `podman`"
        checks.append(Check(subject="engine", answer=Answer.NO, seen=seen, meaning=_NOT_NEEDED))
    return Findings(checks=tuple(checks))


def _absent(asked: EngineKind) -> Check:
    meaning = f"{SETTING} asks for it: install it, or unset {SETTING}"
    return Check(subject="engine", answer=Answer.FAILED, seen=f"no `{asked.value}`", meaning=meaning)


async def _check_buildx(_: EngineKind, command: Sequence[str], environment: Mapping[str, str]) -> list[Check]:
    version = await _ask((*command, "version"), environment)
    if version is None:
        meaning = "install the plug-in buildx for the `docker` command"
        return [Check(subject="engine", answer=Answer.FAILED, seen="no buildx", meaning=meaning)]
    name = " ".join(("docker buildx", *version.split()[1:2]))
    inspected = await _ask((*command, "inspect"), environment)
    if inspected is None:
        meaning = f"start Docker, or point DOCKER_HOST at a running one; {_NOT_NEEDED}"
        return [Check(subject="engine", answer=Answer.FAILED, seen=f"{name}: no answer", meaning=meaning)]
    builder = read_builder(inspected)
    seen = f"{name}, builder `{builder.name}`, driver `{builder.driver}`"
    checks = [Check(subject="engine", answer=Answer.YES, seen=seen)]
    meaning = "what is not here needs another builder, or emulation"
    for node in builder.nodes:
        subject = "platforms" if len(builder.nodes) == 1 else f"platforms of `{node.name}`"
        checks.append(Check(subject=subject, answer=Answer.YES, seen=node.platforms, meaning=meaning))
    if builder.driver == "docker":
        checks.append(await _check_store(environment))
    return checks


async def _check_buildah(kind: EngineKind, command: Sequence[str], environment: Mapping[str, str]) -> list[Check]:
    try:
        version = await buildah_version(kind, tuple(command), environment)
    except EngineUnavailable as error:
        return [Check(subject="engine", answer=Answer.FAILED, seen=error.message, meaning=error.help or "")]
    traits = buildah_traits(version, podman=kind is EngineKind.PODMAN)
    isolation = environment.get("BUILDAH_ISOLATION")
    seen = ", ".join((traits.name, *((f"isolation `{isolation}`",) if isolation else ())))
    emulated = ", ".join(emulated_platforms(_EMULATORS))
    others = Answer.YES if emulated else Answer.NO
    return [
        Check(subject="engine", answer=Answer.YES, seen=seen, meaning=f"{SETTING}={kind.value} builds with it"),
        Check(subject="other platforms", answer=others, seen=emulated, meaning="what QEMU is registered for"),
        _check_features(traits),
    ]


def _check_features(traits: EngineTraits) -> Check:
    missing = ", ".join(sorted(feature.value for feature in traits.lacks))
    answer = Answer.NO if missing else Answer.YES
    meaning = "a Dockerfile that needs one of them is refused before anything is built"
    return Check(subject="all of BuildKit's Dockerfile", answer=answer, seen=f"not {missing}", meaning=meaning)


def emulated_platforms(folder: Path) -> Iterator[str]:
    """Yield the machines whose programs the kernel hands to QEMU, as QEMU calls them."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        found = _EMULATOR.search(path.read_text()) if path.name not in ("register", "status") else None
        if found:
            yield found[1]


async def _check_store(environment: Mapping[str, str]) -> Check:
    """Say whether Docker's own driver can export what is needed: it does with containerd's image store alone."""
    status = await _ask(("docker", "info", "--format", "{{json .DriverStatus}}"), environment)
    is_there = status is not None and _CONTAINERD in status
    meaning = (
        ""
        if is_there
        else "switch on containerd's image store in Docker's settings, or make a builder with"
        " `docker buildx create --use`"
    )
    answer = Answer.UNTRIED if status is None else Answer.YES if is_there else Answer.NO
    return Check(subject="containerd's image store", answer=answer, meaning=meaning)


async def _ask(argv: Sequence[str], environment: Mapping[str, str]) -> str | None:
    lines: list[str] = []
    try:
        async with asyncio.timeout(_PATIENCE):
            status = await run_process(argv, environment=environment, on_line=lines.append)
    except (OSError, TimeoutError):
        return None
    return "\n".join(lines) if status == 0 else None
