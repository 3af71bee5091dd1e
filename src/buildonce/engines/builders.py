"""What ``docker buildx inspect`` says of a builder: its driver, its nodes, what they can run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from buildonce.oci import Platform

_SNAPSHOTTER = "org.mobyproject.buildkit.worker.snapshotter"
"""A label of a node whose images are containerd's; Docker's own driver has it with containerd's image store alone."""


class Node(Struct, frozen=True, kw_only=True):
    """A node of a builder, with the platforms that it says it can run, and where it is: for some drivers a context."""

    name: str
    platforms: str = ""
    endpoint: str = ""
    is_running: bool = False

    def is_for(self, platform: Platform) -> bool:
        """Say whether it lists a machine of this architecture, whichever variant."""
        listed = (one.strip().split("/") for one in self.platforms.split(","))
        return [platform.os, platform.architecture] in [[part.rstrip("*") for part in one[:2]] for one in listed]


class Builder(Struct, frozen=True, kw_only=True):
    """A builder. ``writes_layouts`` says whether it can export OCI layouts, and read them."""

    name: str
    driver: str
    nodes: tuple[Node, ...]
    writes_layouts: bool

    @property
    def is_up(self) -> bool:
        """Say whether all of its nodes are running: what one that is not can do is not known."""
        return bool(self.nodes) and all(node.is_running and node.platforms for node in self.nodes)

    @property
    def endpoint(self) -> str:
        """Where its first node is: of Docker's own driver, the Docker context."""
        return next((node.endpoint for node in self.nodes), "") or "default"

    def runs(self, platform: Platform) -> bool:
        """Say whether a node lists the platform; a builder that lists nothing may run any."""
        listed = {one.strip().rstrip("*") for node in self.nodes for one in node.platforms.split(",") if one.strip()}
        return not listed or str(platform) in listed


class WritesNoLayouts(Exception):
    """A build that failed since the builder neither writes nor reads OCI layouts."""

    def __init__(self, builder: Builder) -> None:
        super().__init__(builder.name)
        self.builder = builder


def read_builder(text: str) -> Builder:
    """Return the builder that `docker buildx inspect` describes."""
    groups: list[dict[str, str]] = [{}]
    for field, value in _lines(text):
        if field == "Name" and groups[-1]:
            groups.append({})
        groups[-1].setdefault(field, value)
    own, *nodes = groups
    driver = own.get("Driver", "?")
    return Builder(
        name=own.get("Name", "?"),
        driver=driver,
        nodes=tuple(map(_node, nodes)),
        writes_layouts=driver != "docker" or _SNAPSHOTTER in text,
    )


def _node(fields: Mapping[str, str]) -> Node:
    return Node(
        name=fields["Name"],
        platforms=fields.get("Platforms", ""),
        endpoint=fields.get("Endpoint", ""),
        is_running=fields.get("Status") == "running",
    )


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        field, colon, value = line.partition(":")
        if colon and not field.startswith(" ") and value.strip():
            yield field.strip(), value.strip()
