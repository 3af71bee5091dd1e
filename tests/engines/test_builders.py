"""What buildx says of a builder."""

from __future__ import annotations

import pytest

from buildonce.engines.builders import read_builder
from buildonce.oci import parse_platform

INSPECTED = """\
Name:          family
Driver:        remote

Nodes:
Name:             node
Endpoint:         tcp://node:1234
Status:           running
Platforms:        linux/amd64*, linux/amd64/v2, linux/386
Labels:
 Driver:          not this
 Name:            nor this
Name:             arm
Platforms:        linux/arm64, linux/arm/v7
"""


def test_the_first_of_a_name_is_the_builders() -> None:
    builder = read_builder(INSPECTED)
    assert (builder.name, builder.driver) == ("family", "remote")
    assert [(node.name, node.platforms, node.endpoint, node.is_running) for node in builder.nodes] == [
        ("node", "linux/amd64*, linux/amd64/v2, linux/386", "tcp://node:1234", True),
        ("arm", "linux/arm64, linux/arm/v7", "", False),
    ]
    assert not builder.is_up
    assert builder.endpoint == "tcp://node:1234"


@pytest.mark.parametrize(
    ("platform", "runs"),
    [("linux/amd64", True), ("linux/arm64", True), ("linux/arm/v7", True), ("linux/s390x", False)],
)
def test_a_platform_is_what_one_of_the_nodes_lists(platform: str, runs: bool) -> None:
    assert read_builder(INSPECTED).runs(parse_platform(platform)) is runs


def test_a_builder_that_lists_nothing_may_run_anything() -> None:
    assert read_builder("Name: new\nDriver: kubernetes\n").runs(parse_platform("linux/s390x"))


@pytest.mark.parametrize(
    ("text", "writes"),
    [
        ("Driver: docker\nLabels:\n org.mobyproject.buildkit.worker.snapshotter: overlayfs\n", True),
        ("Driver: docker\nPlatforms: linux/amd64\n", False),
        ("Driver: docker-container\n", True),
        ("", True),
    ],
)
def test_dockers_own_driver_writes_layouts_with_containerds_store_alone(text: str, writes: bool) -> None:
    assert read_builder(text).writes_layouts is writes
