"""[io] Images written into an OCI layout as a registry may have them: of both families, compressed in every way.

Nothing here is the code under test.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Json = Mapping[str, Any]
CREATED = "2020-02-02T02:02:02Z"


class Family(Enum):
    """Whose media types an image has."""

    OCI = "oci"
    DOCKER = "docker"


class Packing(Enum):
    """How an image's layers are compressed."""

    PLAIN = "plain"
    GZIP = "gzip"
    ZSTD = "zstd"


_MANIFEST = {
    Family.OCI: "application/vnd.oci.image.manifest.v1+json",
    Family.DOCKER: "application/vnd.docker.distribution.manifest.v2+json",
}
_CONFIG = {
    Family.OCI: "application/vnd.oci.image.config.v1+json",
    Family.DOCKER: "application/vnd.docker.container.image.v1+json",
}
_LAYER = {
    (Family.OCI, Packing.PLAIN): "application/vnd.oci.image.layer.v1.tar",
    (Family.OCI, Packing.GZIP): "application/vnd.oci.image.layer.v1.tar+gzip",
    (Family.OCI, Packing.ZSTD): "application/vnd.oci.image.layer.v1.tar+zstd",
    (Family.DOCKER, Packing.PLAIN): "application/vnd.docker.image.rootfs.diff.tar",
    (Family.DOCKER, Packing.GZIP): "application/vnd.docker.image.rootfs.diff.tar.gzip",
    (Family.DOCKER, Packing.ZSTD): "application/vnd.docker.image.rootfs.diff.tar.zstd",
}


def write_image(
    layout: Path,
    layers: Sequence[bytes],
    config: Json | None = None,
    *,
    family: Family = Family.OCI,
    packing: Packing = Packing.GZIP,
) -> str:
    """Put an image of these archives into a layout, which is made if there is none; return its manifest's digest.

    ``config`` replaces keys of a plain config, whose history has one entry for each layer; a None leaves a key out.
    """
    (layout / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    whole = {
        "architecture": "amd64",
        "os": "linux",
        "created": CREATED,
        "config": {"Env": ["PATH=/usr/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
        "history": [{"created": CREATED, "created_by": f"layer {number}"} for number in range(len(layers))],
        **(config or {}),
    }
    content = json.dumps({key: value for key, value in whole.items() if value is not None}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST[family],
        "config": {"mediaType": _CONFIG[family], **_put(layout, content)},
        "layers": [{"mediaType": _LAYER[family, packing], **_put(layout, _packed(layer, packing))} for layer in layers],
    }
    descriptor = {"mediaType": _MANIFEST[family], **_put(layout, json.dumps(manifest).encode())}
    index = {"schemaVersion": 2, "manifests": [descriptor]}
    (layout / "index.json").write_text(json.dumps(index))
    return str(descriptor["digest"])


def read_blob(layout: Path, digest: str) -> bytes:
    """Return what a layout has under a digest."""
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()


def _packed(layer: bytes, packing: Packing) -> bytes:
    match packing:
        case Packing.PLAIN:
            return layer
        case Packing.GZIP:
            return gzip.compress(layer, mtime=0)
        case Packing.ZSTD:
            return zstd.compress(layer)


def _put(layout: Path, content: bytes) -> dict[str, object]:
    digest = _digest(content)
    (layout / "blobs" / digest.replace(":", "/")).write_bytes(content)
    return {"digest": digest, "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
