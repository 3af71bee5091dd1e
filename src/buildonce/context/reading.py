"""[io] The bytes of a context's files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from msgspec import Struct

from buildonce.errors import ContextError
from buildonce.oci import Digest

_CHUNK = 1 << 20


class Content(Struct, frozen=True):
    digest: Digest
    size: int
    inode: tuple[int, int]
    capability: bytes | None


def read_file(path: Path, name: str) -> Content:
    total, size = hashlib.sha256(), 0
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                total.update(chunk)
                size += len(chunk)
            state = os.fstat(file.fileno())
    except OSError as error:
        raise ContextError(f"cannot read `{name}` in the build context: {error.strerror}") from error
    digest = Digest(f"sha256:{total.hexdigest()}")
    return Content(digest, size, (state.st_dev, state.st_ino), _capability(path))


def _capability(path: Path) -> bytes | None:
    """Return the file's capabilities as Linux stores them, where there are any."""
    try:
        return os.getxattr(path, "security.capability", follow_symlinks=False)
    except (OSError, AttributeError):
        return None
