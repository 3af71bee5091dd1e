"""Which of the two test hosts a machine gets: its own Docker engine, or stand-ins. Values in, a decision out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .errors import HostError

PLATFORMS = ("linux/amd64", "linux/arm64")


class Kind(Enum):
    """How the test host comes about."""

    ENGINE = "engine"
    STAND_INS = "stand-ins"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What was found out about a machine.

    `driver` is empty where there is no engine or no buildx; `platforms` are those that its builder offers.
    """

    architecture: str
    is_root: bool
    debian: str
    driver: str = ""
    has_containerd_store: bool = False
    platforms: frozenset[str] = frozenset()
    reaches_public_images: bool = False


def decide(machine: Machine) -> Kind:
    """Return the kind of test host; raises with every reason when neither is possible."""
    against_engine = engine_obstacles(machine)
    if not against_engine:
        return Kind.ENGINE
    against_stand_ins = stand_in_obstacles(machine)
    if not against_stand_ins:
        return Kind.STAND_INS
    raise HostError(
        "this machine can have no test host",
        detail="\n".join(
            [f"its own engine: {reason}" for reason in against_engine]
            + [f"stand-ins: {reason}" for reason in against_stand_ins]
        ),
        advice="remove the obstacles on one of the two sides",
    )


def engine_obstacles(machine: Machine) -> tuple[str, ...]:
    """Return why the machine's own engine does not do."""
    if not machine.driver:
        return ("no running Docker engine with buildx",)
    reasons = []
    if machine.driver == "docker" and not machine.has_containerd_store:
        reasons.append(
            "its builder cannot export OCI layouts; enable the containerd image store, or"
            " `docker buildx create --use --driver docker-container --driver-opt network=host`"
        )
    missing = [platform for platform in PLATFORMS if platform not in machine.platforms]
    if missing:
        reasons.append(f"its builder does not build for {', '.join(missing)}; set up QEMU for it")
    if not machine.reaches_public_images:
        reasons.append("public images cannot be reached")
    return tuple(reasons)


def stand_in_obstacles(machine: Machine) -> tuple[str, ...]:
    """Return why stand-ins do not do."""
    reasons = []
    if not machine.debian:
        reasons.append("they are made of Debian packages, and this is not Debian")
    if f"linux/{machine.architecture}" not in PLATFORMS:
        reasons.append(f"they are not made for {machine.architecture}")
    if not machine.is_root:
        reasons.append("their engine needs root")
    return tuple(reasons)


def parse_builder(description: str) -> tuple[str, frozenset[str]]:
    """Return the driver and the platforms in what `docker buildx inspect` prints."""
    driver = ""
    platforms: set[str] = set()
    for line in description.splitlines():
        name, _, value = line.partition(":")
        if name == "Driver" and not driver:
            driver = value.strip()
        elif name.strip() == "Platforms":
            # A builder prints an asterisk behind what its owner asked for.
            platforms |= {platform.strip().rstrip("*") for platform in value.split(",")}
    return driver, frozenset(platforms)
