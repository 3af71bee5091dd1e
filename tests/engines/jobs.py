"""Jobs for engines, and engines that are shell scripts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from buildonce.engines.protocol import BuildJob
from buildonce.events import Activity
from buildonce.oci import parse_platform


def make_job(
    folder: Path,
    *,
    dockerfile: str = "FROM scratch\n",
    target: str = "",
    contexts: Mapping[str, str] | None = None,
    compress: bool = False,
    known_layers: frozenset[str] = frozenset(),
) -> BuildJob:
    """Return a job with a context and an empty output folder below ``folder``."""
    (folder / "context").mkdir(parents=True, exist_ok=True)
    (folder / "output").mkdir()
    return BuildJob(
        activity=Activity.COMPILE,
        node="builder linux/amd64",
        dockerfile=dockerfile,
        ignore="",
        context=folder / "context",
        target=target,
        platform=parse_platform("linux/amd64"),
        output=folder / "output",
        named_contexts=contexts or {},
        compress=compress,
        path="images/Dockerfile",
        known_layers=known_layers,
    )


def write_program(path: Path, script: str) -> Path:
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
