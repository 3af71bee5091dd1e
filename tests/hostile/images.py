"""Images in OCI layouts on disk, right in everything but what a test makes wrong."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buildonce.oci import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class BadLayer:
    """A layer: its bytes, what its descriptor says instead of the truth, and its diff ID (of ``archive``)."""

    blob: bytes
    archive: bytes = b""
    media_type: str = OCI_LAYER_GZIP
    says: Mapping[str, object] = field(default_factory=dict)


def layer(archive: bytes, compress: Callable[[bytes], bytes] = gzip.compress, **facts: Any) -> BadLayer:
    """Return a layer that holds an archive."""
    return BadLayer(blob=compress(archive), archive=archive, **facts)


@dataclass(frozen=True, kw_only=True)
class BadImage:
    """An image: layers, and what to change in its config and manifest; ``whole`` stands for all of the manifest."""

    layers: Sequence[BadLayer] = ()
    config: Callable[[Document], object] = lambda config: config
    manifest: Callable[[Document], object] = lambda manifest: manifest

    def write(self, folder: Path) -> None:
        """Write it into a layout, tagged ``latest``."""
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        config: Document = {
            "architecture": "amd64",
            "os": "linux",
            "created": "2023-01-01T00:00:00Z",
            "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(one.archive) for one in self.layers]},
            "history": [{"created": "2023-01-01T00:00:00Z", "created_by": "made for a test"} for _ in self.layers],
        }
        manifest: Document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _put(blobs, _encoded(self.config(config)), OCI_CONFIG),
            "layers": [{**_put(blobs, one.blob, one.media_type), **one.says} for one in self.layers],
        }
        described = _put(blobs, _encoded(self.manifest(manifest)), OCI_MANIFEST)
        entry = {**described, "annotations": {"org.opencontainers.image.ref.name": "latest"}}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (folder / "index.json").write_text(json.dumps(index))


def digest(content: bytes) -> str:
    """Return a digest."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _encoded(document: object) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def _put(blobs: Path, content: bytes, media_type: str) -> Document:
    name = digest(content)
    (blobs / name.partition(":")[2]).write_bytes(content)
    return {"mediaType": media_type, "digest": name, "size": len(content)}
