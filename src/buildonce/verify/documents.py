"""[io] Manifests and indexes read from a store; what is wrong with one goes into the ledger instead of stopping all."""

from __future__ import annotations

import asyncio

from buildonce.errors import DigestMismatch, IntegrityError, NotInStore, RegistryFails
from buildonce.oci import Descriptor
from buildonce.store.protocol import Listed, Stored
from buildonce.verify.findings import Kind, Place
from buildonce.verify.ledger import Ledger

_PARALLEL = 8
_LARGEST_CONFIG = 16 << 20
_MOST = 256 << 20
"""How many bytes of manifests and configs are read in all: those of some ten thousand images."""

_NOTHING = f"sha256:{'0' * 64}"
"""A digest that nothing has."""


class Documents:
    """Reads documents, a few at a time, and not more than a release of any size has."""

    def __init__(self, ledger: Ledger, *, most: int = _MOST) -> None:
        self._ledger = ledger
        self._limit = asyncio.Semaphore(_PARALLEL)
        self._left = most

    async def named(self, source: Listed, name: str, place: Place) -> Stored | None:
        """Return what a user asked for by tag or digest."""
        found, stored = await self._read(source, name, place)
        if not found:
            self._ledger.find(Kind.TAG_MISSING, f"{source.name} has no `{name}`", place)
        return stored

    async def referred(
        self, source: Listed, descriptor: Descriptor, place: Place, also: tuple[Place, ...] = ()
    ) -> Stored | None:
        """Return the manifest or index that a descriptor refers to; ``also`` are other places that do."""
        found, stored = await self._read(source, descriptor.digest, place, also)
        if not found and await source.blob_size(descriptor) is None:
            message = f"the manifest {descriptor.digest} is not there"
            self._ledger.find(Kind.MANIFEST_MISSING, message, place, also=also)
        elif not found:
            message = f"{descriptor.digest} is there, but it is no manifest or index"
            self._ledger.find(Kind.MANIFEST_INVALID, message, place, also=also)
        return stored

    async def _read(
        self, source: Listed, name: str, place: Place, also: tuple[Place, ...] = ()
    ) -> tuple[bool, Stored | None]:
        """Return whether there is something, and what it is unless something is wrong with it."""
        try:
            async with self._limit:
                stored = await source.get_manifest(name)
        except DigestMismatch as error:
            self._ledger.find(Kind.MANIFEST_DIGEST, error.message, place, *error.notes, also=also)
        except IntegrityError as error:
            self._ledger.find(Kind.MANIFEST_INVALID, error.message, place, *error.notes, also=also)
        except RegistryFails as error:
            await report_failure(f"the registry cannot give `{name}`", source, error, place, also, self._ledger)
        else:
            return stored is not None, stored if stored and self._takes(len(stored.content), place) else None
        return True, None

    async def config(
        self, source: Listed, descriptor: Descriptor, place: Place, also: tuple[Place, ...]
    ) -> bytes | None:
        """Return the config that a manifest refers to."""
        if descriptor.size > _LARGEST_CONFIG:
            message = f"the config is said to have {descriptor.size} bytes"
            self._ledger.find(Kind.TOO_MUCH, message, place, also=also)
            return None
        if not self._takes(descriptor.size, place):
            return None
        try:
            async with self._limit:
                return b"".join([chunk async for chunk in source.read_blob(descriptor)])
        except (NotInStore, IntegrityError, RegistryFails) as error:
            await report_blob("config", source, error, place, also, self._ledger)
            return None

    def _takes(self, size: int, place: Place) -> bool:
        self._left -= size
        if self._left < 0:
            self._ledger.find(Kind.TOO_MUCH, "manifests and configs come to more than is read", place)
        return self._left >= 0


async def report_failure(
    message: str, source: Listed, error: RegistryFails, place: Place, also: tuple[Place, ...], ledger: Ledger
) -> None:
    """Write down that a registry fails for one thing; raise the error if it fails for others too: then it is down."""
    if await source.get_manifest(_NOTHING) is None:
        ledger.find(Kind.UNREADABLE, message, place, *error.notes, also=also)
    else:
        raise error


async def report_blob(
    what: str,
    source: Listed,
    error: NotInStore | IntegrityError | RegistryFails,
    place: Place,
    also: tuple[Place, ...],
    ledger: Ledger,
) -> None:
    """Write down what came of reading a blob; ``what`` is what to call it."""
    match error:
        case RegistryFails():
            await report_failure(f"the registry cannot give the {what}", source, error, place, also, ledger)
        case NotInStore():
            ledger.find(Kind.BLOB_MISSING, f"the {what} is not there", place, *error.notes, also=also)
        case DigestMismatch():
            message = f"the {what} has other content than its digest says"
            ledger.find(Kind.BLOB_DIGEST, message, place, error.message, *error.notes, also=also)
        case _:
            message = f"the {what} has another size than its manifest says"
            ledger.find(Kind.BLOB_SIZE, message, place, error.message, *error.notes, also=also)
