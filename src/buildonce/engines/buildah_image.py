"""[io] An image that Buildah wrote in Docker's format, made an OCI layout with what BuildKit would say of it.

Docker's format it has to be: in OCI's, Buildah leaves out HEALTHCHECK, ONBUILD and SHELL, and runs what follows a SHELL
in another one (docs/engines.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from buildonce.errors import EngineFailed, IntegrityError
from buildonce.oci import (
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    MediaType,
    decode_manifest,
    digest_of,
    encode_json,
)
from buildonce.store.documents import LIMIT
from buildonce.store.streams import open_file

_LAYERS = {DOCKER_LAYER: OCI_LAYER, DOCKER_LAYER_GZIP: OCI_LAYER_GZIP}
_KEPT = ("architecture", "variant", "config", "created", "history", "os", "os.version", "os.features", "rootfs")
_OF_CONTAINERS = frozenset(
    ("Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce", "Image")
)
"""What Docker's format says of the container that an image was made in, and no image needs."""


def write_layout(pushed: Path, layout: Path) -> Descriptor:
    """Turn the folder that Buildah pushed an image to into a layout; return the image's manifest in it.

    The layers are moved. Raises `EngineFailed` where there is no such image.
    """
    blobs = layout / "blobs" / "sha256"
    try:
        blobs.mkdir(parents=True)
        with open_file(pushed / "manifest.json", within=pushed) as file:
            given = decode_manifest(file.read(LIMIT))
        with open_file(pushed / _name(given.config), within=pushed) as file:
            config = plain_config(file.read(LIMIT))
        for layer in {layer.digest: layer for layer in given.layers}.values():
            (pushed / _name(layer)).rename(blobs / _name(layer))
    except (OSError, IntegrityError, msgspec.DecodeError) as error:
        raise EngineFailed(f"buildah says that it built an image, but wrote none: {error}") from error
    manifest = encode_json(
        Manifest(
            media_type=OCI_MANIFEST,
            config=_put(blobs, config, OCI_CONFIG),
            layers=tuple(msgspec.structs.replace(layer, media_type=_layer_type(layer)) for layer in given.layers),
        )
    )
    descriptor = _put(blobs, manifest, OCI_MANIFEST)
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (layout / "index.json").write_bytes(encode_json(Index(media_type=OCI_INDEX, manifests=(descriptor,))))
    return descriptor


def plain_config(content: bytes) -> bytes:
    """Return a config of Docker's format without what BuildKit does not write. Raises `msgspec.DecodeError`."""
    found = msgspec.json.decode(content, type=dict[str, object])
    kept = {key: found[key] for key in _KEPT if key in found}
    section = kept.get("config")
    if isinstance(section, Mapping):
        kept["config"] = {key: value for key, value in section.items() if key not in _OF_CONTAINERS and value}
    return msgspec.json.encode(kept)


def _layer_type(layer: Descriptor) -> MediaType:
    return _LAYERS.get(layer.media_type, layer.media_type)


def _put(blobs: Path, content: bytes, media_type: MediaType) -> Descriptor:
    descriptor = Descriptor(media_type=media_type, digest=digest_of(content), size=len(content))
    (blobs / _name(descriptor)).write_bytes(content)
    return descriptor


def _name(descriptor: Descriptor) -> str:
    return descriptor.digest.rpartition(":")[2]
