"""[io] From a reference to the manifests under it: indexes, nested ones too, within bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from buildonce.errors import IntegrityError
from buildonce.oci import INDEX_TYPES, Descriptor, decode_index, decode_manifest
from buildonce.store.protocol import Listed, Stored
from buildonce.tasks import together
from buildonce.verify.configs import normal
from buildonce.verify.documents import Documents
from buildonce.verify.findings import Kind, Place
from buildonce.verify.images import is_attestation, is_image, platform_details
from buildonce.verify.ledger import Ledger
from buildonce.verify.references import Target

_MOST_ENTRIES = 250
_DEEPEST = 3


class Entry(Struct, frozen=True, kw_only=True):
    """A manifest that a reference leads to. ``stored`` is it, if it was read already: the reference's own."""

    source: Listed
    place: Place
    descriptor: Descriptor
    stored: Stored | None = None


class Walker:
    """Finds the manifests under references."""

    def __init__(self, documents: Documents, ledger: Ledger) -> None:
        self._documents = documents
        self._ledger = ledger

    async def entries(self, target: Target) -> tuple[Entry, ...]:
        """Return the manifests of images under ``target``; attestations and artifacts are remarked on."""
        place = Place(reference=target.name)
        if target.tag and target.asked != target.tag and target.given is None:
            await self._check_tag(target, target.tag, place)
        stored = target.given or await self._top(target, place)
        if stored is None:
            return ()
        if stored.media_type in INDEX_TYPES:
            return await self._below(target.source, stored, place, depth=1)
        if not self._is_wanted(target, stored, place):
            return ()
        self._ledger.remark("this is a single image without an index", place)
        own = Descriptor(media_type=stored.media_type, digest=stored.digest, size=len(stored.content))
        return (Entry(source=target.source, place=place, descriptor=target.listed or own, stored=stored),)

    async def _top(self, target: Target, place: Place) -> Stored | None:
        if target.listed is None:
            return await self._documents.named(target.source, target.asked, place)
        stored = await self._documents.referred(target.source, target.listed, place)
        if stored is not None and stored.media_type in INDEX_TYPES:
            check_descriptor(target.listed, stored, place, self._ledger)
        return stored

    async def _check_tag(self, target: Target, tag: str, place: Place) -> None:
        """Compare where a tag points with the digest that stands beside it."""
        digest = target.listed.digest if target.listed else None
        if digest is None:
            stored = await self._documents.named(target.source, tag, place)
            digest = stored.digest if stored else None
        if digest is not None and digest != target.asked:
            self._ledger.find(Kind.TAG_MOVED, f"the tag `{tag}` points to {digest}", place)

    def _is_wanted(self, target: Target, stored: Stored, place: Place) -> bool:
        """Say whether a single manifest is to be looked at: artifacts are not, unless the user named one."""
        try:
            manifest = decode_manifest(stored.content)
        except IntegrityError:
            return True
        if is_image(manifest):
            return True
        kind = manifest.artifact_type or manifest.config.media_type
        if target.is_chosen:
            self._ledger.find(Kind.NOT_AN_IMAGE, f"this is no image but an artifact of the type `{kind[:100]}`", place)
        else:
            self._ledger.remark(f"this is no image but an artifact of the type `{kind[:100]}`", place)
        return False

    async def _below(self, source: Listed, index: Stored, place: Place, *, depth: int) -> tuple[Entry, ...]:
        try:
            entries = decode_index(index.content).manifests
        except IntegrityError as error:
            self._ledger.find(Kind.MANIFEST_INVALID, error.message, place)
            return ()
        if len(entries) > _MOST_ENTRIES:
            message = f"an index has {len(entries)} entries; {_MOST_ENTRIES} of them were looked at"
            self._ledger.find(Kind.TOO_MUCH, message, place)
        self._check_platforms(index, entries, place)
        if attestations := sum(map(is_attestation, entries)):
            self._ledger.remark(f"attestations are not looked into; the index has {attestations}", place)
        images = [entry for entry in entries[:_MOST_ENTRIES] if not is_attestation(entry)]
        if not images:
            self._ledger.find(Kind.NOT_AN_IMAGE, "the index has no image", place)
        found = await together(self._entry(source, entry, place, depth=depth) for entry in images)
        return tuple(entry for group in found for entry in group)

    async def _entry(self, source: Listed, entry: Descriptor, place: Place, *, depth: int) -> tuple[Entry, ...]:
        if entry.media_type not in INDEX_TYPES:
            platform = str(normal(entry.platform)) if entry.platform else ""
            here = Place(reference=place.reference, platform=platform)
            return (Entry(source=source, place=here, descriptor=entry),)
        if depth >= _DEEPEST:
            self._ledger.find(Kind.TOO_MUCH, f"indexes are nested more than {_DEEPEST} deep", place)
            return ()
        stored = await self._documents.referred(source, entry, place)
        if stored is None:
            return ()
        check_descriptor(entry, stored, place, self._ledger)
        return await self._below(source, stored, place, depth=depth + 1)

    def _check_platforms(self, index: Stored, entries: Sequence[Descriptor], place: Place) -> None:
        pairs = zip(platform_details(index.content), entries, strict=True)
        named = [
            (more, normal(entry.platform)) for more, entry in pairs if entry.platform and not is_attestation(entry)
        ]
        for (_, platform), count in Counter(named).items():
            if count > 1:
                here = Place(reference=place.reference, platform=str(platform))
                self._ledger.find(Kind.PLATFORM_TWICE, f"the index has {count} images for {platform}", here)


def check_descriptor(descriptor: Descriptor, stored: Stored, place: Place, ledger: Ledger) -> None:
    """Compare what refers to a document with the document, whose digest is right."""
    if descriptor.size != len(stored.content):
        message = f"the manifest {stored.digest} has {len(stored.content)} bytes; what refers to it says"
        ledger.find(Kind.MANIFEST_SIZE, f"{message} {descriptor.size}", place)
    if descriptor.media_type != stored.media_type:
        message = f"the manifest {stored.digest} is a `{stored.media_type}`; what refers to it says"
        ledger.find(Kind.MEDIA_TYPE, f"{message} `{descriptor.media_type[:100]}`", place)
