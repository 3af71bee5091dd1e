"""What is to be published, as values."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from buildonce.oci import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_INDEX,
    Descriptor,
    Digest,
    Index,
    MediaType,
    Platform,
    digest_of,
    encode_json,
)
from buildonce.ship.late_copies import LateCopy, annotate
from buildonce.store.protocol import Blob


class Image(Struct, frozen=True, kw_only=True):
    """An image for one platform.

    ``new`` are the blobs that this release made (late layers and config), ``shared`` those of the base, which the
    target usually has already. ``late_copies`` say which of its layers hold files of cores. ``parts`` are what an index
    within an index refers to; buildonce makes none, but copies them.
    """

    platform: Platform
    manifest: bytes
    descriptor: Descriptor
    new: tuple[Blob, ...]
    shared: tuple[Blob, ...]
    late_copies: tuple[LateCopy, ...] = ()
    parts: tuple[Image, ...] = ()


class VariantIndex(Struct, frozen=True, kw_only=True):
    """A variant's images over its platforms, under its tags."""

    variant: str
    tags: tuple[str, ...]
    images: tuple[Image, ...]
    content: bytes
    media_type: MediaType
    digest: Digest


class Release(Struct, frozen=True, kw_only=True):
    """One run's set of indexes, tagged together or not at all."""

    indexes: tuple[VariantIndex, ...]


def index_images(
    variant: str, tags: tuple[str, ...], images: tuple[Image, ...], annotations: Mapping[str, str] | None = None
) -> VariantIndex:
    """Return the index over ``images``, in the order of their platforms; Docker's type if all images have Docker's.

    An OCI index also says of each image which of its layers are late copies: Docker's type has no place for that, and
    none for ``annotations``, with which every index is OCI's.
    """
    ordered = tuple(sorted(images, key=lambda image: image.platform))
    docker = not annotations and all(image.descriptor.media_type == DOCKER_MANIFEST for image in ordered)
    media_type = DOCKER_INDEX if docker else OCI_INDEX
    manifests = tuple(
        Descriptor(
            media_type=image.descriptor.media_type,
            digest=image.descriptor.digest,
            size=image.descriptor.size,
            platform=image.platform,
            annotations=None if docker else annotate(image.late_copies),
        )
        for image in ordered
    )
    content = encode_json(Index(media_type=media_type, manifests=manifests, annotations=annotations or None))
    return VariantIndex(
        variant=variant,
        tags=tags,
        images=ordered,
        content=content,
        media_type=media_type,
        digest=digest_of(content),
    )
