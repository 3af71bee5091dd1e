"""[io] Layers: asked for, or read whole, hashed and unpacked, each distinct one once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from buildonce.assemble.archive import Layer, Want, scan_layer
from buildonce.assemble.entries import NotExpressible
from buildonce.errors import ArchiveError, IntegrityError, NotInStore, RegistryFails
from buildonce.fit.loader_files import is_loader_file
from buildonce.oci import Descriptor, Digest
from buildonce.store.protocol import Listed, Local
from buildonce.store.streams import Verifier, file_chunks, place, verified
from buildonce.tasks import together
from buildonce.verify.documents import report_blob
from buildonce.verify.findings import Kind, Place
from buildonce.verify.images import LAYER_COMPRESSION, LoadedImage, is_elsewhere
from buildonce.verify.ledger import Ledger

_READ_AT_ONCE = 4
_ASKED_AT_ONCE = 16
_MAGIC: Mapping[str, bytes] = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_LARGEST = 1 << 37
"""The largest layer that is read, in bytes: 128 GiB, more than any registry takes."""


@dataclass(slots=True)
class Reading:
    """What was read of layers, and how much that was."""

    layers: dict[Digest, Layer] = field(default_factory=dict)
    compressions: dict[Digest, str] = field(default_factory=dict)
    blobs: int = 0
    bytes: int = 0


class _Part(Struct, frozen=True, kw_only=True):
    """A layer as one store should have it; ``place`` is the first that leads to it, ``also`` are the other images."""

    source: Listed
    descriptor: Descriptor
    place: Place
    also: tuple[Place, ...]

    def report(self, kind: Kind, message: str, ledger: Ledger, *notes: str) -> None:
        """Write down what is wrong with it."""
        ledger.find(kind, message, self.place, *notes, also=self.also)


def layers_of(images: Iterable[LoadedImage]) -> tuple[_Part, ...]:
    """Return the distinct layers of images, with the places that lead to them."""
    found: dict[tuple[str, Digest, int], list[tuple[LoadedImage, int]]] = {}
    for image in images:
        for number, layer in enumerate(image.manifest.layers):
            if not is_elsewhere(layer):
                found.setdefault((image.source.name, layer.digest, layer.size), []).append((image, number))
    return tuple(_part(users) for users in found.values())


def _part(users: Sequence[tuple[LoadedImage, int]]) -> _Part:
    image, number = users[0]
    others = (place for other, _ in users for place in (other.place, *other.also))
    also = tuple(dict.fromkeys(place for place in others if place != image.place))
    layer = image.manifest.layers[number]
    return _Part(source=image.source, descriptor=layer, place=image.layer_place(number), also=also)


async def ask_for_layers(images: Iterable[LoadedImage], ledger: Ledger) -> Reading:
    """See whether every layer is there with its size, without reading any."""
    limit = asyncio.Semaphore(_ASKED_AT_ONCE)

    async def ask(part: _Part) -> None:
        async with limit:
            await _is_there(part, ledger)

    parts = layers_of(images)
    await together(ask(part) for part in parts)
    return Reading(blobs=len(parts))


async def read_layers(images: Iterable[LoadedImage], folder: Path, ledger: Ledger) -> Reading:
    """Read every layer from every store that should have it; what is unpacked is unpacked once.

    ``folder`` takes a few layers at a time, while they are looked at. Raises `StoreError` when a store cannot be
    asked, and `DiskError`.
    """
    reader = _Reader(folder, ledger)
    await together(reader.read(part) for part in layers_of(images))
    return reader.reading


async def _is_there(part: _Part, ledger: Ledger) -> bool:
    try:
        size = await part.source.blob_size(part.descriptor)
    except RegistryFails as error:
        await report_blob("layer", part.source, error, part.place, part.also, ledger)
        return False
    if size is None:
        part.report(Kind.BLOB_MISSING, "the layer is not there", ledger)
    elif size != part.descriptor.size:
        note = f"it has {size} bytes instead of {part.descriptor.size}"
        part.report(Kind.BLOB_SIZE, "the layer has another size than its manifest says", ledger, note)
    return size == part.descriptor.size


class _Reader:
    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.reading = Reading()
        self._folder = folder
        self._ledger = ledger
        self._limit = asyncio.Semaphore(_READ_AT_ONCE)
        self._number = 0

    async def read(self, part: _Part) -> None:
        async with self._limit:
            if part.descriptor.size > _LARGEST:
                message = f"the layer is said to have {part.descriptor.size} bytes and was not read"
                part.report(Kind.TOO_MUCH, message, self._ledger)
                return
            try:
                await self._read(part)
            except (NotInStore, IntegrityError, RegistryFails) as error:
                await report_blob("layer", part.source, error, part.place, part.also, self._ledger)

    async def _read(self, part: _Part) -> None:
        if isinstance(part.source, Local):
            if await _is_there(part, self._ledger) and (path := part.source.path_of(part.descriptor)):
                await self._look_into(path, part, is_checked=False)
            return
        if part.descriptor.digest in self.reading.layers or part.descriptor.media_type not in LAYER_COMPRESSION:
            async for _ in self._counted(part):
                pass
            return
        self._number += 1
        path = self._folder / f"layer-{self._number}"
        try:
            await place(path, self._counted(part), Verifier(part.descriptor, str(part.descriptor.digest)))
            await self._look_into(path, part, is_checked=True)
        finally:
            path.unlink(missing_ok=True)

    async def _counted(self, part: _Part) -> AsyncIterator[bytes]:
        self.reading.blobs += 1
        async for chunk in part.source.read_blob(part.descriptor):
            self.reading.bytes += len(chunk)
            yield chunk

    async def _look_into(self, path: Path, part: _Part, *, is_checked: bool) -> None:
        """Unpack a layer that is in a file, whose digest may be unchecked still."""
        descriptor = part.descriptor
        if not is_checked:
            self.reading.blobs += 1
            self.reading.bytes += descriptor.size
        if descriptor.digest in self.reading.layers or descriptor.media_type not in LAYER_COMPRESSION:
            if not is_checked:
                await _check_file(path, descriptor)
            return
        try:
            layer = await asyncio.to_thread(_scan, path)
        except (ArchiveError, NotExpressible) as error:
            await _check_file(path, descriptor)
            kind = Kind.LAYER_BROKEN if isinstance(error, ArchiveError) else Kind.TOO_MUCH
            part.report(kind, error.message, self._ledger)
            return
        if not is_checked and layer.digest != descriptor.digest:
            await _check_file(path, descriptor)
        self.reading.layers[descriptor.digest] = layer
        self.reading.compressions[descriptor.digest] = await asyncio.to_thread(_compression, path)


async def _check_file(path: Path, descriptor: Descriptor) -> None:
    async for _ in verified(file_chunks(path), descriptor, f"{path}"):
        pass


def _scan(path: Path) -> Layer:
    with path.open("rb") as file:
        return scan_layer(file, Want(keep=is_loader_file, runnables=True))


def _compression(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for name, magic in _MAGIC.items() if head.startswith(magic)), "uncompressed")
