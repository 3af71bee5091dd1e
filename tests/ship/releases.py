"""Small releases to publish: a base layer and a core layer for each platform, a config for each image."""

from __future__ import annotations

from collections.abc import Sequence

from buildonce.oci import (
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    MediaType,
    Platform,
    digest_of,
    encode_json,
)
from buildonce.ship.receipts import Receipt
from buildonce.ship.release import Image, Release, index_images
from buildonce.store.protocol import Blob
from buildonce.store.streams import blob_of_bytes

PLATFORMS = (Platform(os="linux", architecture="amd64"), Platform(os="linux", architecture="arm64"))
EMPTY = Receipt(target="test")


def blob(text: str, media_type: MediaType = OCI_LAYER_GZIP) -> Blob:
    return blob_of_bytes(text.encode(), media_type)


def image(variant: str, platform: Platform, core: str) -> Image:
    """An image with a base layer per platform, a core layer per platform, and a config of its own."""
    base, late = blob(f"base {platform}"), blob(f"{core} {platform}")
    config = blob(f'{{"variant": "{variant} {platform} {core}"}}', OCI_CONFIG)
    content = encode_json(
        Manifest(media_type=OCI_MANIFEST, config=config.descriptor, layers=(base.descriptor, late.descriptor))
    )
    descriptor = Descriptor(media_type=OCI_MANIFEST, digest=digest_of(content), size=len(content))
    return Image(platform=platform, manifest=content, descriptor=descriptor, new=(late, config), shared=(base,))


def release(*variants: str, core: str = "core 1", platforms: Sequence[Platform] = PLATFORMS) -> Release:
    """A release of these variants; ``name=core`` gives a variant another core."""
    indexes = []
    for text in variants:
        name, _, own = text.partition("=")
        images = tuple(image(name, platform, own or core) for platform in platforms)
        indexes.append(index_images(name, (name,), images))
    return Release(indexes=tuple(indexes))
