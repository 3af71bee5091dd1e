"""[io] This machine's memory: blobs by digest, receipts, memos. All of it can be lost; it only saves work."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from buildonce.oci import Digest, digest_of
from buildonce.run.journal import Journal
from buildonce.ship.receipts import Receipts
from buildonce.store.layout import LayoutStore
from buildonce.store.streams import place_bytes

_LEFT_BEHIND = 24 * 3600.0
"""Seconds after which a run's folder that nobody touches belongs to no run any more."""

_T = TypeVar("_T")


def state_folder(environment: Mapping[str, str]) -> Path:
    """Return where the state is kept: ``BUILDONCE_STATE``, else the user's cache folder."""
    if named := environment.get("BUILDONCE_STATE"):
        return Path(named)
    cache = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME", "~")).expanduser() / ".cache")
    return Path(cache) / "buildonce"


class State:
    """The state in one folder, shared by all runs of a user."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.blobs = LayoutStore(folder / "blobs", durable=False)
        self.receipts = Receipts(folder / "receipts")
        self.turns = folder / "turns"
        self.journal = Journal(folder / "journal")

    @contextmanager
    def work_folder(self) -> Iterator[Path]:
        """Give a folder for one run's files, on the same file system as the blobs; it is gone afterwards."""
        parent = self._folder / "work"
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=f"{os.getpid()}-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def read_small(self, digest: Digest) -> bytes | None:
        """Return a kept document's bytes, or None; bytes that are not what their name says are none."""
        try:
            content = self._small(digest).read_bytes()
        except OSError:
            return None
        return content if digest_of(content) == digest else None

    def keep_small(self, content: bytes) -> None:
        """Keep a manifest or a config."""
        _replace(self._small(digest_of(content)), content)

    def recall(self, kind: str, key: str, value_type: type[_T]) -> _T | None:
        """Return what was remembered under ``key``, or None if nothing was, or it cannot be read any more."""
        try:
            return msgspec.json.decode(self._memo(kind, key).read_bytes(), type=value_type)
        except (OSError, msgspec.DecodeError):
            return None

    def remember(self, kind: str, key: str, value: object) -> None:
        """Remember ``value`` under ``key``, whole or not at all."""
        _replace(self._memo(kind, key), msgspec.json.encode(value))

    def _small(self, digest: Digest) -> Path:
        return self._folder / "documents" / digest.replace(":", "-")

    def _memo(self, kind: str, key: str) -> Path:
        return self._folder / "memos" / kind / (hashlib.sha256(key.encode()).hexdigest()[:40] + ".json")


def _sweep(parent: Path) -> None:
    """Remove what runs that were killed left behind a day ago or longer."""
    for folder in parent.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > _LEFT_BEHIND:
                shutil.rmtree(folder, ignore_errors=True)


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    place_bytes(path, content)
