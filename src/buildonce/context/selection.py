"""What was selected from a build context, as values. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from msgspec import Struct

from buildonce.dockerfile.runes import encode
from buildonce.oci import Digest

_SELECTION_VERSION = b"buildonce selection 1\0"


class Words(Struct, frozen=True, kw_only=True):
    """What a COPY asks of a context: its source words, its ``--exclude`` patterns, and whether it has ``--parents``."""

    sources: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    parents: bool = False


class Selected(Struct, frozen=True, kw_only=True, gc=False):
    """One file, directory or symbolic link that a source word selects.

    ``path`` is relative to the context, ``relative`` to the source (empty for the source itself), ``source`` the path
    at which the source or match was found before links were followed: its last part is the name that a copied file
    gets. ``mode`` has the twelve permission bits, ``size`` the content's bytes, ``hardlink`` the ``path`` of an earlier
    file from the same source that is the same file. The directory that a source names is selected with its content,
    although a copy takes only the content. What ``is_uncertain`` may be missing in a build, see `words`.
    """

    source: str
    path: str
    relative: str
    type: str
    mode: int
    size: int = 0
    digest: Digest | None = None
    target: str | None = None
    mtime_ns: int = 0
    hardlink: str | None = None
    capability: bytes | None = None
    is_uncertain: bool = False


def selection_digest(selected: Iterable[Selected]) -> Digest:
    """Return the digest of what was selected: path, type, mode, bytes, link target and capability of each entry.

    Times and owners do not count, nor does the mode of a directory that a source names, which no copy takes.
    """
    total = hashlib.sha256(_SELECTION_VERSION)
    for one in selected:
        mode = "" if one.type == "dir" and not one.relative else f"{one.mode:o}"
        capability = one.capability.hex() if one.capability else ""
        text = f"{one.path}\0{one.type}\0{mode}\0{one.digest or ''}\0{one.target or ''}\0{capability}\0\n"
        total.update(encode(text))
    return Digest(f"sha256:{total.hexdigest()}")
