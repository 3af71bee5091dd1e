"""OCI image layouts with images for several platforms. [io]"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .rootfs import EPOCH, Node, tar_chunks

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
REF_NAME = "org.opencontainers.image.ref.name"

CREATED = datetime.fromtimestamp(EPOCH, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer blob; `diff_id` is the digest of what it holds before compression."""

    digest: str
    size: int
    diff_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a container of the image starts with."""

    environment: tuple[str, ...]
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image manifest for one architecture."""

    digest: str
    size: int
    architecture: str


def create(target: Path) -> None:
    """Make an empty layout."""
    (target / "blobs" / "sha256").mkdir(parents=True)
    (target / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}\n')
    (target / "index.json").write_bytes(_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}))


def write_layer(target: Path, tree: Mapping[str, Node]) -> Layer:
    """Write a tree as a layer blob."""
    handle, name = tempfile.mkstemp(dir=target)
    # 31: a gzip frame, whose header holds no time. Level 1: what is stored once and read locally need not be small.
    compressor = zlib.compressobj(level=1, wbits=31)
    before, after = hashlib.sha256(), hashlib.sha256()
    with os.fdopen(handle, "wb") as blob:
        for chunk in tar_chunks(tree):
            before.update(chunk)
            compressed = compressor.compress(chunk)
            after.update(compressed)
            blob.write(compressed)
        rest = compressor.flush()
        after.update(rest)
        blob.write(rest)
        size = blob.tell()
    layer = Layer(digest=f"sha256:{after.hexdigest()}", size=size, diff_id=f"sha256:{before.hexdigest()}")
    Path(name).replace(blob_path(target, layer.digest))
    return layer


def write_image(target: Path, architecture: str, layers: Sequence[Layer], settings: Settings) -> Image:
    """Write an image's configuration and manifest."""
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": CREATED,
        "config": {"Env": list(settings.environment), "Cmd": list(settings.command)},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": CREATED, "created_by": "stand-in made of Debian packages"} for _ in layers],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, **_put(target, _json(config))},
        "layers": [{"mediaType": LAYER, "digest": layer.digest, "size": layer.size} for layer in layers],
    }
    content = _json(manifest)
    _put(target, content)
    return Image(digest=_digest(content), size=len(content), architecture=architecture)


def add_index(target: Path, name: str, images: Sequence[Image]) -> None:
    """Write an index over the images, and list it in the layout under its name."""
    manifests = [
        {
            "mediaType": MANIFEST,
            "digest": image.digest,
            "size": image.size,
            "platform": {"architecture": image.architecture, "os": "linux"},
        }
        for image in images
    ]
    content = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
    entry = {"mediaType": INDEX, **_put(target, content), "annotations": {REF_NAME: name}}
    listing = json.loads((target / "index.json").read_bytes())
    listing["manifests"].append(entry)
    (target / "index.json").write_bytes(_json(listing))


def named_indexes(target: Path) -> dict[str, str]:
    """Return the names in a layout, each with the digest of its index."""
    listing = json.loads((target / "index.json").read_bytes())
    return {entry["annotations"][REF_NAME]: entry["digest"] for entry in listing["manifests"]}


def blob_path(target: Path, digest: str) -> Path:
    """Return where a blob is in the layout."""
    return target / "blobs" / Path(*digest.split(":", 1))


def _put(target: Path, content: bytes) -> dict[str, object]:
    digest = _digest(content)
    blob_path(target, digest).write_bytes(content)
    return {"digest": digest, "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode()
