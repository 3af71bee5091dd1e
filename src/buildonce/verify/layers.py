"""[io] Layers: asked for, or read whole, hashed and unpacked, each distinct one once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from buildonce.assemble.archive import Layer, Want, scan_layer
from buildonce.assemble.entries import NotExpressible
from buildonce.assemble.limits import Budget, TooLarge
from buildonce.errors import ArchiveError, IntegrityError, NotInStore, RegistryFails
from buildonce.fit.loader_files import is_loader_file
from buildonce.oci import Descriptor, Digest
from buildonce.store.feeding import read_in_thread
from buildonce.store.protocol import Listed, Local, Readable
from buildonce.tasks import together
from buildonce.verify.documents import report_blob
from buildonce.verify.findings import Kind, Place
from buildonce.verify.images import LAYER_COMPRESSION, LoadedImage, is_elsewhere
from buildonce.verify.ledger import Ledger

_READ_AT_ONCE = 4
_ASKED_AT_ONCE = 16
_MEMORY = 2 << 30
"""Bytes that the lists of files of a whole release may take: some three million files."""

_WANT = Want(keep=is_loader_file, runnables=True, digest=False)
_MAGIC_SIZE = 4
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


async def read_layers(images: Iterable[LoadedImage], ledger: Ledger) -> Reading:
    """Read every layer from every store that should have it; what is unpacked is unpacked once.

    Nothing is kept but what the archives list. Raises `StoreError` when a store cannot be asked.
    """
    reader = _Reader(ledger)
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
    def __init__(self, ledger: Ledger) -> None:
        self.reading = Reading()
        self._ledger = ledger
        self._limit = asyncio.Semaphore(_READ_AT_ONCE)
        self._budget = Budget(_MEMORY)

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
        digest = part.descriptor.digest
        if isinstance(part.source, Local) and not await _is_there(part, self._ledger):
            return
        self.reading.blobs += 1
        if digest in self.reading.layers or part.descriptor.media_type not in LAYER_COMPRESSION:
            await self._drain(part)
            return
        try:
            layer = await read_in_thread(self._chunks(part), self._scan)
        except (ArchiveError, NotExpressible) as error:
            await self._drain(part)  # is it what its digest says, at least?
            self._report(part, error)
        else:
            self.reading.layers[digest] = layer

    def _scan(self, stream: Readable) -> Layer:
        return scan_layer(stream, _WANT, budget=self._budget)

    def _report(self, part: _Part, error: ArchiveError | NotExpressible) -> None:
        if isinstance(error, TooLarge):
            part.report(Kind.TOO_MUCH, error.message, self._ledger)
        elif isinstance(error, NotExpressible):
            self._ledger.remark(f"not every engine unpacks this in the same way: {error.message}", part.place)
        else:
            part.report(Kind.LAYER_BROKEN, error.message, self._ledger)

    async def _drain(self, part: _Part) -> None:
        async for _ in self._chunks(part):
            pass

    async def _chunks(self, part: _Part) -> AsyncIterator[bytes]:
        """Stream a layer, checked; remember how it is compressed."""
        head = b""
        self.reading.compressions.setdefault(part.descriptor.digest, "uncompressed")
        async for chunk in part.source.read_blob(part.descriptor):
            self.reading.bytes += len(chunk)
            if len(head) < _MAGIC_SIZE:
                head = (head + chunk)[:_MAGIC_SIZE]
                self.reading.compressions[part.descriptor.digest] = _compression(head)
            yield chunk


def _compression(head: bytes) -> str:
    return next((name for name, magic in _MAGIC.items() if head.startswith(magic)), "uncompressed")
