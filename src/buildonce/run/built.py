"""[io] What an engine wrote, read with care: only regular files count, and links in it lead nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from buildonce.assemble import limits
from buildonce.assemble.archive import Want, read_archive, scan_layer
from buildonce.assemble.entries import Entry, NotExpressible
from buildonce.assemble.image import LAYER_TYPES
from buildonce.assemble.tree import WHITEOUT, Tree, apply_layers
from buildonce.engines.protocol import Built, Exported
from buildonce.errors import ArchiveError, EngineFailed
from buildonce.oci import OCI_LAYER, Descriptor, Manifest, decode_manifest
from buildonce.store.layout import LayoutStore
from buildonce.store.streams import open_file


async def read_built(built: Built) -> tuple[LayoutStore, Manifest]:
    """Return the layout that an engine wrote, and the manifest of the image in it."""
    layout = LayoutStore(built.layout, links=False)
    stored = await layout.get_manifest(built.manifest.digest)
    if stored is None:
        raise EngineFailed(f"the engine wrote no manifest {built.manifest.digest} into {built.layout}")
    return layout, decode_manifest(stored.content)


async def read_built_core(built: Built) -> Tree:
    """Return the files of a core that was built as an image, with the places of their bytes."""
    layout, manifest = await read_built(built)
    if len(manifest.layers) > limits.LAYERS:
        raise NotExpressible(f"a core has {len(manifest.layers)} layers")
    return await asyncio.to_thread(_read_layers, layout, manifest.layers)


def read_exported_core(exported: Exported) -> Tree:
    """Return the files of a core that was exported as one archive, with the places of their bytes."""
    path = exported.archive
    try:
        with open_file(path, within=path.parent) as file:
            return _core([read_archive(file, path)])
    except OSError as error:
        raise EngineFailed(f"the engine wrote no archive {path}: {error.strerror}") from error


def _read_layers(layout: LayoutStore, layers: Iterable[Descriptor]) -> Tree:
    return _core([_read_layer(layout, layer) for layer in layers])


def _read_layer(layout: LayoutStore, layer: Descriptor) -> tuple[Entry, ...]:
    path = layout.path_of(layer)
    if path is None or layer.media_type not in LAYER_TYPES:
        raise EngineFailed(f"the engine wrote no layer {layer.digest} of a known type into {layout.path}")
    with open_file(path, within=layout.path) as file:
        is_plain = layer.media_type == OCI_LAYER
        return scan_layer(file, Want(contents_path=path), is_plain=is_plain, digest=layer.digest).entries


def _core(layers: list[tuple[Entry, ...]]) -> Tree:
    """Return the file system of a core. No name in it can mean that something is deleted: there is nothing below it."""
    for entry in (entry for layer in layers for entry in layer):
        if f"/{WHITEOUT}" in f"/{entry.path}":
            raise ArchiveError(
                f"`/{entry.path}` cannot be taken from a stage: in a layer, its name means that a file is deleted",
                help="have the stage give it another name, or copy less",
            )
    return apply_layers(layers)
