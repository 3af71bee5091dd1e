"""[io] Receipts: what a repository is known to hold, so that it need not be asked again.

A receipt only saves requests. It is never believed against the store's word: a store that lacks what a receipt
claims refuses the manifest or index that refers to it, and then everything is sent again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from buildonce.oci import Digest
from buildonce.store.streams import place_bytes

_FORMAT = 1


class Receipt(msgspec.Struct, frozen=True):
    """What earlier runs published to one target: digests by tag, complete images' manifests, and their own blobs.

    ``doubted`` are manifests that the target failed to take.
    """

    target: str
    tags: Mapping[str, Digest] = {}
    manifests: frozenset[Digest] = frozenset()
    blobs: frozenset[Digest] = frozenset()
    doubted: frozenset[Digest] = frozenset()
    format: int = _FORMAT


class Receipts:
    """Receipts in a folder, one file for each target."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, target: str) -> Receipt:
        """Return the receipt for ``target``; an empty one where there is none or it cannot be read."""
        try:
            receipt = msgspec.json.decode(self._path(target).read_bytes(), type=Receipt)
        except (OSError, msgspec.DecodeError):
            return Receipt(target=target)
        return receipt if (receipt.format, receipt.target) == (_FORMAT, target) else Receipt(target=target)

    def save(self, receipt: Receipt) -> None:
        """Replace the target's receipt, whole or not at all. Raises `DiskError`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        content = msgspec.json.format(msgspec.json.encode(receipt, order="sorted"), indent=1)
        place_bytes(self._path(receipt.target), content)

    def _path(self, target: str) -> Path:
        return self._folder / (hashlib.sha256(target.encode()).hexdigest()[:32] + ".json")
