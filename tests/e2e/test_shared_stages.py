"""Bases that are built at the same time and share a stage, with a real BuildKit and a real Buildah: it runs once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.buildah import set_up, take_down
from tests.e2e.harness import AMD64, Host, digests_of, new_project
from tests.e2e.images import layout_blobs, read_image
from tests.e2e.trees import build_tree

pytestmark = pytest.mark.host

FAMILY = """\
FROM busybox:1.36-glibc AS common
RUN : {run_id}; head -c 30 /dev/urandom > /drawn; sleep 1
FROM common AS one
RUN echo one > /own
FROM common AS two
RUN echo two > /own
FROM common AS three
RUN echo three > /own
"""
"""What is drawn by lot is equal in two images only if it was drawn for both at once."""


@pytest.fixture(params=["buildkit", "buildah"])
def environment(request: pytest.FixtureRequest, host: Host, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """What leads to an engine."""
    if request.param == "buildkit":
        yield {}
        return
    folder = tmp_path / "buildah"
    folder.mkdir()
    yield set_up(host, folder).environment
    take_down(folder)


def test_a_stage_that_bases_share_runs_once(
    host: Host, environment: Mapping[str, str], run_id: str, tmp_path: Path
) -> None:
    project = new_project(host, tmp_path, {"Dockerfile": FAMILY.format(run_id=f"{run_id} {tmp_path}")})
    asked = ("build", "--json", f"--platform={AMD64}", "one", "two", "three", "--output", f"oci:{tmp_path}/images")
    jobs = {"BUILDONCE_ENGINE_JOBS": "3"}
    outcome = project.buildonce(*asked, environment={**environment, **jobs}).document
    assert sum(run["activity"] == "base" for run in outcome["engine_runs"]) == 3
    images = [read_image(layout_blobs(tmp_path / "images"), digest) for digest in digests_of(outcome).values()]
    trees = [build_tree(image.layers) for image in images]
    assert len({tree["drawn"].digest for tree in trees}) == 1
    assert len({tree["own"].digest for tree in trees}) == 3
