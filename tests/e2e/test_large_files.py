"""A large file in a core takes time and disk, and no memory."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import AMD64, Host, new_project

pytestmark = pytest.mark.host

DOCKERFILE = """\
FROM busybox:1.36-glibc AS builder
COPY version.txt /version
RUN mkdir /out && dd if=/dev/urandom of=/out/large bs=1M count={size} 2>/dev/null && cat /version >> /out/large
FROM busybox:1.36-glibc AS one
COPY --from=builder /out/large /usr/share/large
FROM busybox:1.36-glibc AS two
COPY --from=builder --chown=1:2 /out/large /srv/
"""

RUN = """\
import sys
from buildonce.cli.main import guarded
code = guarded(sys.argv[1:])
print(open("/proc/self/status").read(), file=sys.stderr)
sys.exit(code)
"""
SMALL, LARGE = 1, 150
"""Megabytes."""


def peak_of(host: Host, folder: Path, repository: str, size: int, version: str) -> int:
    """Return the most memory that a build took whose core has a file of ``size`` megabytes, in megabytes."""
    files = {"Dockerfile": DOCKERFILE.format(size=size), "version.txt": f"{version}\n"}
    project = new_project(host, folder, files)
    command = (sys.executable, "-c", RUN, "build", "--json", f"--platform={AMD64}", "--push", f"{repository}-{size}")
    ran = host.run(*command, folder=project.folder, environment={"BUILDONCE_STATE": str(project.state)})
    assert len(ran.document["images"]) == 2
    assert ran.document["bytes_up"] > 2 * size * 1_000_000
    peak = re.search(r"VmHWM:\s+(\d+) kB", ran.err)
    assert peak
    return int(peak[1]) >> 10


def test_memory_does_not_grow_with_the_files(host: Host, run_id: str, repository: str, tmp_path: Path) -> None:
    small = peak_of(host, tmp_path / "small", repository, SMALL, run_id)
    large = peak_of(host, tmp_path / "large", repository, LARGE, run_id)
    assert large < small + 50
