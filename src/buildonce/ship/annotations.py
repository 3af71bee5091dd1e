"""Annotations of what is shipped: which go into an image's manifest, and which into a variant's index.

A key says where it belongs as ``docker buildx build --annotation`` has it: ``index:KEY``, ``manifest:KEY``,
``manifest[linux/arm64]:KEY``, ``index,manifest:KEY``; a key alone is the manifest's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from buildonce.assemble.image import in_family
from buildonce.errors import UsageError
from buildonce.oci import (
    DOCKER_CONFIG,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_MANIFEST,
    Descriptor,
    Platform,
    decode_manifest,
    digest_of,
    encode_json,
    parse_platform,
)
from buildonce.ship.release import Image

INDEX = "index"
MANIFEST = "manifest"
_LEVELS = (INDEX, MANIFEST)
_ALSO_KNOWN = ("index-descriptor", "manifest-descriptor")
_PLACE = re.compile(r"([a-z-]+)(?:\[([^\]]*)\])?")
_BEGINNING = re.compile(r"([a-z-]+(?:\[[^\]]*\])?(?:,[a-z-]+(?:\[[^\]]*\])?)*):")
"""What stands before a colon, as buildx takes it: one place or several, whether they exist or not."""


class Annotation(Struct, frozen=True, kw_only=True):
    """A key and value for one level, and for one platform or (None) for all."""

    level: str
    platform: Platform | None
    key: str
    value: str


def parse_annotation(key: str, value: str) -> tuple[Annotation, ...]:
    """Return what a key with its places means, one annotation for each place. Raises `UsageError`."""
    found = _BEGINNING.match(key)
    if not found:
        return (Annotation(level=MANIFEST, platform=None, key=_checked(key, key), value=value),)
    places, rest = found[1], key[found.end() :]
    return tuple(
        Annotation(level=level, platform=platform, key=_checked(rest, key), value=value)
        for level, platform in _places(places, key)
    )


def _places(text: str, key: str) -> Iterator[tuple[str, Platform | None]]:
    for part in text.split(","):
        match = _PLACE.fullmatch(part)
        level, platform = (match[1], match[2]) if match else (part, None)
        if level not in (*_LEVELS, *_ALSO_KNOWN):
            raise UsageError(
                f"the annotation `{key}` is for `{part}`, which is no place",
                help="the places are manifest, manifest[OS/ARCH] and index, with commas between several",
            )
        if level in _ALSO_KNOWN:
            raise UsageError(
                f"the annotation `{key}` is for a descriptor, which buildonce writes itself",
                help="annotate the manifest or the index: manifest:KEY, index:KEY",
            )
        if level == INDEX and platform is not None:
            raise UsageError(
                f"the annotation `{key}` names one platform of an index, which is over all of them", help="index:KEY"
            )
        yield level, parse_platform(platform) if platform is not None else None


def _checked(key: str, written: str) -> str:
    if not key:
        raise UsageError(f"the annotation `{written}` has no key", help="write it as KEY=VALUE or index:KEY=VALUE")
    return key


def annotations_for(annotations: Mapping[str, str], level: str, platform: Platform | None = None) -> Mapping[str, str]:
    """Return the annotations for an index, or for the manifest of a platform, sorted by key."""
    found = {
        one.key: one.value
        for key, value in annotations.items()
        for one in parse_annotation(key, value)
        if one.level == level and one.platform in (None, platform)
    }
    return dict(sorted(found.items()))


def annotate_image(image: Image, annotations: Mapping[str, str]) -> Image:
    """Return an image with annotations in its manifest, which is an OCI manifest then: Docker's has no place for them.

    So does BuildKit (exporter/containerimage/opts.go, `EnableOCITypes`).
    """
    own = annotations_for(annotations, MANIFEST, image.platform)
    if not own:
        return image
    manifest = decode_manifest(image.manifest)
    config, layers = manifest.config, manifest.layers
    if manifest.media_type == DOCKER_MANIFEST:
        config = replace(config, media_type=OCI_CONFIG if config.media_type == DOCKER_CONFIG else config.media_type)
        layers = tuple(in_family(layer, is_docker=False) for layer in layers)
    annotated = replace(
        manifest,
        media_type=OCI_MANIFEST,
        config=config,
        layers=layers,
        annotations={**(manifest.annotations or {}), **own},
    )
    content = encode_json(annotated)
    descriptor = Descriptor(media_type=OCI_MANIFEST, digest=digest_of(content), size=len(content))
    return replace(image, manifest=content, descriptor=descriptor)
