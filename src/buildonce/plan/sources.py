"""What a plan is made from: Dockerfiles, contexts, arguments, platforms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct, field

from buildonce.dockerfile.syntax import Dockerfile
from buildonce.oci import Digest, Platform
from buildonce.plan.recipes import FileInput


class ContextFiles(Protocol):
    """The build context of one Dockerfile."""

    def digest(self, sources: tuple[str, ...], exclude: tuple[str, ...]) -> Digest:
        """Return the digest of what these source words select. Raises `ContextError`."""
        ...

    def files(self, sources: tuple[str, ...], exclude: tuple[str, ...]) -> tuple[FileInput, ...]:
        """Return what these source words select, by name; ``digest`` says whether it is the same."""
        ...


class SourceFile(Struct, frozen=True, kw_only=True):
    """One Dockerfile with its context, which lies in a folder called ``folder``."""

    dockerfile: Dockerfile
    context: ContextFiles
    folder: str = ""


class Request(Struct, frozen=True, kw_only=True):
    """What the user asks for.

    ``variants`` is empty for all. ``build_platform`` is what ``$BUILDPLATFORM`` means; it is part of the plan, not of
    the machine.
    """

    files: tuple[SourceFile, ...]
    platforms: tuple[Platform, ...]
    build_platform: Platform
    variants: tuple[str, ...] = ()
    build_args: Mapping[str, str] = field(default_factory=dict)
