"""[io] What a registry lets one do in a repository, found out with a few tiny blobs and a manifest without a tag.

Everything that is put there is removed again where the registry allows that; what stays is named.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from buildonce.checks import Answer, Check, Findings
from buildonce.errors import AuthenticationError, MissingBlobs, StoreError
from buildonce.oci import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor, Digest, Manifest, digest_of, encode_json
from buildonce.reference import Repository
from buildonce.store.protocol import Blob, Outcome
from buildonce.store.registry import exchanges, probes, uploads
from buildonce.store.registry.capabilities import Capabilities
from buildonce.store.registry.endpoints import Endpoint, is_loopback, redact_url
from buildonce.store.registry.faults import Refused
from buildonce.store.registry.messages import Access, Body, Request, Response
from buildonce.store.registry.routes import proxy_for
from buildonce.store.registry.session import RegistrySession
from buildonce.store.streams import blob_of_bytes

_SAMPLES = 3
_ABSENT = "buildonce-doctor"
"""A tag that nobody has."""


@dataclass(slots=True)
class Probing:
    """A visit to ``repository``, and to ``beside``, into which blobs are mounted; ``token`` makes the blobs new."""

    session: RegistrySession
    repository: Repository
    beside: Repository
    token: str
    checks: list[Check] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    _held: list[tuple[Repository, str]] = field(default_factory=list)

    async def visit(self) -> Findings:
        """Ask everything; stop early where the first answers leave no sense in more."""
        self._way_there()
        if await self._reads() and await self._writes():
            await self._attempt("resumed uploads", self._resumes)
            if await self._writes_beside():
                await self._attempt("mounts", self._mounts)
                await self._attempt("anonymous mounts", self._mounts_anonymously)
            await self._attempt("manifests", self._takes_manifests)
            await self._attempt("referrers", self._refers)
        await self._mirrors()
        self._limits()
        await self._clean_up()
        return Findings(checks=tuple(self.checks), left=tuple(self.left))

    # The questions

    def _way_there(self) -> None:
        origin = self._endpoint.origin
        is_plain = origin.startswith("http:")
        seen = "plain HTTP" if is_plain else "TLS; its certificate is checked"
        is_risky = is_plain and not is_loopback(urlsplit(origin).hostname or "")
        meaning = "anyone on the way reads and changes what is sent, passwords too" if is_risky else ""
        self._note("encryption", _answer(not is_plain), f"{origin}: {seen}", meaning)
        if proxy := proxy_for(origin, self.session.options.environment):
            self._note("proxy", Answer.YES, redact_url(proxy), "all requests go through it; see no_proxy")

    async def _reads(self) -> bool:
        request = probes.head(self._endpoint, self._name(self.repository), _ABSENT)
        try:
            first = await self._ask(request)
            if first.status not in (200, 404, 405):
                raise self.session.error_of(Refused(request, first), 1)
        except StoreError as error:
            self._note("read", Answer.FAILED, _told(error), error.help or "", needed=True)
            return False
        self._note("read", Answer.YES, self._source(), needed=True)
        await self._times(request, first)
        return True

    async def _times(self, request: Request, first: Response) -> None:
        taken = []
        for _ in range(_SAMPLES):
            began = time.perf_counter()
            await self._ask(request)
            taken.append(time.perf_counter() - began)
        milliseconds = 1000 * sorted(taken)[_SAMPLES // 2]
        self._note(
            "latency", Answer.YES, f"{milliseconds:.0f} ms a request", "a release takes five of these one by one"
        )
        try:
            there = parsedate_to_datetime(first.header("date") or "")
        except ValueError:
            return
        skew = abs((datetime.now(UTC) - (there if there.tzinfo else there.replace(tzinfo=UTC))).total_seconds())
        fine = skew < 60
        meaning = "" if fine else "tokens may count as expired, certificates as not yet valid: set the clock"
        self._note("clock", Answer.YES if fine else Answer.NO, f"{skew:.0f} s from the registry's", meaning)

    async def _writes(self) -> bool:
        """Put a blob in one request if the registry takes it so, else in two."""
        try:
            whole = await self._put(self._blob("one"))
        except StoreError as error:
            self._note("write", Answer.FAILED, _told(error), error.help or "", needed=True)
            return False
        self._note("write", Answer.YES, self._source(), needed=True)
        meaning = "one request for each small blob" if whole else "two requests for each blob"
        self._note("upload in one request", _answer(whole), "POST with the blob", meaning)
        return True

    async def _resumes(self) -> None:
        """Send a blob in two parts, and ask in between how much is there."""
        blob = self._blob("parts")
        content = b"".join([chunk async for chunk in blob.open()])
        access = self._writing(self.repository)
        kept = await self.session.run(lambda: probes.upload_in_parts(access, blob.descriptor, content))
        if kept is None:
            self._note("resumed uploads", Answer.NO, "parts are refused", "a large blob that breaks off is sent again")
            return
        self._hold(self.repository, blob.descriptor.digest)
        meaning = "a large blob goes on from what it kept" if kept else "a large blob that breaks off is sent again"
        seen = "says how much of an upload is there" if kept else "does not say how much of an upload is there"
        self._note("resumed uploads", _answer(kept), seen, meaning)

    async def _writes_beside(self) -> bool:
        try:
            location = await self.session.run(lambda: uploads.start(self._writing(self.beside)))
        except StoreError as error:
            meaning = error.help or ""
            if isinstance(error, AuthenticationError):
                meaning = "name another place with --cache, or have it made; cores and bases are kept there"
            self._note("write the cache", Answer.FAILED, _told(error), meaning)
            return False
        await self._cancel(self.beside, location)
        self._note(
            "write the cache", Answer.YES, str(self.beside), "where cores and bases are kept, unless --cache says"
        )
        return True

    async def _mounts(self) -> None:
        done = await self._mount("mount", uploads.Wish(origin=self._name(self.repository), is_sure=True))
        meaning = "a layer is sent to a registry once" if done else "a layer is sent to each repository"
        self._note("mounts", _answer(done), f"from {self.repository.name} into {self.beside.name}", meaning)

    async def _mounts_anonymously(self) -> None:
        done = await self._mount("anonymous", uploads.Wish())
        self.session.capabilities.learn(self._endpoint.origin, Capabilities(anonymous_mount=done))
        meaning = "what any repository holds is not sent again" if done else ""
        self._note("anonymous mounts", _answer(done), "without naming a repository", meaning)

    async def _mount(self, name: str, wish: uploads.Wish) -> bool:
        blob = self._blob(name)
        await self._put(blob)
        found = await self.session.run(lambda: uploads.mount(self._writing(self.beside), blob.descriptor, wish))
        if isinstance(found, str):
            await self._cancel(self.beside, found)
        if found is Outcome.MOUNTED:
            self._hold(self.beside, blob.descriptor.digest)
        return found is Outcome.MOUNTED

    async def _takes_manifests(self) -> None:
        config, layer, absent = self._blob("config"), self._blob("layer"), self._blob("absent")
        incomplete = _manifest(config.descriptor, absent.descriptor)
        content = _manifest(config.descriptor, layer.descriptor)
        for blob in (config, layer):
            await self._put(blob)
        await self._refuses_incomplete(incomplete)
        digest = await self._put_manifest(content)
        self._note("manifests", Answer.YES, "taken by digest", needed=True)
        if await self._delete(self.repository, f"manifests/{digest}"):
            self._note("removal", Answer.YES, "manifests by digest", "what expired can be pruned")
            await self._takes_tags(content, digest)
        else:
            self._note(
                "removal", Answer.NO, "manifests stay", "the cache grows until the registry's own rules prune it"
            )
            self._note("several tags at once", Answer.UNTRIED, "the tags could not be removed again")
            self.left.append(f"{self.repository}@{digest}")

    async def _refuses_incomplete(self, content: bytes) -> None:
        try:
            digest = await self._put_manifest(content)
        except MissingBlobs:
            self._note("checks images", Answer.YES, "a manifest whose blob is not there is refused")
            return
        meaning = "buildonce asks for what it does not know to be there before it sends a manifest"
        self._note("checks images", Answer.NO, "a manifest whose blob is not there is taken", meaning)
        if not await self._delete(self.repository, f"manifests/{digest}"):
            self.left.append(f"{self.repository}@{digest}")

    async def _takes_tags(self, content: bytes, digest: Digest) -> None:
        tags = tuple(f"{_ABSENT}-{self.token}-{name}" for name in "ab")
        access = self._writing(self.repository)
        created = await self.session.run(lambda: exchanges.put_tags(access, content, OCI_MANIFEST, digest, tags))
        meaning = "one request for all tags of a variant" if created else "one request for each tag"
        self._note("several tags at once", _answer(bool(created)), "PUT with tag parameters", meaning)
        if not await self._delete(self.repository, f"manifests/{digest}"):
            self.left.append(f"{self.repository}@{digest}")
        self.left += [f"{self.repository}:{tag}" for tag in created if await self._is_there(tag)]

    async def _refers(self) -> None:
        digest = digest_of(self.token.encode())
        response = await self._ask(probes.referrers(self._endpoint, self._name(self.repository), digest))
        seen = f"status {response.status}"
        self._note("referrers", _answer(response.status == 200), seen, "for signatures and the like; not used yet")

    async def _mirrors(self) -> None:
        for mirror in self.session.mirrors(self.repository):
            request = probes.head(mirror, mirror.name(self.repository), _ABSENT)
            try:
                response = await self._ask(request)
            except StoreError as error:
                self._note(f"mirror {mirror.registry}", Answer.FAILED, _told(error), "reads go to the registry itself")
            else:
                self._note(f"mirror {mirror.registry}", Answer.YES, f"status {response.status}", "is read first")

    def _limits(self) -> None:
        known = self.session.known(self._endpoint)
        if known.chunk_min:
            self._note("least part of an upload", Answer.YES, f"{known.chunk_min} bytes")
        if known.max_manifest:
            self._note("largest manifest", Answer.YES, f"{known.max_manifest} bytes or less (seen in an earlier run)")
        if known.min_interval:
            rate = f"{1 / known.min_interval:.0f} requests a second"
            self._note("rate", Answer.YES, f"at most {rate}: it complained about more", "requests are spaced out")

    # What they are made of

    @property
    def _endpoint(self) -> Endpoint:
        return self.session.endpoint(self.repository)

    def _name(self, repository: Repository) -> str:
        return self._endpoint.name(repository)

    def _writing(self, repository: Repository) -> Access:
        return exchanges.pushing(self._endpoint, self._name(repository))

    def _source(self) -> str:
        access = self._writing(self.repository)
        scheme = self.session.scheme_of(access)
        return f"{scheme} credentials: {self.session.source_of(access)}" if scheme else "it asks for no credentials"

    def _blob(self, name: str) -> Blob:
        """Return a blob that no one else has: it can be removed without a thought."""
        media_type = OCI_CONFIG if name == "config" else OCI_LAYER
        return blob_of_bytes(b'{"buildonce doctor": "%b %b"}' % (name.encode(), self.token.encode()), media_type)

    async def _ask(self, request: Request) -> Response:
        return await self.session.run(lambda: probes.single(request))

    async def _attempt(self, subject: str, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except StoreError as error:
            self._note(subject, Answer.FAILED, _told(error), error.help or "", needed=subject == "manifests")

    async def _put(self, blob: Blob) -> bool:
        body = Body(size=blob.descriptor.size, open=blob.open)
        access = self._writing(self.repository)
        whole = await self.session.run(lambda: probes.upload_at_once(access, blob.descriptor, body))
        self._hold(self.repository, blob.descriptor.digest)
        return whole

    async def _put_manifest(self, content: bytes) -> Digest:
        digest = digest_of(content)
        access = self._writing(self.repository)
        await self.session.run(lambda: exchanges.put_manifest(access, digest, content, OCI_MANIFEST))
        return digest

    async def _is_there(self, reference: str) -> bool:
        access = exchanges.pulling(self._endpoint, self._name(self.repository))
        return await self.session.run(lambda: exchanges.head_manifest(access, reference)) is not None

    def _note(self, subject: str, answer: Answer, seen: str = "", meaning: str = "", *, needed: bool = False) -> None:
        self.checks.append(Check(subject=subject, answer=answer, seen=seen, meaning=meaning, is_needed=needed))

    def _hold(self, repository: Repository, digest: str) -> None:
        self._held.append((repository, digest))

    async def _clean_up(self) -> None:
        stayed = [
            f"{repository}@{digest}"
            for repository, digest in dict.fromkeys(self._held)
            if not await self._delete(repository, f"blobs/{digest}")
        ]
        if stayed:
            self.left.append(f"{len(stayed)} blobs of a few bytes, which the registry's own cleaning removes")

    async def _delete(self, repository: Repository, tail: str) -> bool:
        try:
            response = await self._ask(probes.removal(self._endpoint, self._name(repository), tail))
        except StoreError:
            return False
        return response.status in (200, 202, 204, 404)

    async def _cancel(self, repository: Repository, location: str) -> None:
        with suppress(StoreError):
            await self._ask(probes.cancellation(self._writing(repository), location))


def _answer(is_so: bool | None) -> Answer:
    return Answer.YES if is_so else Answer.NO


def _told(error: StoreError) -> str:
    return "; ".join((error.message, *error.notes))


def _manifest(config: Descriptor, layer: Descriptor) -> bytes:
    return encode_json(Manifest(media_type=OCI_MANIFEST, config=config, layers=(layer,)))
