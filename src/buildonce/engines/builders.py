"""What ``docker buildx inspect`` says of a builder: its driver, its nodes, what they can run. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from buildonce.oci import Platform

_SNAPSHOTTER = "org.mobyproject.buildkit.worker.snapshotter"
"""A label of a node whose images are containerd's; Docker's own driver has it with containerd's image store alone."""


class Node(Struct, frozen=True, kw_only=True):
    """A node of a builder, with the platforms that it says it can run."""

    name: str
    platforms: str


class Builder(Struct, frozen=True, kw_only=True):
    """A builder. ``writes_layouts`` says whether it can export OCI layouts."""

    name: str
    driver: str
    nodes: tuple[Node, ...]
    writes_layouts: bool

    def runs(self, platform: Platform) -> bool:
        """Say whether a node lists the platform; a builder that lists nothing may run any."""
        listed = {one.strip().rstrip("*") for node in self.nodes for one in node.platforms.split(",")}
        return not listed or str(platform) in listed


def read_builder(text: str) -> Builder:
    """Return the builder that `docker buildx inspect` describes."""
    fields: dict[str, str] = {}
    for field, value in _lines(text):
        fields.setdefault(field, value)  # the first of each name is the builder's own
    driver = fields.get("Driver", "?")
    return Builder(
        name=fields.get("Name", "?"),
        driver=driver,
        nodes=tuple(_nodes(text)),
        writes_layouts=driver != "docker" or _SNAPSHOTTER in text,
    )


def _nodes(text: str) -> Iterator[Node]:
    name = "?"
    for field, value in _lines(text):
        if field == "Name":
            name = value
        elif field == "Platforms":
            yield Node(name=name, platforms=value)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        field, colon, value = line.partition(":")
        if colon and not field.startswith(" ") and value.strip():
            yield field.strip(), value.strip()
