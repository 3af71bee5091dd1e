"""[io] The journal of releases: what is being tagged, kept from before the first tag moves until the last one has."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from buildonce.ship.record import ReleaseRecord, encode_record
from buildonce.store.streams import temporary_name, writing


class Entry:
    """A release whose tags are moving, as the record that `buildonce release` takes.

    Its file is locked for as long as the run goes on: one that is not belongs to a run that was interrupted.
    """

    def __init__(self, journal: Journal, targets: tuple[str, ...], path: Path, file: int) -> None:
        self._journal = journal
        self._path = path
        self._targets = targets
        self._file = file

    def done(self) -> None:
        """Note that all tags of the release have moved, so that no interrupted one to these stores matters any more."""
        self.dropped()
        for path in self._journal.interrupted(self._targets):
            path.unlink(missing_ok=True)

    def dropped(self) -> None:
        """Note that no tag of the release has moved after all."""
        # Never there without its lock: another run would take this one for interrupted.
        self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Note that the run ends, whatever has become of its tags."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Journal:
    """The unfinished releases of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, record: ReleaseRecord) -> Entry:
        """Note a release whose tags are about to move. Raises `DiskError`."""
        targets = tuple(record.targets.values())
        path = self._folder / f"{_name(targets)}-{secrets.token_hex(4)}.json"
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = temporary_name(path)
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                with suppress(OSError):  # without locks, a release that goes on looks like one that was interrupted
                    fcntl.flock(file, fcntl.LOCK_EX)
                with open(file, "wb", closefd=False) as out:
                    out.write(encode_record(record))
                temporary.replace(path)
            except BaseException:
                os.close(file)
                temporary.unlink(missing_ok=True)
                raise
        return Entry(self, targets, path, file)

    def unfinished(self, targets: Iterable[str]) -> Path | None:
        """Return the record of a release to these stores that was interrupted while its tags moved."""
        return max(self.interrupted(targets), key=_time, default=None)

    def interrupted(self, targets: Iterable[str]) -> list[Path]:
        """Return the records of all releases to these stores whose runs are over."""
        return [path for path in self._folder.glob(f"{_name(targets)}-*.json") if not _is_held(path)]


def _name(targets: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(set(targets))).encode()).hexdigest()[:32]


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _is_held(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True  # its run ended well just now
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # without locks, a release that goes on looks like one that was interrupted
    else:
        return not _is_at(path, file)  # its run ended well between the two looks
    finally:
        os.close(file)


def _is_at(path: Path, file: int) -> bool:
    """Say whether an open file is still the one at ``path``."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False
