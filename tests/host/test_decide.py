from __future__ import annotations

from dataclasses import replace

import pytest

from scripts.testhost.decide import Kind, Machine, decide, parse_builder
from scripts.testhost.errors import HostError

BARE = Machine(architecture="amd64", is_root=True, debian="bookworm")
EQUIPPED = replace(
    BARE,
    driver="docker",
    has_containerd_store=True,
    platforms=frozenset({"linux/amd64", "linux/arm64"}),
    reaches_public_images=True,
)


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        pytest.param(EQUIPPED, Kind.ENGINE, id="an engine that does all"),
        pytest.param(
            replace(EQUIPPED, is_root=False, debian=""), Kind.ENGINE, id="an engine, elsewhere and not as root"
        ),
        pytest.param(
            replace(EQUIPPED, driver="docker-container", has_containerd_store=False), Kind.ENGINE, id="another driver"
        ),
        pytest.param(BARE, Kind.STAND_INS, id="no engine"),
        pytest.param(replace(EQUIPPED, reaches_public_images=False), Kind.STAND_INS, id="an engine without images"),
        pytest.param(replace(EQUIPPED, has_containerd_store=False), Kind.STAND_INS, id="an engine that cannot export"),
        pytest.param(
            replace(EQUIPPED, platforms=frozenset({"linux/amd64"})), Kind.STAND_INS, id="an engine without emulation"
        ),
    ],
)
def test_the_kind_of_host_follows_from_the_machine(machine: Machine, expected: Kind) -> None:
    assert decide(machine) is expected


def test_a_machine_that_can_have_none_hears_every_reason() -> None:
    machine = replace(
        EQUIPPED, is_root=False, debian="", platforms=frozenset({"linux/amd64"}), reaches_public_images=False
    )
    with pytest.raises(HostError) as caught:
        decide(machine)
    message = caught.value.render()
    for reason in ("linux/arm64", "public images", "not Debian", "root"):
        assert reason in message
    assert caught.value.exit_code == 4


def test_stand_ins_are_made_for_two_architectures_only() -> None:
    with pytest.raises(HostError, match="no test host") as caught:
        decide(replace(BARE, architecture="riscv64"))
    assert "riscv64" in caught.value.detail


def test_a_builder_is_described_by_its_driver_and_all_nodes_platforms() -> None:
    description = """\
Name:          two
Driver:        docker-container
Nodes:
Name:     two0
Platforms: linux/amd64*, linux/amd64/v2
Name:     two1
Platforms: linux/arm64*
"""
    assert parse_builder(description) == (
        "docker-container",
        frozenset({"linux/amd64", "linux/amd64/v2", "linux/arm64"}),
    )
