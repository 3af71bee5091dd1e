"""[io] What stages of tests are built on: images, as the program sees them, with their trees."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

from buildonce.assemble.archive import Layer, Want, scan_layer
from buildonce.assemble.config import begin_stage, scratch_config
from buildonce.assemble.facts import read_users, wants_user_file
from buildonce.assemble.image import BaseImage
from buildonce.assemble.owners import Passwd
from buildonce.assemble.tree import Tree, apply_layers
from buildonce.dockerfile.evaluation import BaseState
from buildonce.oci import OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest, decode_manifest, digest_of, parse_platform
from buildonce.plan.file_plans import external_state
from buildonce.plan.images import ExternalImage, LayoutReference
from tests.assemble.buildkit import AMD64, Built
from tests.assemble.image_cases import Base
from tests.assemble.layouts import read_blob, write_image


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """An image, the file system in it, and what its config means to the instructions that follow."""

    digest: str
    image: BaseImage
    tree: Tree
    passwd: Passwd
    state: BaseState


def write_foundation(layout: Path, base: Base) -> Foundation:
    """Put an image into a layout, and read it as the program would."""
    digest = write_image(layout, base.layers, base.config, family=base.family, packing=base.packing)
    manifest = decode_manifest(read_blob(layout, digest))
    content = read_blob(layout, manifest.config.digest)
    platform = parse_platform(base.platform)
    external = ExternalImage(
        reference=LayoutReference(str(layout), digest),
        platform=platform,
        digest=digest_of(read_blob(layout, digest)),
        pinned=digest_of(read_blob(layout, digest)),
        manifest=manifest,
        config=json.loads(content),
        config_content=content,
    )
    config = begin_stage(content, platform)
    layers = [_scan(layout, layer.digest) for layer in manifest.layers]
    tree, passwd = _tree(layers)
    return Foundation(
        digest=digest,
        image=BaseImage(manifest=manifest, config=config),
        tree=tree,
        passwd=passwd,
        state=external_state(external),
    )


def tree_foundation(built: Built) -> Foundation:
    """Return an image that BuildKit made of an archive alone."""
    tree, passwd = _tree(built.layers)
    image = BaseImage(manifest=built.manifest, config=built.config)
    return Foundation(digest="", image=image, tree=tree, passwd=passwd, state=BaseState())


def scratch_foundation() -> Foundation:
    """Return what a stage is built on that begins FROM scratch."""
    config = scratch_config(parse_platform(AMD64))
    descriptor = Descriptor(media_type=OCI_CONFIG, digest=digest_of(config), size=len(config))
    manifest = Manifest(media_type=OCI_MANIFEST, config=descriptor, layers=())
    image = BaseImage(manifest=manifest, config=config)
    return Foundation(digest="", image=image, tree=Tree(), passwd=Passwd(), state=BaseState())


def _scan(layout: Path, digest: str) -> Layer:
    contents = layout / f"{digest.partition(':')[2]}.tar"
    return scan_layer(io.BytesIO(read_blob(layout, digest)), Want(contents_path=contents, keep=wants_user_file))


def _tree(layers: tuple[Layer, ...] | list[Layer]) -> tuple[Tree, Passwd]:
    tree = apply_layers(layer.entries for layer in layers)
    return tree, read_users(tree, {digest: content for layer in layers for digest, content in layer.kept.items()})
