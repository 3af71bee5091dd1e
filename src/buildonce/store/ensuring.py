"""Blobs that a store may well have already: mounted or asked for before they are sent."""

from __future__ import annotations

from dataclasses import replace

from buildonce.store.protocol import Blob, Outcome, Presence, Store


async def ensure_blob(store: Store, blob: Blob) -> Outcome:
    """Have the blob in the store with as little traffic as can be, when nobody knows whether it is there.

    A mount is one request and settles it; else a large blob is asked for, or one that is likely there; else it is
    sent.
    """
    is_likely = blob.presence is Presence.LIKELY
    return await store.put_blob(blob if is_likely else replace(blob, presence=Presence.PERHAPS))
