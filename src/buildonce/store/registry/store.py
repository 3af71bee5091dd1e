"""[io] A repository in a registry as a store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager

from buildonce.errors import MissingBlobs, StoreError, UsageError
from buildonce.oci import Descriptor, Digest, MediaType, digest_of, parse_digest
from buildonce.reference import Repository, is_tag
from buildonce.store.documents import identify, is_digest
from buildonce.store.protocol import Blob, Outcome, Stored
from buildonce.store.registry import exchanges, manifests, uploads
from buildonce.store.registry.download import download
from buildonce.store.registry.endpoints import Endpoint
from buildonce.store.registry.messages import Access, Body, Exchange, Result
from buildonce.store.registry.session import RegistrySession
from buildonce.tasks import together

TAGS_AT_ONCE = 10
"""How many tags one request may name: so many any registry takes that takes several."""


class RegistryStore:
    """One repository. With ``mirrored``, reads ask the registry's mirrors first.

    Where a tag decides what is written, ask without mirrors: theirs may lag behind. ``doubted`` are manifests that the
    registry failed to take, in this run or in earlier ones: see `manifests`.
    """

    def __init__(self, repository: Repository, session: RegistrySession, *, mirrored: bool = True) -> None:
        self.repository = repository
        self.session = session
        self._mirrored = mirrored
        self._endpoint = session.endpoint(repository)
        self._has_missed = False
        self.doubted: set[Digest] = set()

    @property
    def name(self) -> str:
        """The repository, as messages call it."""
        return str(self.repository)

    async def get_manifest(self, name: str) -> Stored | None:
        """Return the manifest or index under a tag or digest; None where the registry has none."""
        reference = _checked(name)
        return await self._first_of(lambda access: exchanges.get_manifest(access, reference))

    async def head_manifest(self, name: str) -> Digest | None:
        """Return the digest that a tag points to, or the digest itself if it is there."""
        reference = _checked(name)
        return await self._first_of(lambda access: exchanges.head_manifest(access, reference))

    async def read_blob(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """Stream a blob; a broken download goes on where it broke."""
        candidates = tuple((endpoint, endpoint.name(self.repository)) for endpoint in self._endpoints())
        async with aclosing(download(self.session, candidates, descriptor)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Say whether the registry itself has the blob in this repository."""
        return await self.blob_size(descriptor) == descriptor.size

    async def blob_size(self, descriptor: Descriptor) -> int | None:
        """Return how many bytes the registry itself says the blob has in this repository; None if it is not there."""
        return await self.session.run(lambda: exchanges.blob_size(self._reading(), descriptor))

    async def tags(self) -> tuple[str, ...]:
        """Return the tags that the registry itself lists, sorted."""
        return await self.session.run(lambda: exchanges.list_tags(self._reading()))

    async def put_blob(self, blob: Blob) -> Outcome:
        """Have the blob in the repository; concurrent and repeated calls for it transfer it once."""

        async def transfer(origin: Repository | None) -> Outcome:
            body = Body(size=blob.descriptor.size, open=blob.open)
            wish = self._wish(blob, origin)
            progress = uploads.Progress()
            return await self.session.run(
                lambda: uploads.upload(
                    self._writing(), blob.descriptor, body, progress, wish=wish, choose=self._chooser(body.size)
                ),
                progress=lambda: progress.received,
            )

        return await self.session.uploads.ensure(self.repository, blob.descriptor.digest, blob.origins, transfer)

    async def put_manifest(self, content: bytes, media_type: MediaType, *, tag: str | None = None) -> Digest:
        """Store a manifest or index in one request, under ``tag`` if given; return its digest."""
        digest = digest_of(content)
        reference = _checked(digest if tag is None else tag)
        identify(content, media_type, f"the manifest for {self.name}")
        with self._forgetting():
            await self.session.run(
                lambda: manifests.put_surely(self._writing(), reference, content, media_type, self.doubted)
            )
        return digest

    async def put_together(self, content: bytes, media_type: MediaType, tags: Sequence[str]) -> frozenset[str]:
        """Store a manifest or index under several tags, in one request where the registry can do that; return these."""
        digest = digest_of(content)
        checked = [_checked(tag) for tag in tags]
        identify(content, media_type, f"the manifest for {self.name}")
        if len(checked) < 2 or not self._may_send_tags():
            return frozenset()
        if digest in self.doubted:
            await self.put_manifest(content, media_type)
        batches = [checked[start : start + TAGS_AT_ONCE] for start in range(0, len(checked), TAGS_AT_ONCE)]
        sent = await together(self._put_tags(content, media_type, digest, batch) for batch in batches)
        return frozenset[str]().union(*sent)

    def _may_send_tags(self) -> bool:
        known = self.session.known(self._endpoint).multi_tag
        return known or (known is None and self.session.capabilities.claim(self._endpoint.origin, "multi_tag"))

    async def _put_tags(
        self, content: bytes, media_type: MediaType, digest: Digest, tags: Sequence[str]
    ) -> frozenset[str]:
        with self._forgetting():
            return await self.session.run(
                lambda: exchanges.put_tags(self._writing(), content, media_type, digest, tags)
            )

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """Rely no longer on what the registry turns out to lack, nor on the short ways in which it was sent.

        The second time, nothing is relied on that this run sent.
        """
        try:
            yield
        except MissingBlobs as missing:
            self.session.uploads.forget(self.repository, () if self._has_missed else missing.digests)
            self._has_missed = True
            self.session.capabilities.doubt(self._endpoint.origin)
            raise

    def _wish(self, blob: Blob, origin: Repository | None) -> uploads.Wish:
        if origin is None:
            return uploads.Wish(presence=blob.presence)
        return uploads.Wish(
            origin=self._endpoint.name(origin),
            is_sure=self.session.uploads.holds(origin, blob.descriptor.digest),
            presence=blob.presence,
        )

    def _chooser(self, size: int) -> Callable[[uploads.Wish], uploads.Way]:
        def may_probe() -> bool:
            return self.session.capabilities.claim(self._endpoint.origin, "single_post")

        return lambda wish: uploads.choose_way(self.session.known(self._endpoint), size, wish, may_probe=may_probe)

    def _reading(self) -> Access:
        return exchanges.pulling(self._endpoint, self._endpoint.name(self.repository))

    def _writing(self) -> Access:
        return exchanges.pushing(self._endpoint, self._endpoint.name(self.repository))

    def _endpoints(self) -> tuple[Endpoint, ...]:
        mirrors = self.session.mirrors(self.repository) if self._mirrored else ()
        return (*mirrors, self._endpoint)

    async def _first_of(self, start: Callable[[Access], Exchange[Result | None]]) -> Result | None:
        *mirrors, own = (exchanges.pulling(endpoint, endpoint.name(self.repository)) for endpoint in self._endpoints())
        troubles: list[str] = []
        for access in mirrors:
            found, trouble = await self._ask_mirror(access, start)
            if found is not None:
                return found
            troubles += [trouble] if trouble else []
        try:
            return await self.session.run(lambda: start(own))
        except StoreError as error:
            error.notes = (*error.notes, *troubles)
            raise

    async def _ask_mirror(
        self, access: Access, start: Callable[[Access], Exchange[Result | None]]
    ) -> tuple[Result | None, str | None]:
        try:
            return await self.session.run(lambda: start(access), attempts=2), None
        except StoreError as error:
            self.session.give_up_on(access.endpoint)
            return None, f"mirror {access.endpoint.registry}: {error.message}"


def _checked(name: str) -> str:
    """Return a tag or digest that can stand in a URL as it is; raise `UsageError` or `IntegrityError` for others."""
    if is_digest(name):
        return parse_digest(name)
    if not is_tag(name):
        raise UsageError(f"`{name}` is not a tag")
    return name
