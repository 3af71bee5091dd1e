"""The ``index.json`` of an OCI image layout as a value: tags are its descriptors with a reference name.

Entries and keys that we did not write stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from buildonce.errors import IntegrityError
from buildonce.oci import OCI_INDEX, Descriptor, parse_digest

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation that carries a tag (image-spec, image-layout.md)."""

EMPTY: Mapping[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


def parse_index(content: bytes, where: str) -> Mapping[str, Any]:
    """Return the document in ``content``. Raises `IntegrityError` when it is not an image index."""
    try:
        document = msgspec.json.decode(content, type=dict[str, Any])
        msgspec.convert(document.get("manifests"), type=list[dict[str, Any]])
        for descriptor in entries(document):
            parse_digest(descriptor.digest)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise IntegrityError(f"{where} is not an image index: {error}") from error
    return document


def render_index(document: Mapping[str, Any]) -> bytes:
    """Return the document as JSON, the same bytes for the same value."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def entries(document: Mapping[str, Any]) -> tuple[Descriptor, ...]:
    """Return the descriptors of the document."""
    return msgspec.convert(document["manifests"], type=tuple[Descriptor, ...])


def tags(document: Mapping[str, Any]) -> Mapping[str, Descriptor]:
    """Return the tags of the document; of several with one name the first counts, as for other readers."""
    named = ((descriptor.annotations or {}).get(REF_NAME) for descriptor in entries(document))
    pairs = [(name, entry) for name, entry in zip(named, entries(document), strict=True) if name]
    return dict(reversed(pairs))


def with_tags(document: Mapping[str, Any], tags: Mapping[str, Descriptor]) -> Mapping[str, Any]:
    """Return the document in which ``tags`` name their descriptors; entries without a tag come first, then by tag."""
    kept = [entry for entry in document["manifests"] if _tag(entry) not in tags]
    fresh = [
        msgspec.to_builtins(descriptor) | {"annotations": {**(descriptor.annotations or {}), REF_NAME: tag}}
        for tag, descriptor in tags.items()
    ]
    return {**document, "manifests": sorted([*kept, *fresh], key=_tag)}


def without_tag(document: Mapping[str, Any], tag: str) -> Mapping[str, Any]:
    """Return the document without ``tag``."""
    return {**document, "manifests": [entry for entry in document["manifests"] if _tag(entry) != tag]}


def _tag(entry: Mapping[str, Any]) -> str:
    return str((entry.get("annotations") or {}).get(REF_NAME, ""))
