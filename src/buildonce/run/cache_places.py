"""[io] Where in the cache a result is: an engine is given its address, and a registry mounts its blobs."""

from __future__ import annotations

from buildonce.oci import Digest
from buildonce.reference import Repository
from buildonce.store.layout import LayoutStore
from buildonce.store.overlay import OverlayStore
from buildonce.store.protocol import Store
from buildonce.store.registry import RegistryStore


async def address_of(cache: Store, digest: Digest) -> str:
    """Return the address of an image in the cache for an engine's named contexts: by its digest."""
    place = await _place(cache, digest)
    if isinstance(place, LayoutStore):
        return f"oci-layout://{place.path.absolute()}@{digest}"
    return f"docker-image://{place.repository}@{digest}"


async def origins_of(cache: Store, digest: Digest) -> tuple[Repository, ...]:
    """Return where the blobs of an image in the cache can be mounted from."""
    place = await _place(cache, digest)
    return (place.repository,) if isinstance(place, RegistryStore) else ()


async def _place(cache: Store, digest: Digest) -> LayoutStore | RegistryStore:
    place = await cache.holder(digest) if isinstance(cache, OverlayStore) else cache
    assert isinstance(place, LayoutStore | RegistryStore)  # noqa: S101  there are two kinds of store
    return place
