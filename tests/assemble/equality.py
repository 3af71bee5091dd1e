"""What it means that an assembled image equals BuildKit's: the same layers byte for byte, config, history and manifest.

Three things may differ: times of directories that a build creates or puts something into, ``created``, gzip bytes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from buildonce.assemble.archive import Layer
from buildonce.assemble.compare import config_differences, tree_differences
from buildonce.assemble.compression import Compression
from buildonce.assemble.config import decode_config, encode_config
from buildonce.assemble.entries import Entry
from buildonce.assemble.image import LayerStep, MetadataStep, Step, assemble_image
from buildonce.assemble.tarball import LayerBlob, write_layer
from buildonce.assemble.tree import apply_layers
from buildonce.oci import OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST
from tests.assemble.buildkit import CREATED, Built
from tests.assemble.foundations import Foundation
from tests.assemble.replay import Replay

NOW = 7
"""The time that the assembly is told to give where BuildKit gives that of the build."""

_DOCKER_TERMS = {
    "application/vnd.docker.distribution.manifest.v2+json": OCI_MANIFEST,
    "application/vnd.docker.container.image.v1+json": OCI_CONFIG,
    "application/vnd.docker.image.rootfs.diff.tar": OCI_LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": OCI_LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": OCI_LAYER_ZSTD,
}


def assert_equal(
    foundation: Foundation, mine: Replay, built: Built, tmp_path: Path, *, with_folder_times: bool = True
) -> None:
    """Assert that what was assembled on a foundation is what BuildKit built on it.

    Without ``with_folder_times`` no directory's time counts: a copy that touches one and changes nothing in it leaves
    no trace in its own layer, and yet a later layer of BuildKit's has that time.
    """
    theirs = built.layers[len(foundation.image.manifest.layers) :]
    assert len(mine.layers) == len(theirs)
    for entries, layer in zip(mine.layers, theirs, strict=True):
        timed = with_their_times(entries, layer, always=not with_folder_times)
        assert [fact_of(entry) for entry in timed] == [fact_of(entry) for entry in layer.entries]
        blob = write_layer(timed, tmp_path / "timed", compression=Compression.UNCOMPRESSED)
        assert blob.diff_id == layer.diff_id, "the bytes of the archive differ"
    tree = apply_layers([layer.entries for layer in theirs], onto=foundation.tree)
    assert tree_differences(tree, apply_layers(mine.layers, onto=foundation.tree)) == ()
    image = assemble_image(foundation.image, _with_their_layers(mine.steps, built), created=CREATED)
    assert config_differences(built.config, image.config) == ()
    assert _with_their_created(image.config, built.config) == built.config.decode()
    assert _in_oci_terms(image.manifest) == _decoded(built.manifest_bytes)


def _with_their_created(ours: bytes, theirs: bytes) -> str:
    """Return our config with their times, which are one of the three deviations."""
    config, other = decode_config(ours), decode_config(theirs)
    for one, two in ((config, other), *zip(config["history"], other["history"], strict=True)):
        one["created"] = two["created"]
    return encode_config(config).decode()


def _in_oci_terms(manifest: bytes) -> object:
    """Return a manifest in OCI's terms, which are all that an export to a layout knows."""
    text = manifest.decode()
    for theirs, ours in _DOCKER_TERMS.items():
        text = text.replace(f'"{theirs}"', f'"{ours}"')
    return _decoded(text.encode())


def _decoded(manifest: bytes) -> object:
    """Return a manifest without what follows from its config, which is compared by itself.

    An image without layers has an empty list in ours, and in theirs `null`, which the specification does not allow.
    """
    document = json.loads(manifest)
    del document["config"]["digest"], document["config"]["size"]
    return document | {"layers": document["layers"] or []}


def with_their_times(entries: tuple[Entry, ...], layer: Layer, *, always: bool = False) -> tuple[Entry, ...]:
    """Return our entries with the times of the build, which no two builds share, in place of ours."""
    times = {entry.path: entry.mtime for entry in layer.entries}
    return tuple(
        replace(entry, mtime=times.get(entry.path, NOW))
        if entry.is_directory and (always or entry.mtime == NOW)
        else entry
        for entry in entries
    )


def fact_of(entry: Entry) -> dict[str, object]:
    return {
        "path": entry.path,
        "type": entry.type.name,
        "mode": oct(entry.mode),
        "owner": (entry.uid, entry.gid),
        "mtime": entry.mtime,
        "size": 0 if entry.hardlink else entry.size,
        "digest": None if entry.hardlink else entry.digest,
        "link": entry.link,
        "hardlink": entry.hardlink,
        "capability": entry.capability,
        "device": entry.device,
    }


def _with_their_layers(steps: tuple[Step, ...], built: Built) -> tuple[Step, ...]:
    """Return the steps with BuildKit's own layers, whose gzip bytes are its own."""
    count = sum(step.layer is not None for step in steps)
    blobs = iter(
        LayerBlob(descriptor=descriptor, diff_id=layer.diff_id, path=Path())
        for descriptor, layer in list(zip(built.manifest.layers, built.layers, strict=True))[
            len(built.layers) - count :
        ]
    )
    replaced: list[Step] = []
    for step in steps:
        match step:
            case LayerStep():
                replaced.append(structs.replace(step, layer=next(blobs)))
            case MetadataStep():
                replaced.append(structs.replace(step, layer=next(blobs)) if step.layer else step)
    return tuple(replaced)
