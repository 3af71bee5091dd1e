"""Builders that cannot do what a build needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness import Host, new_project
from tests.e2e.unpackers import classic_dockerd

pytestmark = pytest.mark.host

DOCKERFILE = """\
FROM busybox:1.36-glibc AS builder
RUN echo a > /a
FROM busybox:1.36-glibc AS final
COPY --from=builder /a /a
"""


def test_dockers_own_image_store_is_refused_by_name(host: Host, tmp_path: Path) -> None:
    project = new_project(host, tmp_path, {"Dockerfile": DOCKERFILE})
    with classic_dockerd(host) as (_, address):
        ran = project.buildonce("build", environment={"DOCKER_HOST": address})
    assert ran.code == 4, ran.err
    assert "the driver `docker` writes OCI layouts with containerd's image store alone" in ran.err
    assert "docker buildx create --use" in ran.err
