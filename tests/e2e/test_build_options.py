"""What a build is told besides its Dockerfile reaches RUN, as it does with `docker buildx build`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Host, Project, new_project

pytestmark = pytest.mark.host

SEEN = """\
FROM busybox:1.36-glibc AS builder
RUN --mount=type=secret,id=file,required --mount=type=secret,id=variable,required \\
    mkdir /out; wc -c < /run/secrets/file > /out/file; wc -c < /run/secrets/variable > /out/variable
RUN grep -c known.example /etc/hosts > /out/hosts; ulimit -n > /out/limit; df -k /dev/shm | tail -1 > /out/shm
FROM busybox:1.36-glibc AS app
LABEL kept=yes replaced=no
COPY --from=builder /out /out
FROM busybox:1.36-glibc AS other
COPY --from=builder /out /out
RUN ls /out
"""


@pytest.fixture
def project(host: Host, tmp_path: Path) -> Project:
    project = new_project(host, tmp_path, {"Dockerfile": SEEN, "token": "12345"})
    (project.folder / ".dockerignore").write_text("token\n")
    return project


TOLD = (
    *("--secret", "id=file,src=token", "--secret", "id=variable,env=TOKEN", "--ulimit", "nofile=777:888"),
    *("--add-host", "known.example=10.9.8.7", "--shm-size", "33m"),
)
