"""A store as the user writes it: ``oci:DIR`` or ``[registry/]repository``."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from buildonce.errors import UsageError
from buildonce.reference import Repository, parse_repository
from buildonce.store.layout import LayoutStore
from buildonce.store.registry import RegistrySession, RegistryStore

_LAYOUT = "oci:"


class LayoutLocation(Struct, frozen=True):
    """An OCI image layout on disk."""

    path: Path

    def __str__(self) -> str:
        return f"{_LAYOUT}{self.path}"


def parse_store(text: str) -> LayoutLocation | Repository:
    """Return what ``text`` names. Raises `UsageError` when it names no store."""
    if text.startswith(_LAYOUT):
        path = text.removeprefix(_LAYOUT)
        if not path or "\0" in path:
            raise UsageError("`oci:` names no folder", help="write it as oci:DIR")
        return LayoutLocation(Path(path))
    if text.startswith(("/", "./", "../", "~")) or text in (".", ".."):
        raise UsageError(f"`{text}` is not a repository", help=f"for an OCI layout on disk, write oci:{text}")
    if "://" in text:
        raise UsageError(f"`{text}` is not a repository", help="write it without a scheme: registry/repository")
    return parse_repository(text)


def open_store(
    location: LayoutLocation | Repository, session: RegistrySession, *, mirrored: bool = True
) -> LayoutStore | RegistryStore:
    """Return the store at ``location``; nothing is read yet. See `RegistryStore` for ``mirrored``."""
    match location:
        case LayoutLocation(path):
            return LayoutStore(path)
        case Repository():
            return RegistryStore(location, session, mirrored=mirrored)
