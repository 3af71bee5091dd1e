"""Which blobs this run has put where, so that each crosses the network once however often it is asked for."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable

from buildonce.oci import Digest
from buildonce.reference import Repository
from buildonce.store.protocol import Outcome

Transfer = Callable[[Repository | None], Awaitable[Outcome]]
"""Has a blob in its target, mounted from the given repository if possible."""


class UploadTable:
    """The blobs known to be in each registry, and the turns of those who want to put them there."""

    def __init__(self) -> None:
        self._holders: defaultdict[tuple[str, Digest], dict[Repository, None]] = defaultdict(dict)
        self._first: defaultdict[tuple[str, Digest], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._turns: defaultdict[tuple[Repository, Digest], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(
        self, target: Repository, digest: Digest, origins: Iterable[Repository], transfer: Transfer
    ) -> Outcome:
        """Have a blob in ``target`` by at most one ``transfer`` at a time; say what it took.

        The first upload to a registry goes alone, and all other repositories there then mount from its target.
        """
        holders = self._holders[target.registry, digest]
        async with self._turns[target, digest]:
            if target in holders:
                return Outcome.EXISTED
            origin = _choose(target, [*origins, *holders])
            if not origin:
                async with self._first[target.registry, digest]:
                    if not holders:
                        return await self._transfer(target, digest, None, transfer)
                origin = next(iter(holders))
            return Outcome.EXISTED if origin == target else await self._transfer(target, digest, origin, transfer)

    def holds(self, repository: Repository, digest: Digest) -> bool:
        """Say whether this run saw that a repository has a blob."""
        return repository in self._holders.get((repository.registry, digest), {})

    def forget(self, repository: Repository, digests: Iterable[str]) -> None:
        """Do not rely any longer on what a repository was thought to hold (all of it if no digest is named)."""
        named = set(digests)
        for (_, digest), holders in self._holders.items():
            if not named or digest in named:
                holders.pop(repository, None)

    async def _transfer(
        self, target: Repository, digest: Digest, origin: Repository | None, transfer: Transfer
    ) -> Outcome:
        outcome = await transfer(origin)
        self._holders[target.registry, digest][target] = None
        return outcome


def _choose(target: Repository, candidates: list[Repository]) -> Repository | None:
    """Return the target itself if it is among those that hold the blob, else the first in the same registry."""
    if target in candidates:
        return target
    return next((candidate for candidate in candidates if candidate.registry == target.registry), None)
