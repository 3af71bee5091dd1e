"""Layers of an external image that an engine wrote out anew get the digests back that they have in their registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from buildonce.oci import (
    DOCKER_LAYER_GZIP,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Manifest,
    MediaType,
    digest_of,
    parse_platform,
)
from buildonce.plan.images import ExternalImage, LayoutReference
from buildonce.reference import Repository
from buildonce.run.original_layers import with_original_layers
from buildonce.store.layout import LayoutStore
from buildonce.store.protocol import Store
from buildonce.store.streams import blob_of_bytes

BELOW, OWN, OTHER = b"below", b"own", b"other"
PACKED = b"packed below"


def descriptor(content: bytes, media_type: MediaType = OCI_LAYER) -> Descriptor:
    return Descriptor(media_type=media_type, digest=digest_of(content), size=len(content))


def config_of(*contents: bytes) -> bytes:
    return json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest_of(one) for one in contents]}}).encode()


def manifest_of(*layers: Descriptor) -> Manifest:
    return Manifest(media_type=OCI_MANIFEST, config=descriptor(b"{}", OCI_CONFIG), layers=layers)


def no_repository(_: Repository) -> Store:
    raise AssertionError


def external(folder: Path) -> ExternalImage:
    digest = Digest(digest_of(b"manifest"))
    return ExternalImage(
        reference=LayoutReference(str(folder), digest),
        platform=parse_platform("linux/amd64"),
        digest=digest,
        pinned=digest,
        manifest=manifest_of(descriptor(PACKED, OCI_LAYER_GZIP)),
        config=json.loads(config_of(BELOW)),
        config_content=config_of(BELOW),
    )


async def test_they_are_read_from_where_the_image_is(tmp_path: Path) -> None:
    given, built = LayoutStore(tmp_path / "given"), LayoutStore(tmp_path / "built")
    given.prepare()
    built.prepare()
    await given.put_blob(blob_of_bytes(PACKED, OCI_LAYER_GZIP))
    await built.put_blob(blob_of_bytes(OWN, OCI_LAYER))
    manifest = manifest_of(descriptor(BELOW), descriptor(OWN))
    image = external(given.path)
    source, found = with_original_layers(built, manifest, config_of(BELOW, OWN), image, no_repository)
    assert found.layers == (descriptor(PACKED, OCI_LAYER_GZIP), descriptor(OWN))
    assert [b"".join([chunk async for chunk in source.read_blob(layer)]) for layer in found.layers] == [PACKED, OWN]
    assert source.name == built.name


@pytest.mark.parametrize(
    ("layers", "diff_ids"),
    [
        ((descriptor(PACKED, OCI_LAYER_GZIP), descriptor(OWN)), (BELOW, OWN)),
        ((descriptor(OTHER), descriptor(OWN)), (OTHER, OWN)),
        ((descriptor(OWN),), (OWN,)),
        ((), ()),
    ],
    ids=["they are there", "another image", "no such layer", "nothing"],
)
def test_nothing_changes_where_they_are_there_or_others_are(
    tmp_path: Path, layers: tuple[Descriptor, ...], diff_ids: tuple[bytes, ...]
) -> None:
    built, manifest = LayoutStore(tmp_path), manifest_of(*layers)
    found = with_original_layers(built, manifest, config_of(*diff_ids), external(tmp_path), no_repository)
    assert found == (built, manifest)


def test_an_image_from_scratch_has_no_layers_of_another(tmp_path: Path) -> None:
    built, manifest = LayoutStore(tmp_path), manifest_of(descriptor(OWN))
    assert with_original_layers(built, manifest, config_of(OWN), None, no_repository) == (built, manifest)


@pytest.mark.parametrize("wrote", [PACKED, BELOW], ids=["the same bytes", "other bytes"])
def test_types_are_those_of_the_family_that_the_engine_wrote(tmp_path: Path, wrote: bytes) -> None:
    docker = replace(external(tmp_path), manifest=manifest_of(descriptor(PACKED, DOCKER_LAYER_GZIP)))
    manifest = manifest_of(descriptor(wrote, OCI_LAYER_GZIP), descriptor(OWN))
    _, found = with_original_layers(LayoutStore(tmp_path), manifest, config_of(BELOW, OWN), docker, no_repository)
    assert found.layers == (descriptor(PACKED, OCI_LAYER_GZIP), descriptor(OWN))
