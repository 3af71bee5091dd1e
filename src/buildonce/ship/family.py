"""A release over several repositories: everything by digest in all of them first, then all tags together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from buildonce.oci import Digest
from buildonce.ship.publication import Published, Publisher
from buildonce.ship.release import Image, Release
from buildonce.ship.tagging import move_tags, settle_tags
from buildonce.tasks import together


class Family:
    """Publishes releases whose variants go to the stores of ``publishers``, by variant; several may share one."""

    def __init__(self, publishers: Mapping[str, Publisher]) -> None:
        self._publishers = publishers

    async def send_early(self, image: Image, variant: str, tags: Iterable[str]) -> None:
        """Send an image before the rest of its release is made; see `Publisher.send_early`."""
        await self._publishers[variant].send_early(image, tags)

    async def send(self, release: Release) -> None:
        """Have every image complete in its store, by digest; no tag moves. Raises `StoreError`."""
        await together(publisher.send(part) for publisher, part in self._parts(release))

    async def tag(self, release: Release) -> Published:
        """Move the tags of ``release``, which was sent, in all stores, or in none; raises what `move_tags` does."""
        parts = self._parts(release)
        await move_tags(parts)
        return self.published(release)

    async def settle(self, release: Release) -> bool:
        """See that the tags of ``release``, which moved, are together; say whether they are still where they moved to.

        Raises `ContestedTags`.
        """
        return await settle_tags(self._parts(release))

    def published(self, release: Release) -> Published:
        """Return what publication did with ``release``, the tags in its order."""
        done = [publisher.published(part) for publisher, part in self._parts(release)]
        results = {(one.variant, one.tag): one for part in done for one in part.tags}
        return Published(
            tags=tuple(results[index.variant, tag] for index in release.indexes for tag in index.tags),
            sent=frozenset[Digest]().union(*(part.sent for part in done)),
            blobs=tuple(outcome for part in done for outcome in part.blobs),
        )

    def before(self, release: Release) -> Iterator[tuple[str, str, Digest | None]]:
        """Yield the store, the tag and where it pointed, for each tag of ``release``, which was sent."""
        for index in release.indexes:
            publisher = self._publishers[index.variant]
            for tag in index.tags:
                yield publisher.name, tag, publisher.before[tag]

    def has_moves(self, release: Release) -> bool:
        """Say whether any tag of ``release``, which was sent, points elsewhere."""
        return any(publisher.moves(part) for publisher, part in self._parts(release))

    def has_moved(self, release: Release) -> bool:
        """Say whether any tag of ``release`` has been moved, and not put back."""
        return any(publisher.moved(part) for publisher, part in self._parts(release))

    def _parts(self, release: Release) -> Sequence[tuple[Publisher, Release]]:
        distinct = dict.fromkeys(self._publishers[index.variant] for index in release.indexes)
        return [
            (one, Release(indexes=tuple(index for index in release.indexes if self._publishers[index.variant] is one)))
            for one in distinct
        ]
