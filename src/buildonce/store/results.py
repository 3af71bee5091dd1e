"""Results of engines (cores, bases, engine-built images) in a store, each under a tag that carries its key.

A result is an ordinary image: any engine can pull it. Its record (recipe, duration, facts, verdict) rides in an
annotation of the manifest, so one request finds a result and everything that is known of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from msgspec import Struct

from buildonce.errors import AuthenticationError, IntegrityError
from buildonce.oci import Manifest, Platform, decode_manifest, digest_of, encode_json, parse_platform
from buildonce.store.ensuring import ensure_blob
from buildonce.store.protocol import Blob, Source, Store, Stored
from buildonce.tasks import together

RECORD_ANNOTATION = "buildonce.record"
NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9_.-]+")


class ResultName(Struct, frozen=True, kw_only=True):
    """What a result is looked up by."""

    kind: str
    name: str
    platform: Platform
    key: str

    @property
    def tag(self) -> str:
        """The tag in the store: kind, name, platform and the key's first half (the record has the whole key)."""
        name = NOT_IN_TAGS.sub("_", self.name)[:48]
        return f"{self.kind}-{name}-{self.platform.slug}-{self.key[:32]}"

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.platform} {self.key[:12]}"


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a result besides its bytes.

    ``seconds`` is how long the engine took. ``details`` is whatever the writer of this kind of result adds.
    """

    kind: str
    name: str
    platform: str
    key: str
    recipe: msgspec.Raw
    seconds: float
    details: msgspec.Raw = msgspec.Raw(b"null")


class Result(Struct, frozen=True, kw_only=True):
    """A result in a store: its manifest and its record."""

    stored: Stored
    manifest: Manifest
    record: Record


async def find_result(store: Source, name: ResultName) -> Result | None:
    """Return the result under ``name``, or None; a manifest that is not this result counts as none."""
    stored = await store.get_manifest(name.tag)
    return read_result(stored, name) if stored else None


def read_result(stored: Stored, name: ResultName) -> Result | None:
    """Return the result that a manifest holds, if it is the one that ``name`` asks for."""
    try:
        manifest = decode_manifest(stored.content)
        text = (manifest.annotations or {}).get(RECORD_ANNOTATION, "")
        record = msgspec.json.decode(text, type=Record)
    except (IntegrityError, msgspec.DecodeError):
        return None
    asked = (name.kind, str(name.platform), name.key)
    if (record.kind, record.platform, record.key) != asked:
        return None
    return Result(stored=stored, manifest=manifest, record=record)


async def put_result(
    store: Store, *, manifest: Manifest, record: Record, new: tuple[Blob, ...], shared: tuple[Blob, ...] = ()
) -> Result:
    """Store blobs and manifest, with the record in it, under the record's tag; return the result.

    ``shared`` blobs belong to other images too, so the store may well have them already.
    """
    annotations = {**(manifest.annotations or {}), RECORD_ANNOTATION: msgspec.json.encode(record).decode()}
    annotated = msgspec.structs.replace(manifest, annotations=annotations)
    content, media_type = encode_json(annotated), annotated.media_type
    tag = ResultName(kind=record.kind, name=record.name, platform=parse_platform(record.platform), key=record.key).tag
    with advising_readers():
        await together((*(ensure_blob(store, blob) for blob in shared), *(store.put_blob(blob) for blob in new)))
        await store.put_manifest(content, media_type, tag=tag)
    stored = Stored(media_type=media_type, content=content, digest=digest_of(content))
    return Result(stored=stored, manifest=annotated, record=record)


@contextmanager
def advising_readers() -> Iterator[None]:
    """Say what to do when a cache may be read and not be written."""
    try:
        yield
    except AuthenticationError as error:
        error.notes += ("it is the cache that this run may not write",)
        error.help = f"a run that may only read the cache wants --cache-read-only; else: {error.help}"
        raise


def without_record(manifest: Manifest) -> Manifest:
    """Return the manifest as it was before a record was put into it."""
    annotations = {k: v for k, v in (manifest.annotations or {}).items() if k != RECORD_ANNOTATION}
    return msgspec.structs.replace(manifest, annotations=annotations or None)
