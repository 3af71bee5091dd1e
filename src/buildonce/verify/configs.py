"""Image configs as far as they are verified. Unlike assembly, which patches what it does not know, this reads only."""

from __future__ import annotations

import msgspec

from buildonce.errors import Error, IntegrityError
from buildonce.fit.late_files import read_settings
from buildonce.fit.world import Settings
from buildonce.oci import Digest, Platform, parse_digest, parse_platform


class HistoryEntry(msgspec.Struct, frozen=True):
    """One entry of a history."""

    created_by: str | None = None
    empty_layer: bool | None = None


class _RootFs(msgspec.Struct, frozen=True):
    type: str
    diff_ids: tuple[str, ...] | None = None


class _Document(msgspec.Struct, frozen=True):
    architecture: str
    os: str
    rootfs: _RootFs
    variant: str | None = None
    history: tuple[HistoryEntry, ...] | None = None


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a config says: the platform, the digests of the layers unpacked, what made the layers, how it is run."""

    platform: Platform
    diff_ids: tuple[Digest, ...]
    history: tuple[HistoryEntry, ...]
    settings: Settings

    def makers(self) -> tuple[str, ...]:
        """Return the history's text for each layer; nothing where the history does not account for the layers."""
        texts = tuple(entry.created_by or "" for entry in self.history if not entry.empty_layer)
        return texts if len(texts) == len(self.diff_ids) else ()


def decode_image_config(content: bytes) -> ImageConfig:
    """Return what a config says. Raises `IntegrityError` for one that is not as image-spec's config.md has it."""
    try:
        document = msgspec.json.decode(content, type=_Document)
        settings = read_settings(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IntegrityError(f"the config cannot be read: {error}") from error
    if document.rootfs.type != "layers":
        raise IntegrityError(f"the config's rootfs is of the type `{document.rootfs.type[:40]}`, not `layers`")
    return ImageConfig(
        platform=Platform(os=document.os, architecture=document.architecture, variant=document.variant or ""),
        diff_ids=tuple(parse_digest(one) for one in document.rootfs.diff_ids or ()),
        history=document.history or (),
        settings=settings,
    )


def normal(platform: Platform) -> Platform:
    """Return a platform as containerd compares it; one that is none stays as it is."""
    try:
        return parse_platform(str(platform))
    except Error:
        return platform


def agrees(named: Platform, config: Platform) -> bool:
    """Say whether a config's platform is the one that an index names; a CPU variant counts where both have one."""
    one, other = normal(named), normal(config)
    if (one.os, one.architecture) != (other.os, other.architecture):
        return False
    return one.variant == other.variant or not named.variant or not config.variant
