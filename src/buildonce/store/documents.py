"""What the bytes of a manifest or an index are, and what they refer to, without I/O."""

from __future__ import annotations

import hashlib

import msgspec

from buildonce.errors import DigestMismatch, IntegrityError
from buildonce.oci import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    MediaType,
    decode_index,
    decode_manifest,
)

ACCEPTED = (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
LIMIT = 4 * 1024 * 1024
"""The largest manifest that is read, as registries limit it (distribution-spec, "Pushing Manifests")."""

_ELSEWHERE = ("application/vnd.docker.image.rootfs.foreign.", "application/vnd.oci.image.layer.nondistributable.")


class _Shape(msgspec.Struct, rename="camel"):
    schema_version: int = 0
    media_type: str = ""
    manifests: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    config: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    layers: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def identify(content: bytes, declared: str, where: str) -> MediaType:
    """Return which of the four kinds of document ``content`` is; ``declared`` is what its bearer calls it, or empty.

    Raises `IntegrityError` when it is none of them, when content and bearer disagree, or when it could be read as a
    manifest and as an index at once (image-spec, "media type" in manifest.md and image-index.md).
    """
    try:
        shape = msgspec.json.decode(content, type=_Shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IntegrityError(f"{where} is not an image manifest or index: {error}") from error
    is_index = shape.manifests is not msgspec.UNSET
    is_manifest = shape.layers is not msgspec.UNSET or shape.config is not msgspec.UNSET
    if shape.schema_version != 2 or is_index == is_manifest:
        raise IntegrityError(f"{where} is neither an image manifest nor an image index of schema version 2")
    possible = INDEX_TYPES if is_index else MANIFEST_TYPES
    names = {name for name in (declared, shape.media_type) if name in ACCEPTED}
    if len(names) > 1 or not names <= possible or (shape.media_type and shape.media_type not in possible):
        said = " and ".join(f"`{name}`" for name in sorted({declared, shape.media_type} - {""}))
        raise IntegrityError(f"{where} is called {said}, which does not fit its content")
    if names:
        return MediaType(names.pop())
    return OCI_INDEX if is_index else OCI_MANIFEST


def referred(content: bytes, media_type: MediaType) -> tuple[Descriptor, ...]:
    """Return what a document needs beside it: an index its manifests, a manifest its config and then its layers.

    Layers that are never kept in a store (foreign, non-distributable) are left out. Raises `IntegrityError` when the
    document cannot be read.
    """
    if media_type in INDEX_TYPES:
        return _distinct(decode_index(content).manifests)
    manifest = decode_manifest(content)
    kept = (layer for layer in manifest.layers if not layer.media_type.startswith(_ELSEWHERE))
    return _distinct((manifest.config, *kept))


def check_digest(content: bytes, digest: Digest, where: str) -> None:
    """Raise `DigestMismatch` unless ``content`` has ``digest``."""
    algorithm, _, expected = digest.partition(":")
    found = hashlib.new(algorithm, content).hexdigest()
    if found != expected:
        raise DigestMismatch(f"{where} has other content than `{digest}`: its digest is {algorithm}:{found}")


def is_digest(name: str) -> bool:
    """Say whether a manifest's name is a digest; a tag has no colon."""
    return ":" in name


def _distinct(descriptors: tuple[Descriptor, ...]) -> tuple[Descriptor, ...]:
    return tuple({descriptor.digest: descriptor for descriptor in descriptors}.values())
