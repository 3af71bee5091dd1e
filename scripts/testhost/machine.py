"""Finds out what `decide` wants to know. [io]"""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from pathlib import Path

from .decide import Machine, parse_builder
from .process import Runner

SHORT = 30
PROBED_IMAGE = "docker.io/library/busybox:1.36-glibc"

_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}


def probe(runner: Runner, os_release: Path = Path("/etc/os-release")) -> Machine:
    """Return the facts; asks no further than the first obstacle."""
    bare = Machine(architecture=architecture(), is_root=os.geteuid() == 0, debian=debian_codename(os_release))
    info = runner(["docker", "info", "--format", "{{json .DriverStatus}}"], timeout=SHORT)
    builder = runner(["docker", "buildx", "inspect", "--bootstrap"], timeout=4 * SHORT) if info.code == 0 else info
    if info.code or builder.code:
        return bare
    driver, platforms = parse_builder(builder.out)
    image = runner(["docker", "buildx", "imagetools", "inspect", PROBED_IMAGE], timeout=SHORT)
    return replace(
        bare,
        driver=driver,
        has_containerd_store="io.containerd.snapshotter" in info.out,
        platforms=platforms,
        reaches_public_images=image.code == 0,
    )


def debian_codename(os_release: Path = Path("/etc/os-release")) -> str:
    """Return the codename of the Debian that this is, or nothing if it is another system."""
    try:
        lines = os_release.read_text().splitlines()
    except OSError:
        return ""
    fields = {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}
    return fields.get("VERSION_CODENAME", "") if fields.get("ID") == "debian" else ""


def architecture() -> str:
    """Return this machine's architecture in the words of OCI and Debian, which agree on it."""
    machine = platform.machine()
    return _NAMES.get(machine, machine)
