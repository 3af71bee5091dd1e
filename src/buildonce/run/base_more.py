"""[io] What is known of a base and does not fit into its record: kept beside it, named in the record by its digest."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from buildonce.assemble.facts import Facts
from buildonce.oci import Digest, MediaType
from buildonce.plan.nodes import BaseNode
from buildonce.store.attachments import put_attachment, read_attachment
from buildonce.store.protocol import Source, Store
from buildonce.store.results import ResultName

_TYPE = MediaType("application/vnd.buildonce.base.v1+json+zlib")


class More(msgspec.Struct, frozen=True, omit_defaults=True):
    """The facts of a base by `Probe.key`, and what it offers to programs, as `encode_offer` writes it."""

    facts: Mapping[str, Facts] = {}
    offer: str = ""


async def keep_more(store: Store, node: BaseNode, more: More) -> Digest | None:
    """Keep what does not fit into a base's record; return its digest, None if it is too large for this too."""
    name = ResultName(kind="more", name=node.name, platform=node.platform, key=node.key)
    return await put_attachment(store, msgspec.json.encode(more), _TYPE, tag=name.tag)


async def read_more(source: Source, digest: Digest) -> More:
    """Return what was kept; nothing if it is gone or cannot be read: then it is gathered anew."""
    content = await read_attachment(source, digest, _TYPE)
    try:
        return msgspec.json.decode(content, type=More) if content is not None else More()
    except msgspec.DecodeError:
        return More()
