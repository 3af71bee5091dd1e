"""The record of a release that is complete by digest: enough to move its tags later, on any machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

import msgspec

from buildonce.errors import UsageError
from buildonce.oci import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Digest,
    MediaType,
    decode_index,
    decode_manifest,
    digest_of,
    parse_digest,
)
from buildonce.reference import is_tag
from buildonce.ship.release import Release, VariantIndex

RECORD_SCHEMA = "buildonce.release/1"
_MOST_INDEXES = 100_000


class RecordedTag(msgspec.Struct, frozen=True, kw_only=True):
    """A tag to move, and where it pointed when the release was staged (null: nowhere)."""

    tag: str
    before: Digest | None


class RecordedIndex(msgspec.Struct, frozen=True, kw_only=True):
    """A variant's index: the store it is for, its exact bytes as text, and its tags."""

    variant: str
    target: str
    media_type: MediaType
    digest: Digest
    content: str
    tags: tuple[RecordedTag, ...]


class ReleaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A release as `build --stage` prints it."""

    schema: str = RECORD_SCHEMA
    indexes: tuple[RecordedIndex, ...]

    @property
    def targets(self) -> Mapping[str, str]:
        """The store of each variant."""
        return {index.variant: index.target for index in self.indexes}


def make_record(
    release: Release, targets: Mapping[str, str], before: Mapping[tuple[str, str], Digest | None]
) -> ReleaseRecord:
    """Return the record of ``release``: ``targets`` by variant, ``before`` by store and tag."""
    return ReleaseRecord(
        indexes=tuple(
            RecordedIndex(
                variant=index.variant,
                target=targets[index.variant],
                media_type=index.media_type,
                digest=index.digest,
                content=index.content.decode(),
                tags=tuple(RecordedTag(tag=tag, before=before[targets[index.variant], tag]) for tag in index.tags),
            )
            for index in release.indexes
        )
    )


def encode_record(record: ReleaseRecord) -> bytes:
    """Return the record as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def decode_record(content: bytes, where: str) -> ReleaseRecord:
    """Return the record in ``content``; raise `UsageError` for anything that `make_record` would not have made."""
    try:
        record = msgspec.json.decode(content, type=ReleaseRecord)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"{where} is no record of a release: {error}", help="it is what `buildonce build --stage` prints"
        ) from error
    if record.schema != RECORD_SCHEMA:
        raise UsageError(f"{where} is a record of the form `{record.schema[:60]}`; this version reads {RECORD_SCHEMA}")
    if problem := _problem(record):
        raise UsageError(f"{where} was changed: {problem}", help="stage the release again: `buildonce build --stage`")
    return record


def read_record(file: BinaryIO) -> ReleaseRecord:
    """Return the record in an open file; raise `UsageError` as `decode_record` does."""
    is_stream = file.name in ("-", "<stdin>")
    return decode_record(file.read(), "the standard input" if is_stream else f"`{file.name}`")


def recorded_release(record: ReleaseRecord) -> Release:
    """Return the release, whose images are in the stores and not at hand."""
    return Release(
        indexes=tuple(
            VariantIndex(
                variant=index.variant,
                tags=tuple(one.tag for one in index.tags),
                images=(),
                content=index.content.encode(),
                media_type=index.media_type,
                digest=index.digest,
            )
            for index in record.indexes
        )
    )


def images_of(index: RecordedIndex) -> tuple[tuple[str, Digest], ...]:
    """Return the platform and the manifest of each image of an index; of what is an image itself, that."""
    if index.media_type not in INDEX_TYPES:
        return (("unknown", index.digest),)
    manifests = decode_index(index.content.encode()).manifests
    return tuple((str(one.platform or "unknown"), one.digest) for one in manifests)


def _problem(record: ReleaseRecord) -> str | None:
    if not 0 < len(record.indexes) <= _MOST_INDEXES:
        return f"it has {len(record.indexes)} indexes"
    places: set[tuple[str, str]] = set()
    variants: set[str] = set()
    for index in record.indexes:
        content = index.content.encode()
        if index.variant in variants:
            return f"the variant `{index.variant}` comes twice"
        variants.add(index.variant)
        if digest_of(content) != parse_digest(index.digest):
            return f"the index of `{index.variant}` has not the digest {index.digest}"
        if not _is_image(index.media_type, content):
            return f"what `{index.variant}` has is no image and no index of images"
        for one in index.tags:
            if not is_tag(one.tag):
                return f"`{one.tag[:60]}` is no tag"
            if (index.target, one.tag) in places:
                return f"two variants have the tag {index.target}:{one.tag}"
            places.add((index.target, one.tag))
    return None


def _is_image(media_type: MediaType, content: bytes) -> bool:
    """Say whether there is an image in ``content``: a copy moves tags of single ones too."""
    if media_type in INDEX_TYPES:
        return bool(decode_index(content).manifests)
    return media_type in MANIFEST_TYPES and bool(decode_manifest(content).config.digest)
