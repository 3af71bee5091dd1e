"""What every store can do, and the values that pass through it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol, runtime_checkable

from msgspec import Struct

from buildonce.oci import Descriptor, Digest, MediaType
from buildonce.reference import Repository


class Stored(Struct, frozen=True):
    """A manifest or an index exactly as a store holds it; ``digest`` was verified against ``content``."""

    media_type: MediaType
    content: bytes
    digest: Digest


class Presence(Enum):
    """Whether a store has a blob already, as far as anybody knows who wants it there."""

    UNKNOWN = "unknown"
    """Nobody has put it there: it is sent without a question."""
    PERHAPS = "perhaps"
    """Somebody may have: it is asked for where sending it costs more than a question."""
    LIKELY = "likely"
    """Somebody has, and there is a doubt: it is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A blob on its way into a store.

    ``open`` starts a new stream over the bytes each time it is called (an upload may have to be repeated).
    ``origins`` are repositories that are known to hold it; one in the target's registry allows a mount.
    """

    descriptor: Descriptor
    open: Callable[[], AsyncIterator[bytes]] = field(repr=False)
    origins: tuple[Repository, ...] = ()
    presence: Presence = Presence.UNKNOWN


class Outcome(Enum):
    """What it took to have a blob in a store."""

    UPLOADED = "uploaded"
    MOUNTED = "mounted"
    EXISTED = "existed"


class Readable(Protocol):
    """Bytes in their order, once."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, none only at the end; raises what keeps the bytes from being read."""
        ...


class Source(Protocol):
    """Something to read from. Everything read is verified against its digest and size before it counts."""

    @property
    def name(self) -> str:
        """How messages call this store: ``oci:DIR`` or ``registry/repository``."""
        ...

    async def get_manifest(self, name: str) -> Stored | None:
        """Return the manifest or index under a tag or digest; None where the store has none.

        Raises `StoreError` when the store cannot be asked and `IntegrityError` when it answers with other bytes.
        """
        ...

    def read_blob(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """Stream a blob. Raises `IntegrityError`, at the latest at the end, when digest or size do not match."""
        ...


class Store(Source, Protocol):
    """A source that can also be written."""

    async def head_manifest(self, name: str) -> Digest | None:
        """Return the digest that a tag points to (or the digest itself, if it is there), without its content."""
        ...

    async def put_blob(self, blob: Blob) -> Outcome:
        """Have the blob in the store: mounted if an origin allows it, else uploaded, never asking first."""
        ...

    async def put_manifest(self, content: bytes, media_type: MediaType, *, tag: str | None = None) -> Digest:
        """Store a manifest or index under its digest, and under ``tag`` if given; return the digest.

        Raises `MissingBlobs` when the store says that something the manifest refers to is not there.
        """
        ...


@runtime_checkable
class Holding(Protocol):
    """A store that can be asked whether it has a blob, where sending one again would cost more than the question."""

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Say whether the blob is there with the right size; its content is checked when it is read."""
        ...


class Listed(Source, Protocol):
    """A source that says what it holds without giving it all away."""

    async def tags(self) -> Collection[str]:
        """Return every tag; none where there is no such store."""
        ...

    async def blob_size(self, descriptor: Descriptor) -> int | None:
        """Return how many bytes the store says a blob has; None where it has no such blob.

        Where it does not say how many, it is taken for what ``descriptor`` says.
        """
        ...


@runtime_checkable
class Doubting(Protocol):
    """A store that may keep damage when it fails: manifests that it did not take are read back when they come again."""

    doubted: set[Digest]


@runtime_checkable
class Tagging(Protocol):
    """A store that may set several tags at the cost of one."""

    async def put_together(self, content: bytes, media_type: MediaType, tags: Sequence[str]) -> frozenset[str]:
        """Store a manifest or index under ``tags`` at once; return those that were set, none where it cannot do that.

        Raises as `Store.put_manifest` does.
        """
        ...


@runtime_checkable
class Local(Protocol):
    """A source whose blobs are files."""

    def path_of(self, descriptor: Descriptor) -> Path | None:
        """Return the file that holds the blob, or None. Its size is right; its content is not checked."""
        ...


@runtime_checkable
class AtomicTags(Protocol):
    """A store in which several tags can be moved at once."""

    async def set_tags(self, tags: Mapping[str, Digest]) -> None:
        """Point tags to manifests and indexes that are there, all in one step or none.

        Raises `MissingBlobs` when one is not there.
        """
        ...
