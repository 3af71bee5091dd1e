"""[io] Publish a release: blobs and manifests by digest, then the indexes under their tags.

A failure, a kill or a full disk before the last phase leaves every tag where it was; what was sent stays and is not
sent again. The number of requests is the floor: an upload for each distinct new blob, one PUT for each manifest and
each tag, nothing for what is known to be there, at most one HEAD for a tag.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

from msgspec import Struct

from buildonce.errors import MissingBlobs, StoreError
from buildonce.oci import Digest
from buildonce.ship.receipts import Receipt
from buildonce.ship.release import Image, Release, VariantIndex
from buildonce.ship.tagging import Move, move_tags
from buildonce.store.ensuring import ensure_blob
from buildonce.store.protocol import Blob, Outcome, Store
from buildonce.tasks import together

_RECEIPT_LIMIT = 50_000
"""How many digests a receipt may hold before it is begun anew."""


class TagOutcome(Enum):
    """What happened to a tag."""

    CREATED = "created"
    MOVED = "moved"
    UNCHANGED = "unchanged"


class TagResult(Struct, frozen=True, kw_only=True):
    """A tag after publication; ``target`` is the store it is in, ``digest`` the index it points to."""

    target: str
    variant: str
    tag: str
    digest: Digest
    outcome: TagOutcome


class Published(Struct, frozen=True, kw_only=True):
    """What publication did; ``sent`` are the manifests of images that had to be sent."""

    tags: tuple[TagResult, ...]
    sent: frozenset[Digest]
    blobs: tuple[Outcome, ...]


@dataclass(slots=True, kw_only=True)
class _Progress:
    """What is known of the target while a publication goes on; ``recorded`` manifests are a receipt's word."""

    recorded: frozenset[Digest] = frozenset()
    manifests: set[Digest] = field(default_factory=set)
    blobs: set[Digest] = field(default_factory=set)
    sent: set[Digest] = field(default_factory=set)
    outcomes: list[Outcome] = field(default_factory=list)


