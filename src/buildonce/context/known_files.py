"""[io] The digests of files that were read before.

A record says: the file with this device, inode, size, mode, number of links and these times has this digest. It is
trusted whenever a file has exactly this identity; `trust` says why.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path

from buildonce.context.keeping import keep, load_kept
from buildonce.context.scanning import SIZE
from buildonce.context.trust import Trust

_MAGIC = b"buildonce known files 2\n"
_RECORD = struct.Struct(f"{SIZE}s32s")
_FEW_RECORDS = 50_000
_MOST_RECORDS = 1_000_000


class KnownFiles:
    """What is known of files, kept in the file ``path``; without ``trust`` nothing is."""

    def __init__(self, path: Path, trust: Trust | None) -> None:
        self._path = path
        self._trust = trust
        self._loaded: dict[bytes, bytes] | None = None
        self._is_changed = False

    def find(self, identity: bytes) -> bytes | None:
        """Return the SHA-256 of the file with this identity, if it is known."""
        return self._records().get(identity)

    def learn(self, identity: bytes, digest: bytes, seen: int) -> None:
        """Take the digest of a file that had its identity from ``seen`` until it was read, unless that is too recent.

        ``seen`` is in nanoseconds since the epoch. The reading was settled (`reading.Content`).
        """
        if self._trust is not None and self._trust.covers(identity, seen):
            self._records()[identity] = digest
            self._is_changed = True

    def save(self, used: Iterable[bytes]) -> None:
        """Keep what is known for the next run, if that is new.

        What is ``used`` comes first, and about as much of the rest is kept: other instructions may need it.
        """
        if (
            self._trust is not None
            and self._is_changed
            and keep(self._path, _MAGIC, self._trust, lambda: self._render(used))
        ):
            self._is_changed = False

    def _render(self, used: Iterable[bytes]) -> bytes:
        records = self._records()
        present = {identity: records[identity] for identity in used if identity in records}
        limit = min(_MOST_RECORDS, max(_FEW_RECORDS, 2 * len(present)))
        others = (record for record in reversed(records.items()) if record[0] not in present)
        newest_first = list(islice(chain(present.items(), others), limit))
        return b"".join(part for record in reversed(newest_first) for part in record)

    def _records(self) -> dict[bytes, bytes]:
        if self._loaded is None:
            body = load_kept(self._path, _MAGIC, self._trust) if self._trust is not None else b""
            self._loaded = {} if len(body) % _RECORD.size else dict(_RECORD.iter_unpack(body))
        return self._loaded
