"""[io] Cores in a store: what their records say, and how they get there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import msgspec

from buildonce.assemble.compression import Compression
from buildonce.assemble.entries import Entry
from buildonce.assemble.parts import Parts
from buildonce.assemble.tarball import write_layer
from buildonce.assemble.tree import Tree
from buildonce.dockerfile.runes import has_invalid
from buildonce.oci import OCI_CONFIG, OCI_MANIFEST, Digest, Manifest
from buildonce.plan.nodes import CoreNode
from buildonce.plan.recipes import encode_recipe
from buildonce.store.protocol import Store
from buildonce.store.results import Record, Result, ResultName, put_result
from buildonce.store.streams import blob_of_bytes, blob_of_file

_LISTED = 500
"""How many entries of a core its record lists; a larger core is listed by reading its layer."""


class CoreDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a core's record says of its content: its digest, and its entries.

    They are left out if they are too many, or if the name of one is no text.
    """

    content: Digest
    entries: tuple[Entry, ...] | None = None


def core_name(node: CoreNode) -> ResultName:
    """Return what a core is looked up by."""
    return ResultName(kind="core", name=node.name, platform=node.platform, key=node.key)


def core_details(result: Result) -> CoreDetails:
    """Return what a core's record says of its content."""
    return msgspec.json.decode(result.record.details, type=CoreDetails)


async def store_core(
    node: CoreNode,
    tree: Tree,
    seconds: float,
    *,
    store: Store,
    target: Path,
    parts: Parts,
    compression: Compression = Compression.GZIP,
) -> Result:
    """Put a core into a store, as one layer whose bytes depend on its files alone; it is written to ``target``."""
    blob = await asyncio.to_thread(write_layer, tree.entries(), target, compression=compression, parts=parts)
    config = blob_of_bytes(_core_config(node, blob.diff_id), OCI_CONFIG)
    listed = without_contents(tree)
    is_listed = len(listed) <= _LISTED and _is_text(listed)
    details = CoreDetails(content=blob.diff_id, entries=listed if is_listed else None)
    return await put_result(
        store,
        manifest=Manifest(media_type=OCI_MANIFEST, config=config.descriptor, layers=(blob.descriptor,)),
        record=Record(
            kind="core",
            name=node.name,
            platform=str(node.platform),
            key=node.key,
            recipe=msgspec.Raw(encode_recipe(node.recipe)),
            seconds=seconds,
            details=msgspec.Raw(msgspec.json.encode(details)),
        ),
        new=(config, blob_of_file(blob.path, blob.descriptor)),
    )


def without_contents(tree: Tree, *, names: bool = False) -> tuple[Entry, ...]:
    """Return a tree's entries without the places of their bytes: as a layer, or with all facts in all ``names``."""
    entries = tuple(tree.values()) if names else tree.entries()
    return tuple(replace(entry, content=None) for entry in entries)


def _is_text(entries: tuple[Entry, ...]) -> bool:
    """Say whether a record, which holds only text, can hold all names."""
    return not any(has_invalid(one.path + (one.link or "") + (one.hardlink or "")) for one in entries)


def _core_config(node: CoreNode, diff_id: Digest) -> bytes:
    """Return a core's image config."""
    return msgspec.json.encode(
        {
            "architecture": node.platform.architecture,
            **({"variant": node.platform.variant} if node.platform.variant else {}),
            "os": node.platform.os,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
    )
