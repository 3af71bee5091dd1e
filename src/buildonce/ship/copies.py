"""[io] Images that are in a store already, as a release for another one: the same bytes under the same digests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial

from msgspec import Struct

from buildonce.errors import StoreError
from buildonce.oci import INDEX_TYPES, Descriptor, Digest, Platform
from buildonce.ship.release import Image, Release, VariantIndex
from buildonce.store.documents import referred
from buildonce.store.protocol import Blob, Source, Stored
from buildonce.store.registry import RegistryStore
from buildonce.tasks import together

_UNKNOWN = Platform(os="unknown", architecture="unknown")
"""As BuildKit calls what is no image for a platform (attestations)."""

_DEPTH = 8
"""How many indexes may be within each other."""

_READERS = 16
"""How many blobs are read at once, and how many manifests."""


class Found(Struct, frozen=True, kw_only=True):
    """An image or index in a source: what a person calls it, its bytes, and the tag that it is to get."""

    name: str
    source: Source
    stored: Stored
    tag: str


async def copied_release(images: Sequence[Found]) -> Release:
    """Return ``images`` with all that they refer to; blobs are read when they are sent.

    Raises `StoreError` when a source lacks a manifest that an index refers to.
    """
    reading = asyncio.Semaphore(_READERS)
    sources = {id(one.source): one.source for one in images}
    loaded = {
        key: await _load(source, [one.stored for one in images if one.source is source], reading)
        for key, source in sources.items()
    }
    return Release(indexes=tuple(_index(one, _Maker(one.source, loaded[id(one.source)], reading)) for one in images))


def _index(one: Found, maker: _Maker) -> VariantIndex:
    stored = one.stored
    is_index = stored.media_type in INDEX_TYPES
    return VariantIndex(
        variant=one.name,
        tags=(one.tag,),
        images=maker.parts(stored) if is_index else (maker.image(stored, _UNKNOWN),),
        content=stored.content,
        media_type=stored.media_type,
        digest=stored.digest,
    )


async def _load(source: Source, roots: Iterable[Stored], reading: asyncio.Semaphore) -> Mapping[Digest, Stored]:
    """Return every manifest and index that ``roots`` lead to, each read once."""

    async def load(descriptor: Descriptor) -> Stored:
        async with reading:
            stored = await source.get_manifest(descriptor.digest)
        if not stored:
            raise StoreError(f"{source.name} lacks {descriptor.digest}, to which an index there refers")
        return stored

    found: dict[Digest, Stored] = {}
    level = list(roots)
    for _ in range(_DEPTH):
        found |= {stored.digest: stored for stored in level}
        wanted = {
            below.digest: below
            for stored in level
            if stored.media_type in INDEX_TYPES
            for below in referred(stored.content, stored.media_type)
            if below.digest not in found
        }
        if not wanted:
            return found
        level = await together(load(descriptor) for descriptor in wanted.values())
    raise StoreError(
        f"{source.name} has more than {_DEPTH} indexes within each other",
        help="copy the images that they lead to one by one",
    )


class _Maker:
    """Makes images of what was read of one source, each once."""

    def __init__(self, source: Source, loaded: Mapping[Digest, Stored], reading: asyncio.Semaphore) -> None:
        self.source = source
        self.loaded = loaded
        self.reading = reading
        self.made: dict[Digest, Image] = {}
        self.origins = (source.repository,) if isinstance(source, RegistryStore) else ()

    def parts(self, index: Stored) -> tuple[Image, ...]:
        """Return what an index refers to."""
        below = referred(index.content, index.media_type)
        return tuple(self.image(self.loaded[one.digest], one.platform or _UNKNOWN) for one in below)

    def image(self, stored: Stored, platform: Platform) -> Image:
        """Return an image, or an index within an index."""
        if stored.digest not in self.made:
            is_index = stored.media_type in INDEX_TYPES
            blobs = () if is_index else referred(stored.content, stored.media_type)
            self.made[stored.digest] = Image(
                platform=platform,
                manifest=stored.content,
                descriptor=Descriptor(
                    media_type=stored.media_type, digest=stored.digest, size=len(stored.content), platform=platform
                ),
                new=(),
                shared=tuple(
                    Blob(descriptor=blob, open=partial(self.read, blob), origins=self.origins) for blob in blobs
                ),
                parts=self.parts(stored) if is_index else (),
            )
        return self.made[stored.digest]

    async def read(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """Stream a blob, a bounded number at once."""
        async with self.reading:
            async for chunk in self.source.read_blob(descriptor):
                yield chunk
