"""[io] Publish a release: blobs and manifests by digest, then the indexes under their tags.

A failure, a kill or a full disk before the last phase leaves every tag where it was; what was sent stays and is not
sent again. The number of requests is the floor: an upload for each distinct new blob, one PUT for each manifest and
each tag, nothing for what is known to be there, at most one HEAD for a tag. To look again whether other runs moved the
tags meanwhile is a step of its own (`Family.settle`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from buildonce.errors import MissingBlobs, NotInStore, StoreError
from buildonce.oci import Digest
from buildonce.ship.receipts import Receipt
from buildonce.ship.release import Image, Release
from buildonce.ship.sending import Sender
from buildonce.ship.tagging import Move, move_tags
from buildonce.store.protocol import AtomicTags, Outcome, Store, Tagging
from buildonce.tasks import together


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


class Publisher:
    """Publishes releases to one store."""

    def __init__(self, store: Store, receipt: Receipt) -> None:
        self._store = store
        self._sender = Sender(store, receipt)
        self._tags = dict(receipt.tags)
        self._before: dict[str, Digest | None] = {}
        self._moved: set[str] = set()

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
        """What is known of the store now, also after a failure half-way."""
        return replace(self._sender.receipt, target=self.name, tags=dict(self._tags))

    @property
    def is_atomic(self) -> bool:
        """Say whether all tags of a release move in one step."""
        return isinstance(self._store, AtomicTags)

    async def publish(self, release: Release) -> Published:
        """Publish ``release``; raises `StoreError`; its tags are then where they were, or notes say which not."""
        await self.send(release)
        return await self.tag(release)

    async def send_early(self, image: Image, tags: Iterable[str]) -> None:
        """Send an image before the rest of its release is made, if the receipt tells that it is new under its tags.

        Does not fail for the store's sake: `send` does what is left, and raises what keeps it from that.
        """
        if not self._sender.is_recorded(image.descriptor.digest) and all(tag in self._tags for tag in tags):
            with suppress(StoreError):
                await self._sender.send(image)

    async def send(self, release: Release) -> None:
        """Have every image of ``release`` complete in the store, by digest; no tag moves."""
        self._before = await self._current_tags(release)
        await self._sender.send_all(self._pending(release))

    async def send_again(self, release: Release, missing: MissingBlobs) -> None:
        """Send the images of ``release`` once more, as far as they may be concerned by what is ``missing``."""
        images = list(self._pending(release))
        self._sender.forget(images, missing)
        await self._sender.send_all(images)

    async def tag(self, release: Release) -> Published:
        """Put the indexes of ``release``, which was sent, under their tags."""
        await move_tags([(self, release)])
        return self.published(release)

    def moves(self, release: Release) -> Sequence[Move]:
        """Return what of ``release``, which was sent, is to be moved: what is elsewhere, or all of it in one step."""
        everything = [Move(index, tag) for index in release.indexes for tag in index.tags]
        left = [one for one in everything if self._before[one.tag] != one.index.digest and one.tag not in self._moved]
        return everything if left and self.is_atomic else left

    async def move(self, moves: Sequence[Move]) -> Sequence[BaseException | None]:
        """Put indexes under their tags, whose images are complete by now; return what kept each from it."""
        if isinstance(self._store, AtomicTags):
            return [await _failure(self._move_at_once(self._store, moves))] * len(moves)
        of_index: dict[Digest, list[Move]] = {}
        for one in moves:
            of_index.setdefault(one.index.digest, []).append(one)
        failures: dict[str, BaseException | None] = {}
        for part in await together(map(self._move, of_index.values())):
            failures.update(part)
        return [failures[one.tag] for one in moves]

    async def _move(self, moves: Sequence[Move]) -> Mapping[str, BaseException | None]:
        """Put one index under its tags, in one request where the store can do that; return what kept each from it."""
        done: frozenset[str] = frozenset()
        if len(moves) > 1 and isinstance(self._store, Tagging):
            index = moves[0].index
            try:
                done = await self._store.put_together(index.content, index.media_type, [one.tag for one in moves])
            except StoreError as error:
                return {one.tag: error for one in moves}
        for one in moves:
            if one.tag in done:
                self._note(one)
        left = [one for one in moves if one.tag not in done]
        failures = await together(_failure(self.put(one)) for one in left)
        return dict.fromkeys(done) | {one.tag: failure for one, failure in zip(left, failures, strict=True)}

    async def put(self, move: Move) -> None:
        """Put an index under its tag. Raises `StoreError`."""
        await self._store.put_manifest(move.index.content, move.index.media_type, tag=move.tag)
        self._note(move)

    def moved(self, release: Release) -> Sequence[Move]:
        """Return what of ``release`` has been moved."""
        return [Move(index, tag) for index in release.indexes for tag in index.tags if tag in self._moved]

    async def put_back(self, move: Move) -> None:
        """Point a tag that was moved to where it pointed before; one that others moved since stays there.

        Raises `StoreError`, also when what it pointed to is gone.
        """
        before = self._before[move.tag]
        if before is None or await self.look(move.tag) != move.index.digest:
            return
        stored = await self._store.get_manifest(before)
        if stored is None:
            raise NotInStore(f"{self.name} has {before} no more, to which `{move.tag}` pointed")
        await self._store.put_manifest(stored.content, stored.media_type, tag=move.tag)
        self._tags[move.tag] = before
        self._moved.discard(move.tag)

    def places(self, release: Release) -> Sequence[Place]:
        """Return all tags of ``release``."""
        return [Place(self, Move(index, tag)) for index in release.indexes for tag in index.tags]

    async def look(self, tag: str) -> Digest | None:
        """Return where a tag points."""
        return await self._store.head_manifest(tag)

    def published(self, release: Release) -> Published:
        """Return what publication did with ``release``."""
        return Published(
            tags=tuple(_tag_results(release, self._before, self.name)),
            sent=frozenset(self._sender.sent),
            blobs=tuple(self._sender.outcomes),
        )

    async def _move_at_once(self, store: AtomicTags, moves: Sequence[Move]) -> None:
        indexes = {move.index.digest: move.index for move in moves}
        await together(self._store.put_manifest(one.content, one.media_type) for one in indexes.values())
        await store.set_tags({move.tag: move.index.digest for move in moves})
        for move in moves:
            self._note(move)

    def _note(self, move: Move) -> None:
        self._tags[move.tag] = move.index.digest
        self._moved.add(move.tag)

    def _pending(self, release: Release) -> Iterator[Image]:
        """Return the images of all indexes that are not under all their tags."""
        for index in release.indexes:
            if any(self._before[tag] != index.digest for tag in index.tags):
                yield from index.images

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


class Place:
    """A tag of a release and the store that it is in."""

    def __init__(self, publisher: Publisher, move: Move) -> None:
        self.label = f"{publisher.name}:{move.tag}"
        self.digest = move.index.digest
        self._publisher = publisher
        self._move = move

    async def look(self) -> Digest | None:
        """Return where the tag points."""
        return await self._publisher.look(self._move.tag)

    async def put(self) -> None:
        """Point the tag to the release's index."""
        await self._publisher.put(self._move)


async def _failure(action: Awaitable[None]) -> BaseException | None:
    """Return what an action raises, so that the others go on."""
    try:
        await action
    except Exception as error:  # noqa: BLE001  a task's boundary: it is raised when all have ended
        return error
    return None


def _tag_results(release: Release, before: Mapping[str, Digest | None], target: str) -> Iterable[TagResult]:
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
