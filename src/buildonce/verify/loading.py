"""[io] From references to images: manifests and configs, each read once and held against what names it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from buildonce.errors import IntegrityError
from buildonce.oci import Descriptor, Digest, Manifest, Platform, decode_manifest
from buildonce.ship.late_copies import LateCopy, read_late_copies
from buildonce.store.protocol import Stored
from buildonce.tasks import together
from buildonce.verify.configs import ImageConfig, agrees, decode_image_config, normal
from buildonce.verify.documents import Documents
from buildonce.verify.findings import Kind, Place
from buildonce.verify.images import LoadedImage, Use, is_config_type, is_image, type_problems
from buildonce.verify.indexes import Entry, Walker, check_descriptor
from buildonce.verify.ledger import Ledger
from buildonce.verify.references import Target

_MOST_LAYERS = 1000


class Loaded(Struct, frozen=True, kw_only=True):
    """The images of a release under every reference that leads to them, and the platforms that each reference has.

    A platform whose image could not be loaded counts among them.
    """

    uses: tuple[Use, ...]
    platforms: Mapping[str, frozenset[Platform]]


async def load_images(targets: Sequence[Target], ledger: Ledger) -> Loaded:
    """Return the images under ``targets``.

    What is wrong goes into the ledger, and what is left is loaded all the same. Raises `StoreError` when a store
    cannot be asked.
    """
    documents = Documents(ledger)
    walker = Walker(documents, ledger)
    entries = [entry for group in await together(walker.entries(one) for one in targets) for entry in group]
    tags = {target.name: target.tag for target in targets}
    # What an image has of its own is reported once, for the first reference that leads to it.
    same: dict[tuple[str, Digest], list[Entry]] = {}
    for entry in entries:
        same.setdefault(_key(entry), []).append(entry)
    loader = _Loader(documents, ledger)
    loaded = await together(loader.load(group) for group in same.values())
    images = dict(zip(same, loaded, strict=True))
    uses = tuple(
        _use(entry, image, tags[entry.place.reference], ledger)
        for entry in entries
        if (image := images[_key(entry)]) is not None
    )
    platforms: dict[str, set[Platform]] = {}
    for reference, platform in (
        *((entry.place.reference, entry.descriptor.platform) for entry in entries),
        *((use.reference, use.platform) for use in uses),
    ):
        if platform is not None:
            platforms.setdefault(reference, set()).add(normal(platform))
    return Loaded(uses=uses, platforms={name: frozenset(found) for name, found in platforms.items()})


def _key(entry: Entry) -> tuple[str, Digest]:
    return entry.source.name, entry.descriptor.digest


class _Loader:
    """Reads manifests and configs."""

    def __init__(self, documents: Documents, ledger: Ledger) -> None:
        self._documents = documents
        self._ledger = ledger

    async def load(self, entries: Sequence[Entry]) -> LoadedImage | None:
        """Return the image that all these entries lead to; None if it cannot be had, which is reported."""
        first, also = entries[0], tuple(dict.fromkeys(entry.place for entry in entries[1:]))
        stored = first.stored or await self._documents.referred(first.source, first.descriptor, first.place, also)
        manifest = self._decode(stored, first.place) if stored else None
        if stored is None or manifest is None:
            return None
        if not is_image(manifest) and first.stored is None and first.descriptor.platform is None:
            kind = manifest.artifact_type or manifest.config.media_type
            self._ledger.remark(f"the index has an artifact of the type `{kind[:100]}`, which is no image", first.place)
            return None
        for part, problem in type_problems(manifest, stored.media_type):
            self._ledger.find(Kind.MEDIA_TYPE, problem, first.place.at(part), also=also)
        here = first.place.at(f"config {manifest.config.digest}")
        content = await self._documents.config(first.source, manifest.config, here, also)
        return LoadedImage(
            source=first.source,
            place=first.place,
            also=also,
            stored=stored,
            manifest=manifest,
            config=self._decode_config(content, manifest.config, here, also),
        )

    def _decode(self, stored: Stored, place: Place) -> Manifest | None:
        try:
            manifest = decode_manifest(stored.content)
        except IntegrityError as error:
            self._ledger.find(Kind.MANIFEST_INVALID, error.message, place)
            return None
        if len(manifest.layers) > _MOST_LAYERS:
            self._ledger.find(Kind.TOO_MUCH, f"the manifest has {len(manifest.layers)} layers", place)
            return None
        return manifest

    def _decode_config(
        self, content: bytes | None, descriptor: Descriptor, place: Place, also: tuple[Place, ...]
    ) -> ImageConfig | None:
        if content is None or not is_config_type(descriptor.media_type):
            return None
        try:
            return decode_image_config(content)
        except IntegrityError as error:
            self._ledger.find(Kind.CONFIG_INVALID, error.message, place, also=also)
            return None


def _use(entry: Entry, image: LoadedImage, tag: str | None, ledger: Ledger) -> Use:
    """Return the image as one reference has it, with what that says of it checked."""
    check_descriptor(entry.descriptor, image.stored, entry.place, ledger)
    named, own = entry.descriptor.platform, image.config.platform if image.config else None
    if named and own and not agrees(named, own):
        message = f"the index names {normal(named)}, the config {normal(own)}"
        ledger.find(Kind.PLATFORM_WRONG, message, entry.place)
    platform = named or own
    return Use(
        reference=entry.place.reference,
        tag=tag,
        platform=normal(platform) if platform else None,
        image=image,
        late_copies=_late_copies(entry, image, ledger),
    )


def _late_copies(entry: Entry, image: LoadedImage, ledger: Ledger) -> tuple[LateCopy, ...] | None:
    try:
        copies = read_late_copies(entry.descriptor)
    except IntegrityError as error:
        ledger.find(Kind.CORE_RECORD, error.message, entry.place)
        return None
    layers = len(image.manifest.layers)
    for copy in copies or ():
        if not 0 <= copy.layer < layers:
            message = f"files of the core `{copy.core[:100]}` should be in layer {copy.layer + 1} of {layers}"
            ledger.find(Kind.CORE_RECORD, message, entry.place)
            return None
    return copies
