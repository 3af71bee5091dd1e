"""[io] An image that Buildah wrote in Docker's format, made an OCI layout with what BuildKit would say of it.

Docker's format it has to be: in OCI's, Buildah leaves out HEALTHCHECK, ONBUILD and SHELL, and runs what follows a SHELL
in another one (docs/engines.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import msgspec

from buildonce.assemble.compression import Compression
from buildonce.engines.layouts import LayoutWriter
from buildonce.engines.protocol import BuildJob
from buildonce.errors import EngineFailed, IntegrityError
from buildonce.oci import DOCKER_LAYER, DOCKER_LAYER_GZIP, OCI_LAYER, OCI_LAYER_GZIP, Descriptor, decode_manifest
from buildonce.store.documents import LIMIT
from buildonce.store.streams import open_file

_LAYERS = {DOCKER_LAYER: OCI_LAYER, DOCKER_LAYER_GZIP: OCI_LAYER_GZIP}
_KEPT = ("architecture", "variant", "config", "created", "history", "os", "os.version", "os.features", "rootfs")
_OF_CONTAINERS = frozenset(
    ("Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce", "Image")
)
"""What Docker's format says of the container that an image was made in, and no image needs."""


def write_layout(pushed: Path, job: BuildJob) -> Descriptor:
    """Turn the folder that Buildah pushed an image to into the job's layout; return the image's manifest in it.

    Layers that are not compressed are moved. Raises `EngineFailed` where there is no such image.
    """
    try:
        layout = LayoutWriter(job.output)
        with open_file(pushed / "manifest.json", within=pushed) as file:
            given = decode_manifest(file.read(LIMIT))
        with open_file(pushed / _name(given.config), within=pushed) as file:
            config = plain_config(file.read(LIMIT), job.known_history)
        layers = {layer.digest: _put_layer(pushed, layout, layer, job) for layer in dict.fromkeys(given.layers)}
        return layout.finish(config, tuple(layers[layer.digest] for layer in given.layers))
    except (OSError, IntegrityError, msgspec.DecodeError) as error:
        raise EngineFailed(f"buildah says that it built an image, but wrote none: {error}") from error


def plain_config(content: bytes, known_history: int) -> bytes:
    """Return a config of Docker's format without what BuildKit does not write. Raises `msgspec.DecodeError`.

    An ONBUILD has no entry in BuildKit's history, and layers are found by counting entries. The first
    ``known_history`` are an external image's own.
    """
    found = msgspec.json.decode(content, type=dict[str, object])
    kept = {key: found[key] for key in _KEPT if key in found}
    section = kept.get("config")
    if isinstance(section, Mapping):
        kept["config"] = {key: value for key, value in section.items() if key not in _OF_CONTAINERS and value}
    history = kept.get("history")
    if isinstance(history, list):
        kept["history"] = [*history[:known_history], *itertools.filterfalse(_is_trigger, history[known_history:])]
    return msgspec.json.encode(kept)


def _is_trigger(entry: Mapping[str, object]) -> bool:
    return str(entry.get("created_by")).startswith("/bin/sh -c #(nop) ONBUILD ")


def _put_layer(pushed: Path, layout: LayoutWriter, layer: Descriptor, job: BuildJob) -> Descriptor:
    """Put a layer into the layout, compressed if it has to be; its digest is its diff ID as long as it is not."""
    source = pushed / _name(layer)
    if layer.media_type != DOCKER_LAYER or not job.compress or layer.digest in job.known_layers:
        source.rename(layout.path(layer.digest))
        return msgspec.structs.replace(layer, media_type=_LAYERS.get(layer.media_type, layer.media_type))
    with open_file(source, within=pushed) as file:
        return layout.put_layer(file, layer.digest, Compression.GZIP)


def _name(descriptor: Descriptor) -> str:
    return descriptor.digest.rpartition(":")[2]
