"""[io] Shipped images for the local engine: an archive of what it lacks, in the forms that Docker loads.

The archive is an OCI layout that also has the `manifest.json` of `docker save`, which Docker's older image store reads.
Layers that an image of the same name has there are left out at first, so that a changed program alone is on its way;
if the engine turns out to lack them, it gets everything.
"""

from __future__ import annotations

import asyncio
import io
import re
import tarfile
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from buildonce.assemble.config import decode_config
from buildonce.errors import EngineFailed, NotInStore
from buildonce.events import Activity, Emit, Finished, Started
from buildonce.oci import Descriptor, Digest, Manifest, decode_manifest
from buildonce.store.protocol import Source, Stored


class ImageEngine(Protocol):
    """A local engine that takes images; see `LocalImages`."""

    async def layers(self, name: str) -> frozenset[Digest]:
        """Return the diff IDs of the image of this name; none where there is no such image."""
        ...

    async def load(self, archive: Path) -> bool:
        """Load an archive of images; say whether all of them can be run."""
        ...


class AskedAhead:
    """A local engine that is asked for the images of some names while others work; needs a running event loop."""

    def __init__(self, engine: ImageEngine, names: Iterable[str]) -> None:
        self._engine = engine
        self._asked = {name: asyncio.ensure_future(engine.layers(name)) for name in dict.fromkeys(names)}
        for asked in self._asked.values():  # if it is not wanted in the end, it does not matter what became of it
            asked.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def layers(self, name: str) -> frozenset[Digest]:
        """Return the diff IDs of the image of this name as they were when it was asked; it counts once."""
        asked = self._asked.pop(name, None)
        return await (asked or self._engine.layers(name))

    async def load(self, archive: Path) -> bool:
        """Load an archive of images; say whether all of them can be run."""
        return await self._engine.load(archive)


class Loadable(Struct, frozen=True, kw_only=True):
    """An image in a store, and the names (``NAME:TAG``) that it gets in the local engine."""

    source: Source
    digest: Digest
    names: tuple[str, ...]


def local_names(target: str, folder: Path | None, tags: Sequence[str]) -> tuple[str, ...]:
    """Return an image's names in the local engine: those in its repository, else after the project's folder."""
    if target.startswith("oci:"):
        words = re.findall(r"[a-z0-9]+", (folder or Path()).resolve().name.lower())
        target = "-".join(words) or "image"
    return tuple(f"{target}:{tag}" for tag in tags)


async def load_images(images: Sequence[Loadable], engine: ImageEngine, emit: Emit) -> None:
    """Have images in the local engine, under all their names. Raises `StoreError` and `EngineFailed`."""
    for image in images:  # one after the other: each lies on the disk once more meanwhile
        name = image.names[0]
        emit(Started(activity=Activity.LOAD, node=name))
        started = time.monotonic()
        await load_image(image, engine)
        emit(Finished(activity=Activity.LOAD, node=name, seconds=time.monotonic() - started))


async def load_image(image: Loadable, engine: ImageEngine) -> None:
    """Have an image in the local engine, under all its names. Raises `StoreError` and `EngineFailed`."""
    stored = await image.source.get_manifest(image.digest)
    if stored is None:
        raise NotInStore(f"{image.source.name} does not hold {image.digest}")
    manifest = decode_manifest(stored.content)
    config = await _read(image.source, manifest.config)
    diff_ids = decode_config(config)["rootfs"]["diff_ids"]
    known = await engine.layers(image.names[0])
    with tempfile.TemporaryDirectory(prefix="buildonce-") as folder:
        archive = Path(folder) / "image.tar"
        for left_out in [known, frozenset[Digest]()] if known & set(diff_ids) else [known]:
            layers = [
                layer for layer, diff_id in zip(manifest.layers, diff_ids, strict=True) if diff_id not in left_out
            ]
            small = {**_documents(image, stored, manifest), _path(manifest.config): config}
            await _write(archive, small, layers, image.source)
            try:
                if await engine.load(archive):
                    return
            except EngineFailed:
                # Docker's own image store has a layer only on those that it had below it: it gets everything then.
                if len(layers) == len(manifest.layers):
                    raise
    raise EngineFailed(
        f"docker loaded {image.names[0]}, and cannot unpack it", help="see `docker events` and its log for the reason"
    )


def _documents(image: Loadable, stored: Stored, manifest: Manifest) -> Mapping[str, bytes]:
    described = {"mediaType": stored.media_type, "digest": image.digest, "size": len(stored.content)}
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{**described, "annotations": _names(name)} for name in image.names],
    }
    saved = [
        {
            "Config": _path(manifest.config),
            "RepoTags": image.names,
            "Layers": [_path(layer) for layer in manifest.layers],
        }
    ]
    return {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": msgspec.json.encode(index),
        "manifest.json": msgspec.json.encode(saved),
        f"blobs/{image.digest.replace(':', '/')}": stored.content,
    }


def _names(name: str) -> Mapping[str, str]:
    """Return the annotations by which containerd names what it imports."""
    return {"io.containerd.image.name": _familiar(name), "org.opencontainers.image.ref.name": name.rpartition(":")[2]}


def _familiar(name: str) -> str:
    first, slash, _ = name.partition("/")
    has_host = slash and (first == "localhost" or "." in first or ":" in first)
    return name if has_host else f"docker.io/{name if slash else f'library/{name}'}"


async def _write(archive: Path, small: Mapping[str, bytes], layers: Sequence[Descriptor], source: Source) -> None:
    """Write documents and layers; a layer that an image has twice is there once."""
    with await asyncio.to_thread(archive.open, "wb") as file:
        for name, content in small.items():
            file.write(_header(name, len(content)))
            file.write(content + _padding(len(content)))
        for layer in {one.digest: one for one in layers}.values():
            file.write(_header(_path(layer), layer.size))
            async for chunk in source.read_blob(layer):
                await asyncio.to_thread(file.write, chunk)
            file.write(_padding(layer.size))
        file.write(bytes(2 * tarfile.BLOCKSIZE))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _path(descriptor: Descriptor) -> str:
    return f"blobs/{descriptor.digest.replace(':', '/')}"


async def _read(source: Source, descriptor: Descriptor) -> bytes:
    out = io.BytesIO()
    async for chunk in source.read_blob(descriptor):
        out.write(chunk)
    return out.getvalue()
