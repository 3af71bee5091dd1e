"""Registry sessions whose waits take no time, credentials to order, and small images."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from buildonce.oci import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    MediaType,
    digest_of,
    encode_json,
)
from buildonce.reference import Repository
from buildonce.store.protocol import Blob
from buildonce.store.registry import RegistryOptions, RegistrySession
from buildonce.store.registry.capabilities import CapabilityTable
from buildonce.store.registry.challenges import Credential
from buildonce.store.registry.credentials import CredentialSource, Finding
from buildonce.store.streams import blob_of_bytes


class FakeClock:
    """Time that passes only by sleeping; ``slept`` says how long each time."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.time = 1000.0

    def monotonic(self) -> float:
        """Return the seconds slept so far, and some."""
        return self.time

    def now(self) -> datetime:
        """Return one fixed moment."""
        return datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


class Known:
    """One credential for every registry."""

    def __init__(self, credential: Credential | None) -> None:
        self.credential = credential

    async def find(self, registry: str, repository: str) -> Finding:  # noqa: ARG002
        """Return it."""
        return Finding(credential=self.credential, source=self.credential.source if self.credential else "none found")


class Incurious(CapabilityTable):
    """Finds nothing out that has a price: requests are then the same whichever blob comes first."""

    def claim(self, host: str, name: str) -> bool:  # noqa: ARG002
        """Let nobody try."""
        return False


def new_session(
    clock: FakeClock | None = None,
    *,
    credentials: CredentialSource | None = None,
    options: RegistryOptions | None = None,
    capabilities: CapabilityTable | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> RegistrySession:
    """Return a session whose waits take no time, and which tries nothing out unless it is given a table."""
    chosen = options or (RegistryOptions(credentials=credentials) if credentials else RegistryOptions())
    table = capabilities or Incurious(now=lambda: 0.0)
    return RegistrySession(chosen, clock=clock or FakeClock(), chance=lambda: 0.5, capabilities=table, warn=warn)


@dataclass(frozen=True, slots=True)
class Image:
    """A small image: its manifest and its blobs, the config first."""

    content: bytes
    blobs: tuple[Blob, ...]
    media_type: MediaType = OCI_MANIFEST

    @property
    def descriptor(self) -> Descriptor:
        """What an index says of it."""
        return Descriptor(media_type=self.media_type, digest=digest_of(self.content), size=len(self.content))


def image(name: str = "one", *layers: bytes, origins: tuple[Repository, ...] = ()) -> Image:
    """Return an image with the given layers, or one small one, whose config holds ``name``."""
    config = blob_of_bytes(b'{"name":"' + name.encode() + b'"}', OCI_CONFIG)
    parts = [
        blob_of_bytes(layer, OCI_LAYER_GZIP, origins=origins) for layer in layers or (b"layer of " + name.encode(),)
    ]
    manifest = Manifest(
        config=config.descriptor, layers=tuple(part.descriptor for part in parts), media_type=OCI_MANIFEST
    )
    return Image(encode_json(manifest), (config, *parts))


def index(*images: Image) -> bytes:
    """Return an index of images."""
    return encode_json(Index(manifests=tuple(each.descriptor for each in images), media_type=OCI_INDEX))


async def collected(chunks: AsyncIterator[bytes]) -> bytes:
    """Return a stream as bytes."""
    return b"".join([chunk async for chunk in chunks])
