"""[io] One run's dealings with registries: connections, tokens, retries, limits and counts, for all repositories."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType, TracebackType
from typing import Self

from msgspec import structs

from buildonce.errors import StoreError
from buildonce.reference import Repository
from buildonce.store.registry.capabilities import Capabilities, CapabilityTable
from buildonce.store.registry.credentials import Anonymous, CredentialSource, DockerCredentials
from buildonce.store.registry.endpoints import (
    Endpoint,
    endpoint_of,
    insecure_from_environment,
    mirrors_from_environment,
    origin_of,
)
from buildonce.store.registry.exchanges import redirected
from buildonce.store.registry.faults import Fault, Misbehaved, Refused, error_of, is_transient
from buildonce.store.registry.inflight import UploadTable
from buildonce.store.registry.keyring import Keyring
from buildonce.store.registry.manners import Manners, is_own
from buildonce.store.registry.messages import Access, Exchange, Request, Response, Result
from buildonce.store.registry.retrying import Clock, RetryPolicy, SystemClock, parse_retry_after
from buildonce.store.registry.transport import HttpTransport, Reply, Timeouts

_HOPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryOptions:
    """How registries are spoken to. ``concurrency`` counts requests per server, reads and writes apart."""

    credentials: CredentialSource = field(default_factory=Anonymous)
    mirrors: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=lambda: MappingProxyType({}))
    insecure: frozenset[str] = frozenset()
    retrying: RetryPolicy = field(default_factory=RetryPolicy)
    timeouts: Timeouts = field(default_factory=Timeouts)
    concurrency: int = 16
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)


def options_from_environment(environment: Mapping[str, str]) -> RegistryOptions:
    """Return the options that a user's environment and Docker configuration ask for; may raise `UsageError`."""
    return RegistryOptions(
        credentials=DockerCredentials(environment),
        mirrors=mirrors_from_environment(environment),
        insecure=insecure_from_environment(environment),
        environment=environment,
    )


@dataclass(slots=True)
class Counts:
    """What went over the network; requests by method and `Kind` value: ``("PUT", "blob")``."""

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    retries: int = 0


