"""[io] How long the compile took, by BuildKit's own record of each build, whoever asked for it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_COMPILE = re.compile(r"\[(?:\S+ )?builder \d+/\d+\] RUN ")
"""How BuildKit calls the instruction that compiles: ``[linux/amd64 builder 4/4] RUN make ...``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertex:
    """One instruction that BuildKit carried out: seconds since the epoch at its start and at its end."""

    digest: str
    name: str
    started: float
    ended: float


class Records:
    """The records of the builds whose context is ``project``."""

    def __init__(self, project: Path, environment: Mapping[str, str]) -> None:
        self._project = project
        self._environment = environment
        self._seen = set(self._references())

    def new_compiles(self) -> tuple[Vertex, ...]:
        """Return what was compiled since the last call, each once, though several builds waited for it."""
        references = [name for name in self._references() if name not in self._seen]
        self._seen.update(references)
        return tuple({vertex.digest: vertex for name in references for vertex in self._compiles(name)}.values())

    def _references(self) -> list[str]:
        """Return the builds of the project that buildx remembers: a file for each, in its configuration."""
        found = []
        for path in self._folder().glob("*/*/*"):
            try:
                state = json.loads(path.read_bytes())
            except (OSError, json.JSONDecodeError):
                continue
            if state.get("LocalPath") == str(self._project):
                found.append(path.name)
        return found

    def _folder(self) -> Path:
        docker = self._environment.get("DOCKER_CONFIG") or Path(self._environment.get("HOME", "~")) / ".docker"
        return Path(self._environment.get("BUILDX_CONFIG") or Path(docker) / "buildx") / "refs"

    def _compiles(self, reference: str) -> Iterable[Vertex]:
        command = ["docker", "buildx", "history", "logs", "--progress=rawjson", reference]
        done = subprocess.run(command, env=dict(self._environment), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the engine has no record of a build any more: {done.stderr.strip()}")
        for line in (*done.stdout.splitlines(), *done.stderr.splitlines()):
            if line.startswith("{"):
                yield from parse_compiles(json.loads(line).get("vertexes") or [])


def parse_compiles(vertexes: Iterable[Mapping[str, object]]) -> Iterable[Vertex]:
    """Yield the compiles that ran to their end among BuildKit's vertices."""
    for one in vertexes:
        name, started, ended = str(one.get("name")), one.get("started"), one.get("completed")
        if _COMPILE.match(name) and started and ended and not one.get("cached"):
            yield Vertex(digest=str(one["digest"]), name=name, started=_seconds(started), ended=_seconds(ended))


def time_covered(vertices: Iterable[Vertex]) -> float:
    """Return the seconds during which at least one of ``vertices`` was at work."""
    covered, until = 0.0, float("-inf")
    for vertex in sorted(vertices, key=lambda one: one.started):
        covered += max(0.0, vertex.ended - max(vertex.started, until))
        until = max(until, vertex.ended)
    return covered


def _seconds(text: object) -> float:
    # Go writes nanoseconds, which Python does not read.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", str(text))).timestamp()
