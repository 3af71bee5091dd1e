"""[io] Which build engines there are and what they can do. Nothing is built, and nothing is started."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from buildonce.checks import Answer, Check, Findings
from buildonce.engines.builders import Builder, Node, read_builder
from buildonce.engines.finding import AskedEngine, EngineKind, asked_engine, buildah_version, engine_command
from buildonce.engines.process import run_process
from buildonce.engines.traits import EngineTraits, buildah_traits
from buildonce.errors import EngineUnavailable

_PATIENCE = 15.0
_NOT_NEEDED = "cores and bases that the cache has need no engine"
_EMULATORS = Path("/proc/sys/fs/binfmt_misc")
_EMULATOR = re.compile(r"^enabled\ninterpreter \S*/qemu-(\w+)")
"""The beginning of what the kernel says of a registration."""


async def check_engine(environment: Mapping[str, str], asked: AskedEngine | None = None) -> Findings:
    """Return what is there to build with: what a build takes first, which is what is ``asked`` for.

    Raises `UsageError` if no such engine exists.
    """
    asked = asked or asked_engine(environment)
    found = {kind: command for kind in EngineKind if (command := engine_command(kind, environment))}
    checks = [] if asked is None or asked.kind in found else [_absent(asked)]
    for kind in sorted(found, key=lambda kind: asked is None or kind is not asked.kind):
        check = _check_buildx if kind is EngineKind.BUILDX else _check_buildah
        checks += await check(kind, found[kind], environment)
    if not checks:
        seen = "no `docker` and no `buildah` and no `podman`"
        checks.append(Check(subject="engine", answer=Answer.NO, seen=seen, meaning=_NOT_NEEDED))
    return Findings(checks=tuple(checks))


def _absent(asked: AskedEngine) -> Check:
    meaning = f"{asked.origin} asks for it: install it, or ask for no engine"
    return Check(subject="engine", answer=Answer.FAILED, seen=f"no `{asked.kind.value}`", meaning=meaning)


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
    checks += (_check_node(node, builder) for node in builder.nodes)
    if builder.driver == "docker":
        checks.append(_check_store(builder, environment))
    return checks


def _check_node(node: Node, builder: Builder) -> Check:
    subject = "platforms" if len(builder.nodes) == 1 else f"platforms of `{node.name}`"
    if not node.platforms:
        return Check(subject=subject, answer=Answer.UNTRIED, meaning="known once the node runs; a build starts it")
    meaning = "what is not here needs another builder, or emulation"
    return Check(subject=subject, answer=Answer.YES, seen=node.platforms, meaning=meaning)


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
        Check(subject="engine", answer=Answer.YES, seen=seen, meaning=f"--engine {kind.value} builds with it"),
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


def _check_store(builder: Builder, environment: Mapping[str, str]) -> Check:
    """Say how images get out of Docker's own driver: as layouts with containerd's image store alone."""
    subject = "containerd's image store"
    if builder.writes_layouts:
        return Check(subject=subject, answer=Answer.YES)
    if shutil.which("docker", path=environment.get("PATH")):
        meaning = "images are saved out of Docker's own store, under a name that they have no longer than that takes"
        return Check(subject=subject, answer=Answer.NO, meaning=meaning)
    meaning = (
        "images are saved out of Docker's own store, and there is no `docker` command for that: install it, "
        "or make a builder with `docker buildx create --use`"
    )
    return Check(subject=subject, answer=Answer.FAILED, meaning=meaning)


async def _ask(argv: Sequence[str], environment: Mapping[str, str]) -> str | None:
    lines: list[str] = []
    try:
        async with asyncio.timeout(_PATIENCE):
            status = await run_process(argv, environment=environment, on_line=lines.append)
    except (OSError, TimeoutError):
        return None
    return "\n".join(lines) if status == 0 else None
