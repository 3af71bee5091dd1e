"""[io] The layers of an external image in what an engine built on it: with the digests that they have in its registry.

An engine that keeps layers unpacked writes them out anew: the same archives, compressed otherwise or not at all. Under
their own digests they are shared with every other image, and most likely where they are wanted already.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from msgspec.structs import replace

from buildonce.assemble.config import decode_config
from buildonce.assemble.image import LAYER_TYPES, in_family
from buildonce.oci import DOCKER_MANIFEST, Descriptor, Digest, Manifest
from buildonce.plan.images import ExternalImage
from buildonce.run.resolving import OpenRepository, open_image
from buildonce.store.layout import LayoutStore
from buildonce.store.protocol import Source, Stored


class JoinedSource:
    """A layout, and where the blobs are that it does not have."""

    def __init__(self, layout: LayoutStore, others: Source) -> None:
        self._layout = layout
        self._others = others

    @property
    def name(self) -> str:
        """The layout, as messages call it."""
        return self._layout.name

    async def get_manifest(self, name: str) -> Stored | None:
        """Return what the layout has under a digest."""
        return await self._layout.get_manifest(name)

    def read_blob(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """Stream a blob, checked."""
        return (self._others if self.path_of(descriptor) is None else self._layout).read_blob(descriptor)

    def path_of(self, descriptor: Descriptor) -> Path | None:
        """Return the file that holds a blob, if the layout has it."""
        return self._layout.path_of(descriptor)


def with_original_layers(
    layout: LayoutStore,
    manifest: Manifest,
    config: bytes,
    external: ExternalImage | None,
    open_repository: OpenRepository,
) -> tuple[Source, Manifest]:
    """Return where an image's blobs are, and its manifest with the layers of the external image that it is built on.

    Nothing changes where they are there already, or where the first layers are others.
    """
    originals = external.manifest.layers if external else ()
    if external is None or _digests(manifest.layers[: len(originals)]) == _digests(originals):
        return layout, manifest
    if any(layer.media_type not in LAYER_TYPES for layer in originals):
        return layout, manifest
    ours, theirs = diff_ids(config), diff_ids(external.config_content)
    if len(theirs) != len(originals) or ours[: len(theirs)] != theirs:
        return layout, manifest
    is_docker = manifest.media_type == DOCKER_MANIFEST
    layers = (*(in_family(layer, is_docker=is_docker) for layer in originals), *manifest.layers[len(originals) :])
    return JoinedSource(layout, open_image(external.reference, open_repository)), replace(manifest, layers=layers)


def _digests(layers: Iterable[Descriptor]) -> list[Digest]:
    return [layer.digest for layer in layers]


def diff_ids(config: bytes) -> tuple[str, ...]:
    """Return the digests of an image's layers as they are before compression."""
    return tuple((decode_config(config).get("rootfs") or {}).get("diff_ids") or ())
