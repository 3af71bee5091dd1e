"""Store a manifest so that it counts only when it can be got back, once the registry failed to take it.

A registry whose disk is full may leave an empty file under a manifest's digest and take the manifest for stored from
then on: it answers 201 to whoever puts it again, and 500 to whoever reads it (Distribution's file system driver, seen
with its version 2.8).
"""

from __future__ import annotations

from buildonce.errors import IntegrityError
from buildonce.oci import Digest, MediaType, digest_of
from buildonce.store.registry.exchanges import get_manifest, put_manifest
from buildonce.store.registry.faults import Refused, Unreadable, damaged_manifest
from buildonce.store.registry.messages import Access, Exchange


def put_surely(
    access: Access, reference: str, content: bytes, media_type: MediaType, doubted: set[Digest]
) -> Exchange[None]:
    """Write a manifest or index under a tag or its digest; begin again with the same ``doubted`` after a fault.

    A manifest is in it when the registry may have taken only a part. What is in it at the start is put by its digest
    and read back before a tag moves to it. Raises `MissingBlobs`, and `IntegrityError` for what does not come back.
    """
    digest = digest_of(content)
    if digest in doubted:
        yield from put_manifest(access, digest, content, media_type)
        yield from _read_back(access, digest)
        doubted.discard(digest)
        if reference == digest:
            return
    try:
        yield from put_manifest(access, reference, content, media_type)
    except Refused as refused:
        if refused.response.status >= 500:
            doubted.add(digest)
        raise
    except GeneratorExit:  # no answer came: the connection broke, or the run was cancelled
        doubted.add(digest)
        raise


def _read_back(access: Access, digest: Digest) -> Exchange[None]:
    try:
        stored = yield from get_manifest(access, digest)
    except Refused as refused:
        raise Unreadable(refused.request, refused.response, wait=refused.wait) from refused
    except IntegrityError as error:
        raise damaged_manifest(access, digest) from error
    if stored is None:
        raise damaged_manifest(access, digest)
