"""Images as they were loaded: what was found of each, and what their types should be. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from buildonce.oci import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    MediaType,
    Platform,
)
from buildonce.ship.late_copies import LateCopy
from buildonce.store.protocol import Listed, Stored
from buildonce.verify.configs import ImageConfig
from buildonce.verify.findings import Place

LAYER_COMPRESSION: Mapping[MediaType, str] = {
    OCI_LAYER: "uncompressed",
    OCI_LAYER_GZIP: "gzip",
    OCI_LAYER_ZSTD: "zstd",
    DOCKER_LAYER: "uncompressed",
    DOCKER_LAYER_GZIP: "gzip",
    DOCKER_LAYER_ZSTD: "zstd",
}
"""The types of layers that images are unpacked from, and how each is compressed."""

_OCI_FAMILY = frozenset({OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD})
_DOCKER_FAMILY = frozenset({DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD})
_FAMILIES: Mapping[MediaType, frozenset[MediaType]] = {OCI_MANIFEST: _OCI_FAMILY, DOCKER_MANIFEST: _DOCKER_FAMILY}
_ELSEWHERE = ("application/vnd.docker.image.rootfs.foreign.", "application/vnd.oci.image.layer.nondistributable.")


class LoadedImage(Struct, frozen=True, kw_only=True):
    """A manifest that was read and is whole; ``place`` is the first that leads to it, ``also`` are the others.

    ``config`` is None if it could not be read, which was reported.
    """

    source: Listed
    place: Place
    also: tuple[Place, ...]
    stored: Stored
    manifest: Manifest
    config: ImageConfig | None

    def layer_place(self, number: int) -> Place:
        """Return where a layer is, counted from 0."""
        layers = self.manifest.layers
        return self.place.at(f"layer {number + 1} of {len(layers)}, {layers[number].digest}")


class Use(Struct, frozen=True, kw_only=True):
    """An image under one reference, for the platform that the index names, or its own config where none is named.

    ``tag`` is that of the reference, if it has one. ``late_copies`` is None where the index does not say which layers
    hold files of cores.
    """

    reference: str
    tag: str | None
    platform: Platform | None
    image: LoadedImage
    late_copies: tuple[LateCopy, ...] | None

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(reference=self.reference, platform=str(self.platform or ""))


def is_config_type(media_type: MediaType) -> bool:
    """Say whether a media type is that of an image's config."""
    return media_type in (OCI_CONFIG, DOCKER_CONFIG)


def is_elsewhere(layer: Descriptor) -> bool:
    """Say whether a layer is one that stores do not keep (foreign, non-distributable)."""
    return layer.media_type.startswith(_ELSEWHERE)


def is_attestation(entry: Descriptor) -> bool:
    """Say whether an index's entry is BuildKit's provenance or list of contents, and no image."""
    marked = "vnd.docker.reference.type" in (entry.annotations or {})
    return marked or (entry.platform is not None and entry.platform.os == entry.platform.architecture == "unknown")


def is_image(manifest: Manifest) -> bool:
    """Say whether a manifest is that of an image and not of an artifact (image-spec, manifest.md)."""
    return manifest.artifact_type is None and is_config_type(manifest.config.media_type)


def type_problems(manifest: Manifest, media_type: MediaType) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the types of a manifest's parts: the part, and what is wrong with it."""
    family = _FAMILIES[media_type]
    name = "OCI's" if media_type == OCI_MANIFEST else "Docker's"
    parts = [("the config", manifest.config.media_type)]
    parts += [(f"layer {n}", layer.media_type) for n, layer in enumerate(manifest.layers, 1) if not is_elsewhere(layer)]
    for part, kind in parts:
        if kind not in _OCI_FAMILY | _DOCKER_FAMILY:
            yield part, f"{part} has the type `{kind[:100]}`, which no image has"
        elif kind not in family:
            yield part, f"{part} has the type `{kind}`, but the manifest is one of {name} types"
        elif is_config_type(kind) != (part == "the config"):
            yield part, f"{part} has the type `{kind}`"


class _Entry(msgspec.Struct, frozen=True):
    platform: Mapping[str, Any] | None = None


class _Index(msgspec.Struct, frozen=True):
    manifests: tuple[_Entry, ...] = ()


def platform_details(index: bytes) -> tuple[str, ...]:
    """Return what else tells the platforms of an index's entries apart, in their order: Windows has several alike."""
    entries = msgspec.json.decode(index, type=_Index).manifests
    return tuple(repr([(one.platform or {}).get(key) for key in ("os.version", "os.features")]) for one in entries)
