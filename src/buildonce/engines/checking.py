"""[io] Which build engine there is and what it can do. Nothing is built, and nothing is started."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from buildonce.checks import Answer, Check, Findings
from buildonce.engines.process import run_process
from buildonce.engines.programs import buildx_command

_PATIENCE = 15.0
_NOT_NEEDED = "cores and bases that the cache has need no engine"
_CONTAINERD = "io.containerd.snapshotter"


async def check_engine(environment: Mapping[str, str]) -> Findings:
    """Return what is there to build with."""
    command = buildx_command(environment)
    if command is None:
        return Findings(checks=(Check(subject="engine", answer=Answer.NO, seen="no `docker`", meaning=_NOT_NEEDED),))
    version = await _ask((*command, "version"), environment)
    if version is None:
        meaning = "install the plug-in buildx for the `docker` command"
        return Findings(checks=(Check(subject="engine", answer=Answer.FAILED, seen="no buildx", meaning=meaning),))
    name = " ".join(("docker buildx", *version.split()[1:2]))
    inspected = await _ask((*command, "inspect"), environment)
    if inspected is None:
        meaning = f"start Docker, or point DOCKER_HOST at a running one; {_NOT_NEEDED}"
        return Findings(
            checks=(Check(subject="engine", answer=Answer.FAILED, seen=f"{name}: no answer", meaning=meaning),)
        )
    fields = read_fields(inspected)
    driver = fields.get("Driver", "?")
    builder = f"{name}, builder `{fields.get('Name', '?')}`, driver `{driver}`"
    checks = [Check(subject="engine", answer=Answer.YES, seen=builder)]
    if platforms := fields.get("Platforms"):
        meaning = "what is not here needs another builder, or emulation"
        checks.append(Check(subject="platforms", answer=Answer.YES, seen=platforms, meaning=meaning))
    if driver == "docker":
        checks.append(await _check_store(environment))
    return Findings(checks=tuple(checks))


def read_fields(text: str) -> Mapping[str, str]:
    """Return the fields that `docker buildx inspect` prints, the first of each name: the builder's own."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and not name.startswith(" ") and value.strip():
            fields.setdefault(name.strip(), value.strip())
    return fields


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
