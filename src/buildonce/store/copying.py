"""[io] Images from one store to another, whole."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from msgspec import Struct

from buildonce.errors import StoreError
from buildonce.oci import INDEX_TYPES, Descriptor, Digest
from buildonce.reference import Repository
from buildonce.store.documents import referred
from buildonce.store.ensuring import ensure_blob
from buildonce.store.protocol import Blob, Outcome, Source, Store, Stored
from buildonce.store.registry import RegistryStore
from buildonce.tasks import together

_PARALLEL = 8


class Copied(Struct, frozen=True, kw_only=True):
    """What a copy took: ``manifests`` in the order in which they were put (the image itself last), and each blob."""

    digest: Digest
    manifests: tuple[Digest, ...]
    blobs: Mapping[Digest, Outcome]


async def copy_image(source: Source, target: Store, stored: Stored, *, tag: str | None = None) -> Copied:
    """Have a manifest or index of ``source``, and all that it refers to, in ``target``; under ``tag`` if given.

    Blobs come first, then manifests, then the index: a failure leaves nothing that refers to what is not there.
    Within one registry blobs are mounted. Raises `StoreError` when the source lacks a part of the image.
    """
    children = await _load_children(source, stored)
    manifests = (*children, stored)
    parts = {
        part.digest: part
        for manifest in manifests
        if manifest.media_type not in INDEX_TYPES
        for part in referred(manifest.content, manifest.media_type)
    }
    origins = (source.repository,) if isinstance(source, RegistryStore) else ()
    limit = asyncio.Semaphore(_PARALLEL)

    async def put(part: Descriptor) -> Outcome:
        async with limit:
            return await _put_part(source, target, part, origins)

    outcomes = await together(put(part) for part in parts.values())
    # The deepest come first, so each index follows what it refers to.
    for manifest in children:
        await target.put_manifest(manifest.content, manifest.media_type)
    await target.put_manifest(stored.content, stored.media_type, tag=tag)
    return Copied(
        digest=stored.digest,
        manifests=tuple(manifest.digest for manifest in manifests),
        blobs=dict(zip(parts, outcomes, strict=True)),
    )


async def _load_children(source: Source, stored: Stored) -> tuple[Stored, ...]:
    """Return everything below an index, the deepest first, each once."""
    if stored.media_type not in INDEX_TYPES:
        return ()
    children = await together(_load(source, child) for child in referred(stored.content, stored.media_type))
    below = [await _load_children(source, child) for child in children]
    found = {item.digest: item for group in (*below, children) for item in group}
    return tuple(found.values())


async def _load(source: Source, descriptor: Descriptor) -> Stored:
    stored = await source.get_manifest(descriptor.digest)
    if not stored:
        raise StoreError(f"{source.name} lacks {descriptor.digest}, to which an index there refers")
    return stored


async def _put_part(source: Source, target: Store, part: Descriptor, origins: tuple[Repository, ...]) -> Outcome:
    return await ensure_blob(target, Blob(descriptor=part, open=lambda: source.read_blob(part), origins=origins))
