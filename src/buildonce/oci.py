"""The OCI image specification's values: digests, platforms, descriptors, manifests, indexes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import NewType, TypeVar

import msgspec

from buildonce.errors import IntegrityError, UsageError

Digest = NewType("Digest", str)
"""``sha256:`` and 64 lower-case hexadecimal digits (or sha512 and 128), as `parse_digest` checks it."""

MediaType = NewType("MediaType", str)

OCI_INDEX = MediaType("application/vnd.oci.image.index.v1+json")
OCI_MANIFEST = MediaType("application/vnd.oci.image.manifest.v1+json")
OCI_CONFIG = MediaType("application/vnd.oci.image.config.v1+json")
OCI_LAYER = MediaType("application/vnd.oci.image.layer.v1.tar")
OCI_LAYER_GZIP = MediaType("application/vnd.oci.image.layer.v1.tar+gzip")
OCI_LAYER_ZSTD = MediaType("application/vnd.oci.image.layer.v1.tar+zstd")
DOCKER_INDEX = MediaType("application/vnd.docker.distribution.manifest.list.v2+json")
DOCKER_MANIFEST = MediaType("application/vnd.docker.distribution.manifest.v2+json")
DOCKER_CONFIG = MediaType("application/vnd.docker.container.image.v1+json")
DOCKER_LAYER = MediaType("application/vnd.docker.image.rootfs.diff.tar")
DOCKER_LAYER_GZIP = MediaType("application/vnd.docker.image.rootfs.diff.tar.gzip")
DOCKER_LAYER_ZSTD = MediaType("application/vnd.docker.image.rootfs.diff.tar.zstd")

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


def parse_digest(text: str) -> Digest:
    """Return ``text`` as a digest; raise `IntegrityError` when it is not one (image-spec, descriptor.md)."""
    if not _DIGEST.fullmatch(text):
        raise IntegrityError(f"`{text[:100]}` is not a digest (sha256:<64 hexadecimal digits>)")
    return Digest(text)


def digest_of(content: bytes) -> Digest:
    """Return the sha256 digest of ``content``."""
    return Digest("sha256:" + hashlib.sha256(content).hexdigest())


class Platform(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """An OCI platform; write it as ``os/architecture[/variant]``."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def slug(self) -> str:
        """The platform as part of a tag or file name: ``linux-arm64``."""
        return str(self).replace("/", "-")


_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
    "i386": "386",
}
_PLATFORM_PART = re.compile(r"[a-z0-9_.-]+")


def parse_platform(text: str) -> Platform:
    """Return ``os/architecture[/variant]`` as a platform, normalised as containerd does.

    So arm64/v8 is arm64, and arm is arm/v7.
    Raises `UsageError` when the text has another form.
    """
    parts = text.strip().lower().split("/")
    if len(parts) not in (2, 3) or not all(_PLATFORM_PART.fullmatch(part) for part in parts):
        raise UsageError(f"`{text}` is not a platform", help="write it as os/architecture, such as linux/arm64")
    system, architecture, variant = parts[0], _ARCHITECTURES.get(parts[1], parts[1]), "".join(parts[2:])
    if architecture == "arm64" and variant in ("v8", "8"):
        variant = ""
    if architecture == "amd64" and variant == "v1":
        variant = ""
    if architecture == "arm":
        variant = {"": "v7", "7": "v7", "6": "v6", "5": "v5", "8": "v8"}.get(variant, variant)
    return Platform(os=system, architecture=architecture, variant=variant)


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a manifest or an index says of something it refers to: type, digest, size in bytes."""

    media_type: MediaType
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] | None = None
    artifact_type: MediaType | None = None


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """An image manifest."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    schema_version: int = 2
    media_type: MediaType = MediaType("")
    annotations: Mapping[str, str] | None = None
    artifact_type: MediaType | None = None


class Index(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """An image index."""

    manifests: tuple[Descriptor, ...]
    schema_version: int = 2
    media_type: MediaType = MediaType("")
    annotations: Mapping[str, str] | None = None


def decode_manifest(content: bytes) -> Manifest:
    """Return the manifest that ``content`` holds; raise `IntegrityError` when it holds none."""
    manifest = _decode(content, Manifest)
    _check(manifest.schema_version, manifest.config, *manifest.layers)
    return manifest


def decode_index(content: bytes) -> Index:
    """Return the index that ``content`` holds; raise `IntegrityError` when it holds none."""
    index = _decode(content, Index)
    _check(index.schema_version, *index.manifests)
    return index


def encode_json(value: Manifest | Index) -> bytes:
    """Return ``value`` as indented JSON in the specification's order of keys, the same bytes for the same value."""
    fields = msgspec.to_builtins(value)
    head = {"schemaVersion": value.schema_version, "mediaType": value.media_type}
    return msgspec.json.format(msgspec.json.encode(head | fields), indent=2)


_Document = TypeVar("_Document", Manifest, Index)


def _decode(content: bytes, kind: type[_Document]) -> _Document:
    try:
        document = msgspec.json.decode(content)
        if isinstance(document, dict):
            # BuildKit, and every program in Go that does not take care, writes an empty list so.
            document |= {key: [] for key in ("layers", "manifests") if document.get(key, ()) is None}
        return msgspec.convert(document, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IntegrityError(f"this is not an image {kind.__name__.lower()}: {error}") from error


def _check(schema_version: int, *descriptors: Descriptor) -> None:
    if schema_version != 2:
        raise IntegrityError(f"manifests of schema version {schema_version} are not read")
    for descriptor in descriptors:
        parse_digest(descriptor.digest)
        if descriptor.size < 0:
            raise IntegrityError(f"`{descriptor.digest}` is said to have {descriptor.size} bytes")
