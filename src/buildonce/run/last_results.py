"""[io] The account of what was last built under a name, kept in the cache beside the results themselves."""

from __future__ import annotations

import zlib

import msgspec

from buildonce.errors import IntegrityError
from buildonce.oci import OCI_MANIFEST, Manifest, MediaType, decode_manifest, encode_json
from buildonce.plan.accounts import Account
from buildonce.store.protocol import Source, Store
from buildonce.store.results import NOT_IN_TAGS, advising_readers
from buildonce.store.streams import blob_of_bytes

ACCOUNT_TYPE = MediaType("application/vnd.buildonce.account.v1+json+zlib")
_LARGEST = 64 * 1024 * 1024
"""The largest account that is kept, in bytes: one of a million files."""

_LARGEST_TEXT = 8 * _LARGEST


async def keep_last(store: Store, account: Account) -> None:
    """Keep the account of what was just built; the one of the result before it is forgotten."""
    content = zlib.compress(msgspec.json.encode(account))
    if len(content) > _LARGEST:
        return
    blob = blob_of_bytes(content, ACCOUNT_TYPE)
    # Readers of images expect at least one layer; the account is config and layer at once.
    manifest = Manifest(media_type=OCI_MANIFEST, config=blob.descriptor, layers=(blob.descriptor,))
    with advising_readers():
        await store.put_blob(blob)
        await store.put_manifest(encode_json(manifest), manifest.media_type, tag=_tag(account))


async def find_last(source: Source, like: Account) -> Account | None:
    """Return the account of what was last built of the same kind, name and platform, if there is one."""
    stored = await source.get_manifest(_tag(like))
    if stored is None:
        return None
    try:
        config = decode_manifest(stored.content).config
        if config.media_type != ACCOUNT_TYPE or config.size > _LARGEST:
            return None
        content = b"".join([chunk async for chunk in source.read_blob(config)])
        return msgspec.json.decode(zlib.decompressobj().decompress(content, _LARGEST_TEXT), type=Account)
    except (IntegrityError, msgspec.DecodeError, zlib.error):
        return None


def _tag(account: Account) -> str:
    name = NOT_IN_TAGS.sub("_", account.name)[:48]
    return f"last-{account.kind}-{name}-{account.platform.replace('/', '-')}"
