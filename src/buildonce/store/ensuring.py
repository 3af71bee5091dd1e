"""Blobs that a store may well have already: mounted or asked for before they are sent."""

from __future__ import annotations

from buildonce.store.protocol import Blob, Holding, Outcome, Store
from buildonce.store.registry import RegistryStore

_WORTH_ASKING = 64 * 1024
"""From this size on, in bytes, asking for a blob is cheaper than to send it in vain."""


async def ensure_blob(store: Store, blob: Blob) -> Outcome:
    """Have the blob in the store with as little traffic as can be, when nobody knows whether it is there.

    A mount is one request and settles it; else a large blob is asked for; else it is sent.
    """
    mountable = isinstance(store, RegistryStore) and any(
        origin.registry == store.repository.registry for origin in blob.origins
    )
    large = blob.descriptor.size >= _WORTH_ASKING
    if large and not mountable and isinstance(store, Holding) and await store.has_blob(blob.descriptor):
        return Outcome.EXISTED
    return await store.put_blob(blob)
