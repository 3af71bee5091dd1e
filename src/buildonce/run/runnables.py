"""[io] What can be run or loaded among files on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from buildonce.assemble.entries import Content, Entry, EntryType
from buildonce.assemble.parts import content_of
from buildonce.elf.reading import ReadAt, read_runnable
from buildonce.elf.values import Runnable
from buildonce.errors import AssemblyError
from buildonce.oci import Digest

_OPEN = 64
"""How many files are open at once: most entries lie in one archive, those of a context in files of their own."""


def read_runnables(entries: Iterable[Entry]) -> Mapping[Digest, Runnable]:
    """Return the ELF files and scripts among ``entries``, whose contents are at hand, by digest.

    Raises `AssemblyError` if a file cannot be read.
    """
    found: dict[Digest, Runnable] = {}
    seen: set[Digest] = set()
    with _Files() as files:
        for entry in entries:
            if entry.type is not EntryType.FILE or entry.digest is None or entry.digest in seen or not entry.size:
                continue
            seen.add(entry.digest)
            runnable = read_runnable(files.reader(content_of(entry)), entry.size)
            if runnable is not None:
                found[entry.digest] = runnable
    return found


class _Files:
    """Files that stay open while others in them are read."""

    def __init__(self) -> None:
        self._opened: dict[Path, int] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def reader(self, content: Content) -> ReadAt:
        """Return what reads from a range of a file."""
        descriptor = self._open(content.path)

        def read(offset: int, size: int) -> bytes:
            left = max(0, content.size - offset)
            try:
                return os.pread(descriptor, min(size, left), content.offset + offset)
            except OSError as error:
                raise AssemblyError(f"`{content.path}` cannot be read: {error.strerror}") from error

        return read

    def _open(self, path: Path) -> int:
        if path not in self._opened:
            if len(self._opened) >= _OPEN:
                self._stack.close()
                self._opened.clear()
            try:
                descriptor = self._opened[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise AssemblyError(f"`{path}` cannot be read: {error.strerror}") from error
            self._stack.callback(os.close, descriptor)
        return self._opened[path]
