"""External images as a plan sees them: by the digest of one platform's manifest, with their config."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from buildonce.oci import Descriptor, Digest, Manifest, Platform, parse_digest
from buildonce.reference import Reference, parse_reference

LAYOUT_SCHEME = "oci-layout://"


class LayoutReference(Struct, frozen=True):
    """An image in an OCI layout on disk, at an absolute ``path``, by its tag or digest."""

    path: str
    name: str

    def __str__(self) -> str:
        return f"{LAYOUT_SCHEME}{self.path}{'@' if ':' in self.name else ':'}{self.name}"


def parse_image_address(address: str) -> Reference | LayoutReference:
    """Return what an image's name in a Dockerfile, or the address of a named context, refers to.

    In an ``oci-layout://PATH[:TAG][@DIGEST]`` the digest counts, and the tag is ``latest`` without either, as
    buildx has it. Raises `UsageError`.
    """
    if not address.startswith(LAYOUT_SCHEME):
        return parse_reference(address)
    rest, _, digest = address.removeprefix(LAYOUT_SCHEME).partition("@")
    path, _, tag = rest.partition(":")
    return LayoutReference(path, parse_digest(digest) if digest else tag or "latest")


class ExternalImage(Struct, frozen=True, kw_only=True):
    """An image in a registry, or in a layout that is a named context, for one platform.

    ``digest`` is that of the platform's manifest, and what keys cover; ``pinned`` is what its tag resolved to (an
    index, or the manifest itself), and what an engine is given instead of the tag.
    """

    reference: Reference | LayoutReference
    platform: Platform
    digest: Digest
    pinned: Digest
    manifest: Manifest
    config: Mapping[str, object]
    config_content: bytes

    @property
    def descriptor(self) -> Descriptor:
        """The config's descriptor."""
        return self.manifest.config

    @property
    def onbuild(self) -> tuple[str, ...]:
        """The triggers that the image sets off in whatever is built from it."""
        section = self.config.get("config")
        triggers = section.get("OnBuild") if isinstance(section, Mapping) else None
        return tuple(str(one) for one in triggers) if isinstance(triggers, list) else ()

    @property
    def history_length(self) -> int:
        """How many entries its history has."""
        history = self.config.get("history")
        return len(history) if isinstance(history, list) else 0

    @property
    def created(self) -> int:
        """When it was made, in seconds since 1970; 0 when its config does not say, or says something impossible."""
        text = self.config.get("created")
        try:
            moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        except ValueError:
            moment = None
        return max(0, int(moment.timestamp())) if moment is not None and moment.tzinfo else 0
