"""[io] Have images complete in a store, by digest: each blob is sent once, and none that is known to be there."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from buildonce.errors import MissingBlobs
from buildonce.oci import Digest
from buildonce.ship.receipts import Receipt
from buildonce.ship.release import Image
from buildonce.ship.settling import pauses
from buildonce.store.ensuring import ensure_blob
from buildonce.store.protocol import Blob, Doubting, Outcome, Presence, Store
from buildonce.tasks import finishing, together

_RECEIPT_LIMIT = 50_000
"""How many digests a receipt may hold before it is begun anew."""

_GRACE = 5.0
"""Seconds that a blob on its way has left to arrive when the release has failed, so that it need not be sent again."""


@dataclass(slots=True, kw_only=True)
class _Known:
    """What is known of the store; ``recorded`` manifests are a receipt's word."""

    recorded: set[Digest] = field(default_factory=set)
    manifests: set[Digest] = field(default_factory=set)
    blobs: set[Digest] = field(default_factory=set)


class Sender:
    """Sends images to one store."""

    def __init__(self, store: Store, receipt: Receipt) -> None:
        self.sent: set[Digest] = set()
        self.outcomes: list[Outcome] = []
        self._store = store
        if isinstance(store, Doubting):
            store.doubted |= receipt.doubted
        self._known = _Known(recorded=set(receipt.manifests), blobs=set(receipt.blobs))
        self._is_mended = False
        self._doubted: set[Digest] = set()
        self._asked: set[Digest] = set()
        self._turns: defaultdict[Digest, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def receipt(self) -> Receipt:
        """What is known of the store now, also after a failure half-way; without its name and its tags."""
        known = self._known
        fresh = len(known.recorded) + len(known.blobs) > _RECEIPT_LIMIT
        return Receipt(
            target="",
            manifests=frozenset(known.manifests if fresh else known.manifests | known.recorded),
            blobs=frozenset() if fresh else frozenset(known.blobs),
            doubted=frozenset(self._store.doubted if isinstance(self._store, Doubting) else ()),
        )

    def is_recorded(self, digest: Digest) -> bool:
        """Say whether a receipt calls an image complete."""
        return digest in self._known.recorded

    async def send_all(self, images: Iterable[Image]) -> None:
        """Have the images complete. Raises `StoreError`."""
        distinct = {image.descriptor.digest: image for image in images}
        pause = pauses()
        while True:
            try:
                await together(self.send(image) for image in distinct.values())
            except MissingBlobs as missing:
                if not await pause():
                    raise
                self.forget(distinct.values(), missing)
            else:
                return

    async def send(self, image: Image) -> None:
        """Have an image complete. Raises `StoreError`, and `MissingBlobs` where less was there than was thought."""
        digest = image.descriptor.digest
        async with self._turns[digest]:
            if digest in self._known.manifests:
                return
            # A receipt's word that an image is complete is worth one request: else it is published without a look.
            if digest not in self._known.recorded or await self._store.head_manifest(digest) is None:
                await together(self.send(part) for part in image.parts)
                await self._send_blobs(image)
                await self._store.put_manifest(image.manifest, image.descriptor.media_type)
                self.sent.add(digest)
            self._known.manifests.add(digest)

    def forget(self, images: Collection[Image], missing: MissingBlobs) -> None:
        """Take back what was thought to be there of ``images``.

        The first time only what the store misses, if it says what: a busy registry misses for a moment what another
        run puts there once more. Then everything: the receipt was wrong, and the store lost something. What was there
        is asked for before it is sent again, but once: a store may say of a blob that it is there and still miss it.
        """
        before = self._known.blobs
        if self._is_mended or not missing.digests:
            self._known = _Known()
        else:
            self._forget(images, frozenset(missing.digests))
        self._is_mended = True
        self._doubted |= before - self._known.blobs - self._asked

    def _forget(self, images: Collection[Image], missing: frozenset[str]) -> None:
        known = self._known
        concerned = {
            image.descriptor.digest
            for image in images
            if missing & {image.descriptor.digest, *(blob.descriptor.digest for blob in (*image.new, *image.shared))}
        }
        known.blobs = known.blobs - missing
        known.manifests -= concerned
        known.recorded -= concerned

    async def _send_blobs(self, image: Image) -> None:
        """Have the blobs sent that the store is not known to have; each distinct one is sent once."""
        new = [self._send_blob(blob, self._store.put_blob) for blob in image.new]
        shared = [self._send_blob(blob, partial(ensure_blob, self._store)) for blob in image.shared]
        await together((*new, *shared))

    async def _send_blob(self, blob: Blob, send: Callable[[Blob], Awaitable[Outcome]]) -> None:
        digest = blob.descriptor.digest
        async with self._turns[digest]:
            if digest not in self._known.blobs:
                await finishing(self._transfer(blob, send), _GRACE)

    async def _transfer(self, blob: Blob, send: Callable[[Blob], Awaitable[Outcome]]) -> None:
        digest = blob.descriptor.digest
        if digest in self._doubted:
            self._doubted.discard(digest)
            self._asked.add(digest)
            send, blob = self._store.put_blob, replace(blob, presence=Presence.LIKELY)
        self.outcomes.append(await send(blob))
        self._known.blobs.add(digest)
