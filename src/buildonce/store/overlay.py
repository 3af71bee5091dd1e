"""[io] A store that is read and never written: what would be written to it goes to a layout on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from buildonce.errors import MissingBlobs
from buildonce.oci import Descriptor, Digest, MediaType, digest_of
from buildonce.store.layout import LayoutStore
from buildonce.store.protocol import Blob, Local, Outcome, Stored
from buildonce.store.registry import RegistryStore


class OverlayStore:
    """``lower`` with what this machine adds to it in ``upper``, which is asked first."""

    def __init__(self, lower: LayoutStore | RegistryStore, upper: LayoutStore) -> None:
        self.lower = lower
        self.upper = upper

    @property
    def name(self) -> str:
        """The store that is read, as messages call it."""
        return self.lower.name

    async def holder(self, digest: Digest) -> LayoutStore | RegistryStore:
        """Return which of the two has a manifest that was read from here."""
        return self.upper if await self.upper.head_manifest(digest) else self.lower

    async def get_manifest(self, name: str) -> Stored | None:
        """Return the manifest or index under a tag or digest; None where there is none."""
        return await self.upper.get_manifest(name) or await self.lower.get_manifest(name)

    async def head_manifest(self, name: str) -> Digest | None:
        """Return the digest under a tag, or the digest itself if it is there."""
        return await self.upper.head_manifest(name) or await self.lower.head_manifest(name)

    async def read_blob(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """Stream a blob, checked."""
        store = self.upper if await self.upper.has_blob(descriptor) else self.lower
        async for chunk in store.read_blob(descriptor):
            yield chunk

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Say whether the blob is there with the right size."""
        return await self.upper.has_blob(descriptor) or await self.lower.has_blob(descriptor)

    def path_of(self, descriptor: Descriptor) -> Path | None:
        """Return the file that holds a blob, if one on this machine does. Its content is not checked."""
        return self.upper.path_of(descriptor) or (
            self.lower.path_of(descriptor) if isinstance(self.lower, Local) else None
        )

    async def put_blob(self, blob: Blob) -> Outcome:
        """Have the blob on this machine."""
        return await self.upper.put_blob(blob)

    async def put_manifest(self, content: bytes, media_type: MediaType, *, tag: str | None = None) -> Digest:
        """Keep a manifest on this machine; return its digest.

        What would give another record to an image of the store below is not kept: its blobs are not here.
        """
        with suppress(MissingBlobs):
            await self.upper.put_manifest(content, media_type, tag=tag)
        return digest_of(content)
