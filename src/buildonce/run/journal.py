"""[io] The journal of releases: what is being tagged, kept from before the first tag moves until the last one has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from buildonce.ship.record import ReleaseRecord, encode_record
from buildonce.store.streams import place_bytes


class Journal:
    """At most one unfinished release for each set of stores, as the record that `buildonce release` takes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, record: ReleaseRecord) -> None:
        """Note a release whose tags are about to move. Raises `DiskError`."""
        path = self._path(record.targets.values())
        path.parent.mkdir(parents=True, exist_ok=True)
        place_bytes(path, encode_record(record))

    def end(self, targets: Iterable[str]) -> None:
        """Note that all tags of a release to these stores have moved."""
        self._path(targets).unlink(missing_ok=True)

    def unfinished(self, targets: Iterable[str]) -> Path | None:
        """Return the record of a release to these stores that was interrupted while its tags moved."""
        path = self._path(targets)
        return path if path.exists() else None

    def _path(self, targets: Iterable[str]) -> Path:
        names = "\n".join(sorted(set(targets)))
        return self._folder / (hashlib.sha256(names.encode()).hexdigest()[:32] + ".json")