class RegistrySession:
    """One connection pool, token cache and upload table, shared by all repositories of a run.

    Use it as an asynchronous context manager; leaving it closes the connections. ``capabilities`` is what earlier runs
    learned of registries, and takes in what this one learns; ``warn`` gets each warning of a registry once.
    """

    def __init__(
        self,
        options: RegistryOptions | None = None,
        *,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
        capabilities: CapabilityTable | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.options = options or RegistryOptions()
        self.counts = Counts()
        self.uploads = UploadTable()
        self._clock = clock or SystemClock()
        self.capabilities = capabilities or CapabilityTable(now=lambda: self._clock.now().timestamp())
        self._manners = Manners(self.capabilities, self._clock, warn)
        self._chance = chance
        self._transport = HttpTransport(self.options.timeouts, self.options.environment)
        self._keyring = Keyring(self.options.credentials, self._drive, self._clock)
        self._slots: defaultdict[tuple[object, bool], asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(self.options.concurrency)
        )
        self._silent: set[str] = set()

    async def __aenter__(self) -> Self:
        """Return the session; connections are made when they are needed."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._transport.close()

    @property
    def requests(self) -> Mapping[tuple[str, str], int]:
        """How many requests were sent, by method and kind."""
        return self.counts.requests

    @property
    def bytes_up(self) -> int:
        """Bytes of request bodies that were sent."""
        return self._transport.bytes_up

    @property
    def bytes_down(self) -> int:
        """Bytes of response bodies that were received."""
        return self._transport.bytes_down

    def endpoint(self, repository: Repository) -> Endpoint:
        """Return the registry's own server."""
        return endpoint_of(repository.registry, self.options.insecure)

    def known(self, endpoint: Endpoint) -> Capabilities:
        """Return what is known of a server by now."""
        return self.capabilities.of(endpoint.origin)

    def scheme_of(self, access: Access) -> str | None:
        """Return how a server wants to be told who asks; None if it has not asked."""
        return self._keyring.scheme_of(access)

    def source_of(self, access: Access) -> str:
        """Return where the credentials for a request come from, for messages."""
        return self._keyring.source_of(access)

    def mirrors(self, repository: Repository) -> tuple[Endpoint, ...]:
        """Return the mirrors that may be asked before it, without those that did not answer."""
        mirrors = self.options.mirrors.get(repository.registry, ())
        return tuple(mirror for mirror in mirrors if mirror.origin not in self._silent)

    def give_up_on(self, mirror: Endpoint) -> None:
        """Do not ask a mirror again in this run."""
        self._silent.add(mirror.origin)

    async def run(
        self,
        start: Callable[[], Exchange[Result]],
        *,
        attempts: int | None = None,
        progress: Callable[[], int] = lambda: 0,
    ) -> Result:
        """Carry out an exchange, from its start again after each fault that may pass.

        An attempt that makes ``progress`` earns new ones. Raises what the exchange raises, and `StoreError` when a
        fault stays.
        """
        attempt = 1
        while True:
            before = progress()
            try:
                return await self._drive(start())
            except Fault as fault:
                attempt = 1 if progress() > before else attempt
                await self.pause(fault, attempt, attempts=attempts)
                attempt += 1

    async def pause(self, fault: Fault, attempt: int, *, attempts: int | None = None) -> None:
        """Wait before the next attempt; raise the fault as an error when there is none."""
        policy = self.options.retrying
        if attempts is not None:
            policy = structs.replace(policy, attempts=min(attempts, policy.attempts))
        seconds = policy.wait(fault, attempt, self._chance())
        if seconds is None:
            raise self.error_of(fault, attempt) from fault
        self.counts.retries += 1
        if isinstance(fault, Refused):
            self._manners.heed(fault, seconds)
        await self._clock.sleep(seconds)

    def error_of(self, fault: Fault, attempts: int) -> StoreError:
        """Return the error that a fault is after ``attempts`` attempts."""
        fault.attempts = attempts
        access = fault.request.access
        return error_of(fault, source=self.source_of(access), is_known=self._keyring.knows(access))

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[Reply]:
        """Send a request with what it takes (credentials, a renewed token, redirects) and give the response.

        Credentials go to the endpoint's own origin only. Raises `Fault`.
        """
        for _ in range(_HOPS):
            following: Request | None = None
            async with self._open_authorised(request) as reply:
                following = redirected(request, reply)
                if not following:
                    yield reply
                    return
                await read_bounded(reply, request.limit)
            request = following
        raise Misbehaved(request, "it redirects without end")

    async def _drive(self, exchange: Exchange[Result]) -> Result:
        try:
            request = next(exchange)
            while True:
                try:
                    response = await self._fetch(request)
                except Refused as refused:
                    request = exchange.throw(refused)
                else:
                    request = exchange.send(response)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        finally:
            exchange.close()

    async def _fetch(self, request: Request) -> Response:
        async with self.open(request) as reply:
            response = await read_bounded(reply, request.limit)
        if is_transient(response):
            raise self.refused(request, response)
        return response

    def refused(self, request: Request, response: Response) -> Refused:
        """Return the fault that an unusable response is, with the wait that it asks for."""
        wait = parse_retry_after(response.header("retry-after"), self._clock.now())
        return Refused(request, response, wait=wait)

    @asynccontextmanager
    async def _open_authorised(self, request: Request) -> AsyncIterator[Reply]:
        access = request.access
        if not is_own(request):
            async with self._send(request) as reply:
                yield reply
            return
        async with AsyncExitStack() as held:
            async with self._keyring.entering(access):
                header = await self._keyring.authorization(access)
                reply = await held.enter_async_context(self._send(_authorised(request, header)))
                self._keyring.notice(access, reply)
            if reply.status != 401:
                yield reply
                return
            refusal = await read_bounded(reply, request.limit)
        renewed = await self._keyring.renew(access, refusal, header)
        if renewed is None:
            raise Refused(request, refusal)
        async with self._send(_authorised(request, renewed)) as reply:
            yield reply

    @asynccontextmanager
    async def _send(self, request: Request) -> AsyncIterator[Reply]:
        # A write may stream from a read: with slots of their own, neither waits for the other for ever.
        slot = self._slots[origin_of(request.url), request.method in ("GET", "HEAD")]
        async with slot:
            await self._manners.take_turn(request)
            self.counts.requests[request.method, request.kind.value] += 1
            async with self._transport.send(request) as reply:
                self._manners.notice(request, reply)
                yield reply


async def read_bounded(reply: Reply, limit: int) -> Response:
    """Return a response with at most ``limit`` bytes of its body."""
    received = bytearray()
    complete = True
    async for chunk in reply.chunks:
        received += chunk
        if len(received) > limit:
            complete = False
            break
    return Response(status=reply.status, headers=reply.headers, body=bytes(received[:limit]), complete=complete)


def _authorised(request: Request, header: str | None) -> Request:
    return replace(request, headers={**request.headers, "Authorization": header}) if header else request
