"""[io] What a plan shipped, kept in the cache: the same plan has nothing to ship while the tags stay there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from buildonce.oci import Digest, MediaType
from buildonce.run.plan_file import PlanFile
from buildonce.ship.publication import TagResult
from buildonce.store.attachments import put_attachment, read_attachment
from buildonce.store.protocol import Source, Store
from buildonce.tasks import together

_TYPE = MediaType("application/vnd.buildonce.shipped.v1+json+zlib")
_FORMAT = 2


class ShippedTag(msgspec.Struct, frozen=True, kw_only=True):
    """Where a tag pointed when the release was complete."""

    target: str
    tag: str
    digest: Digest


class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    """The tags of a release, and what it was made from: `input_of` its plan."""

    inputs: str
    tags: tuple[ShippedTag, ...]


def input_of(plan: PlanFile, results: Mapping[str, Digest]) -> str:
    """Return a digest of all that decides what a plan ships: keys, the results by their digests, tags and settings."""
    inputs = (
        _FORMAT,
        plan.version,
        sorted((node.kind, node.name, node.platform, node.key) for node in plan.nodes),
        sorted(results.items()),
        plan.variants,
        (plan.epoch, plan.compression, plan.unchecked, plan.declaration.default, plan.declaration.latest),
        [(one.name, sorted(one.build.annotations.items())) for one in plan.declaration.variants],
        sorted(plan.declaration.build.annotations.items()),
    )
    return hashlib.sha256(msgspec.json.encode(inputs)).hexdigest()


async def keep_shipped(cache: Store, inputs: str, tags: Iterable[TagResult]) -> None:
    """Keep where the tags of a complete release point."""
    kept = tuple(ShippedTag(target=one.target, tag=one.tag, digest=one.digest) for one in tags)
    content = msgspec.json.encode(Shipped(inputs=inputs, tags=kept))
    await put_attachment(cache, content, _TYPE, tag=_tag(inputs))


async def is_shipped(cache: Source, inputs: str, targets: Mapping[str, Store]) -> bool:
    """Say whether a release of the same inputs is complete, and its tags in ``targets`` (by name) still point to it."""
    content = await read_attachment(cache, _tag(inputs), _TYPE)
    try:
        shipped = msgspec.json.decode(content, type=Shipped) if content is not None else None
    except msgspec.DecodeError:
        return False
    if shipped is None or shipped.inputs != inputs or not shipped.tags:
        return False

    async def holds(one: ShippedTag) -> bool:
        return one.target in targets and await targets[one.target].head_manifest(one.tag) == one.digest

    return all(await together(holds(one) for one in shipped.tags))


def _tag(inputs: str) -> str:
    return f"shipped-{inputs[:32]}"
