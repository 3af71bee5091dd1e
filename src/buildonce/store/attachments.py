"""Documents in a store beside its images: a blob that an image's reader passes over, under a tag or by its digest."""

from __future__ import annotations

import zlib

from buildonce.errors import IntegrityError
from buildonce.oci import OCI_MANIFEST, Digest, Manifest, MediaType, decode_manifest, encode_json
from buildonce.store.protocol import Source, Store
from buildonce.store.results import advising_readers
from buildonce.store.streams import blob_of_bytes

LARGEST = 64 * 1024 * 1024
"""The largest document that is kept, in bytes as it is stored."""

_LARGEST_TEXT = 8 * LARGEST


async def put_attachment(store: Store, content: bytes, media_type: MediaType, *, tag: str) -> Digest | None:
    """Store a document, compressed, under a tag; return the digest to read it by, None if it is too large to keep."""
    packed = zlib.compress(content)
    if len(packed) > LARGEST:
        return None
    blob = blob_of_bytes(packed, media_type)
    # Readers of images expect at least one layer; the document is config and layer at once.
    manifest = Manifest(media_type=OCI_MANIFEST, config=blob.descriptor, layers=(blob.descriptor,))
    with advising_readers():
        await store.put_blob(blob)
        return await store.put_manifest(encode_json(manifest), manifest.media_type, tag=tag)


async def read_attachment(source: Source, name: str, media_type: MediaType) -> bytes | None:
    """Return the document under a tag or digest; None if there is none that can be read."""
    stored = await source.get_manifest(name)
    if stored is None:
        return None
    try:
        config = decode_manifest(stored.content).config
        if config.media_type != media_type or config.size > LARGEST:
            return None
        packed = b"".join([chunk async for chunk in source.read_blob(config)])
        return zlib.decompressobj().decompress(packed, _LARGEST_TEXT)
    except (IntegrityError, zlib.error):
        return None