class Publisher:
    """Publishes releases to one store."""

    def __init__(self, store: Store, receipt: Receipt) -> None:
        self._store = store
        self._receipt = receipt
        self._progress = _Progress(recorded=receipt.manifests, blobs=set(receipt.blobs))
        self._tags = dict(receipt.tags)
        self._before: dict[str, Digest | None] = {}
        self._moved: set[str] = set()
        self._turns: defaultdict[Digest, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def name(self) -> str:
        """How messages call the store."""
        return self._store.name

    @property
    def before(self) -> Mapping[str, Digest | None]:
        """Where the tags of the release that was sent pointed before."""
        return self._before

    @property
    def receipt(self) -> Receipt:
        """What is known of the target now, also after a failure half-way."""
        progress = self._progress
        fresh = len(progress.recorded) + len(progress.blobs) > _RECEIPT_LIMIT
        return Receipt(
            target=self._receipt.target,
            tags=dict(self._tags),
            manifests=frozenset(progress.manifests if fresh else progress.manifests | progress.recorded),
            blobs=frozenset() if fresh else frozenset(progress.blobs),
        )

    async def publish(self, release: Release) -> Published:
        """Publish ``release``; raises `StoreError` and then has moved no tag, unless the message says which."""
        await self.send(release)
        return await self.tag(release)

    async def send_early(self, image: Image, tags: Iterable[str]) -> None:
        """Send an image before the rest of its release is made, if the receipt tells that it is new under its tags.

        Does not fail for the store's sake: `send` does what is left, and raises what keeps it from that.
        """
        if image.descriptor.digest not in self._progress.recorded and all(tag in self._tags for tag in tags):
            with suppress(StoreError):
                await self._send_image(image)

    async def send(self, release: Release) -> None:
        """Have every image of ``release`` complete in the store, by digest; no tag moves."""
        self._before = await self._current_tags(release)
        try:
            await self._send_images(release)
        except MissingBlobs:
            await self.send_again(release)

    async def tag(self, release: Release) -> Published:
        """Put the indexes of ``release``, which was sent, under their tags."""
        await move_tags([(self, release)])
        return self.published(release)

    def moves(self, release: Release) -> tuple[Move, ...]:
        """Return what of ``release``, which was sent, is not under its tag yet."""
        pending = (Move(index, tag) for index in self._pending(release) for tag in index.tags)
        return tuple(one for one in pending if self._before[one.tag] != one.index.digest and one.tag not in self._moved)

    async def move(self, move: Move) -> None:
        """Put an index under its tag; every image is complete by now."""
        await self._store.put_manifest(move.index.content, move.index.media_type, tag=move.tag)
        self._tags[move.tag] = move.index.digest
        self._moved.add(move.tag)

    def published(self, release: Release) -> Published:
        """Return what publication did with ``release``."""
        return Published(
            tags=tuple(_tag_results(release, self._before, self.name)),
            sent=frozenset(self._progress.sent),
            blobs=tuple(self._progress.outcomes),
        )

    async def send_again(self, release: Release) -> None:
        """Send everything once more: the receipt was wrong (the target lost something)."""
        self._progress = _Progress()
        await self._send_images(release)

    def _pending(self, release: Release) -> Iterator[VariantIndex]:
        return (index for index in release.indexes if not _is_current(index, self._before))

    async def _current_tags(self, release: Release) -> dict[str, Digest | None]:
        """Return where each tag points, asking only when a known or unknown state could mean "nothing to do"."""

        async def current(tag: str, digest: Digest) -> Digest | None:
            known = self._tags.get(tag)
            if known is not None and known != digest:
                return known
            found = await self._store.head_manifest(tag)
            if found is not None:
                self._tags[tag] = found
            return found

        wanted = [(tag, index.digest) for index in release.indexes for tag in index.tags]
        digests = await together(current(tag, digest) for tag, digest in wanted)
        return {tag: digest for (tag, _), digest in zip(wanted, digests, strict=True)}

    async def _send_images(self, release: Release) -> None:
        images = {image.descriptor.digest: image for index in self._pending(release) for image in index.images}
        await together(self._send_image(image) for image in images.values())

    async def _send_image(self, image: Image) -> None:
        digest = image.descriptor.digest
        async with self._turns[digest]:
            if digest in self._progress.manifests:
                return
            # A receipt's word that an image is complete is worth one request: else it is published without a look.
            if digest not in self._progress.recorded or await self._store.head_manifest(digest) is None:
                await self._send_blobs(image)
                await self._store.put_manifest(image.manifest, image.descriptor.media_type)
                self._progress.sent.add(digest)
            self._progress.manifests.add(digest)

    async def _send_blobs(self, image: Image) -> None:
        """Have the blobs sent that the target is not known to have; each distinct one is sent once."""
        new = [self._send_blob(blob, self._store.put_blob) for blob in image.new]
        shared = [self._send_blob(blob, partial(ensure_blob, self._store)) for blob in image.shared]
        await together((*new, *shared))

    async def _send_blob(self, blob: Blob, send: Callable[[Blob], Awaitable[Outcome]]) -> None:
        digest = blob.descriptor.digest
        async with self._turns[digest]:
            if digest not in self._progress.blobs:
                self._progress.outcomes.append(await send(blob))
                self._progress.blobs.add(digest)


def _is_current(index: VariantIndex, before: dict[str, Digest | None]) -> bool:
    return all(before[tag] == index.digest for tag in index.tags)


def _tag_results(release: Release, before: dict[str, Digest | None], target: str) -> Iterable[TagResult]:
    for index in release.indexes:
        for tag in index.tags:
            match before[tag]:
                case None:
                    outcome = TagOutcome.CREATED
                case digest if digest == index.digest:
                    outcome = TagOutcome.UNCHANGED
                case _:
                    outcome = TagOutcome.MOVED
            yield TagResult(target=target, variant=index.variant, tag=tag, digest=index.digest, outcome=outcome)
