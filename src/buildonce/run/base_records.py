"""Bases that are at hand, and what is kept of one beside its bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

import msgspec

from buildonce.assemble.facts import Facts
from buildonce.assemble.image import BaseImage
from buildonce.oci import Digest
from buildonce.plan.nodes import BaseNode
from buildonce.reference import Repository
from buildonce.run.layers import Stack, stack_layers
from buildonce.store.protocol import Blob, Source
from buildonce.store.results import Result, ResultName


class Proof(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether a base built without its late copies gives the same image as a faithful build; if not, why.

    ``shape`` is that of what the copies brought when it was found out (`Brought.shape`), ``day`` is when that was.
    """

    equal: bool
    reason: str = ""
    shape: str = ""
    day: str = ""


class BaseDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a base's record says besides its recipe.

    ``holds_base`` is False for an external image, and for a base that cannot be used: the record's own image is then
    empty. ``facts`` are by `Probe.key`; ``proofs`` are one for each shape that was looked at; ``offer`` is what the
    base offers to programs, as `encode_offer` writes it. Where these two do not fit, ``more`` is where they are kept.
    """

    holds_base: bool = True
    facts: Mapping[str, Facts] = {}
    proofs: tuple[Proof, ...] = ()
    offer: str = ""
    more: Digest | None = None

    @property
    def disproof(self) -> Proof | None:
        """The proof that nothing can be assembled on the base, if there is one: whatever is copied then."""
        return find_disproof(self.proofs)


@dataclass(slots=True, kw_only=True)
class ReadyBase:
    """A base that is at hand: its image, where its blobs are, and what is known of it.

    ``fresh`` says that this run built it, in ``seconds``; ``holds_base`` that its record's image is the base itself;
    ``proved`` that this run looked whether it gives what a faithful build gives.
    """

    node: BaseNode
    image: BaseImage
    source: Source
    origins: tuple[Repository, ...]
    fresh: bool
    holds_base: bool
    seconds: float = 0.0
    facts: dict[str, Facts] = field(default_factory=dict)
    proofs: tuple[Proof, ...] = ()
    proved: bool = False
    offer: str = ""

    @property
    def disproof(self) -> Proof | None:
        """The proof that nothing can be assembled on the base, if there is one: whatever is copied then."""
        return find_disproof(self.proofs)

    def blobs(self) -> tuple[Blob, ...]:
        """Return the base's layers as blobs to publish."""
        distinct = {layer.digest: layer for layer in self.image.manifest.layers}
        return tuple(
            Blob(descriptor=layer, open=partial(self.source.read_blob, layer), origins=self.origins)
            for layer in distinct.values()
        )


def find_disproof(proofs: Iterable[Proof]) -> Proof | None:
    """Return the first proof that says no."""
    return next((proof for proof in proofs if not proof.equal), None)


def base_name(node: BaseNode) -> ResultName:
    """Return what a base is looked up by."""
    return ResultName(kind="base", name=node.name, platform=node.platform, key=node.key)


def base_details(result: Result) -> BaseDetails:
    """Return what a base's record says besides its recipe."""
    return msgspec.json.decode(result.record.details, type=BaseDetails)


def base_stack(base: ReadyBase, layers: int | None = None) -> Stack:
    """Return the base's first ``layers`` layers, or all."""
    return stack_layers(base.source, base.image.manifest.layers[:layers], base.image.config)
