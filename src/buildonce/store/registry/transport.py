"""[io] The one place that speaks HTTP: aiohttp behind a small seam, loaded when the first request is made."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from msgspec import Struct

from buildonce import __version__
from buildonce.errors import IntegrityError
from buildonce.store.registry.endpoints import is_loopback
from buildonce.store.registry.faults import Breakage, Broken
from buildonce.store.registry.messages import Body, Head, Request
from buildonce.store.registry.tls import Trust, certificate_folders, certificates_unread
from buildonce.store.streams import CHUNK

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.payload import Payload


class Timeouts(Struct, frozen=True, kw_only=True):
    """Seconds: for a connection; for the next bytes in either direction; for the answer to a whole upload."""

    connect: float = 15.0
    stall: float = 60.0
    answer: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Head):
    """A response whose body is still to come from ``chunks`` (once)."""

    chunks: AsyncIterator[bytes] = field(repr=False)


class Transport(Protocol):
    """Sends single requests: no redirects, no credentials of its own, no retries."""

    def send(self, request: Request) -> AbstractAsyncContextManager[Reply]:
        """Send a request; raises `Broken`, also from the reply's chunks, and whatever the request's body raises."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class HttpTransport:
    """One pool of connections for all servers of a run. Proxies are those of ``environment``."""

    def __init__(self, timeouts: Timeouts, environment: Mapping[str, str]) -> None:
        self._timeouts = timeouts
        self._environment = environment
        self._session: aiohttp.ClientSession | None = None
        self._trust = Trust(certificate_folders(environment))
        self._closed = False
        self.bytes_up = 0
        self.bytes_down = 0

    async def close(self) -> None:
        """Close all connections, for good."""
        self._closed = True
        if self._session:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Reply]:
        """Send one request and give its response while the connection is held."""
        _load_aiohttp()
        import aiohttp

        outgoing = _Outgoing()
        proxy = proxy_for(request.url, self._environment)
        is_encrypted = any((url or "").startswith("https:") for url in (request.url, proxy))
        trusted = await self._trust.context(urlsplit(request.url).netloc) if is_encrypted else True
        try:
            async with asyncio.timeout(None) as stall:
                context = self._session_now().request(
                    request.method,
                    _literal(request.url),
                    headers=request.headers,
                    data=self._payload(request, outgoing, stall),
                    allow_redirects=False,
                    proxy=proxy,
                    ssl=trusted,
                    timeout=aiohttp.ClientTimeout(
                        total=None,
                        sock_connect=self._timeouts.connect,
                        sock_read=self._timeouts.answer if isinstance(request.body, Body) else self._timeouts.stall,
                    ),
                )
                response = await context
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if outgoing.failure:
                raise outgoing.failure from error
            raise _broken(request, error) from error
        try:
            yield Reply(
                status=response.status,
                headers=tuple((name.lower(), value) for name, value in response.headers.items()),
                chunks=self._chunks(request, response),
            )
        finally:
            # Closing drops a connection whose response was not read to its end; one that was is already reused.
            response.close()

    async def _chunks(self, request: Request, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        import aiohttp

        try:
            async for chunk in response.content.iter_chunked(CHUNK):
                self.bytes_down += len(chunk)
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _broken(request, error) from error

    def _payload(self, request: Request, outgoing: _Outgoing, stall: asyncio.Timeout) -> Payload | bytes | None:
        if isinstance(request.body, Body):
            return _streaming_payload(request.body, self, outgoing, stall)
        self.bytes_up += len(request.body or b"")
        return request.body

    def _session_now(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("this registry session is closed")
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ttl_dns_cache=300),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=CHUNK,
                skip_auto_headers=("Content-Type", "Accept-Encoding"),
                headers={"User-Agent": f"buildonce/{__version__}", "Accept-Encoding": "identity"},
            )
        return self._session

    @property
    def stall(self) -> float:
        """Seconds that an upload may stand still."""
        return self._timeouts.stall


def proxy_for(url: str, environment: Mapping[str, str]) -> str | None:
    """Return the proxy for a URL as curl reads the environment: ``https_proxy``, ``no_proxy`` and their like."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    names = (f"{parts.scheme}_proxy", "all_proxy")
    found = (environment.get(spelling) for name in names for spelling in (name, name.upper()))
    proxy = next((value for value in found if value), None)
    if not proxy or is_loopback(host):
        return None
    for rule in (environment.get("no_proxy") or environment.get("NO_PROXY") or "").split(","):
        bare = rule.strip().lower().lstrip(".")
        if bare and (bare == "*" or bare in (host, parts.netloc.lower()) or host.endswith(f".{bare}")):
            return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _load_aiohttp() -> None:
    if "aiohttp" not in sys.modules:
        with certificates_unread():
            import aiohttp  # noqa: F401


@dataclass(slots=True)
class _Outgoing:
    """What a request's body came to; aiohttp reports it only as text."""

    failure: Exception | None = None


def _streaming_payload(body: Body, transport: HttpTransport, outgoing: _Outgoing, stall: asyncio.Timeout) -> Payload:
    from aiohttp.payload import Payload as AnyPayload

    loop = asyncio.get_running_loop()

    class Streaming(AnyPayload):
        """A body that opens its source when it is written, and never sends more or less than it announced."""

        _size = body.size
        _autoclose = True

        def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002
            raise TypeError("a blob is not text")

        async def write(self, writer: AbstractStreamWriter) -> None:
            self._consumed = True
            try:
                await self._stream(writer)
            except asyncio.CancelledError:
                _abort(writer)
                raise
            except OSError:
                raise
            except Exception as failure:
                outgoing.failure = failure
                raise
            finally:
                self._expire(None)

        async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:  # noqa: ARG002
            await self.write(writer)

        def _expire(self, when: float | None) -> None:
            # The answer may come before the body is sent, and ends the wait.
            with suppress(RuntimeError):
                stall.reschedule(when)

        async def _stream(self, writer: AbstractStreamWriter) -> None:
            left = body.size
            async for chunk in body.open():
                left -= len(chunk)
                if left < 0:
                    raise IntegrityError(f"a blob of {body.size} bytes turns out to be longer")
                self._expire(loop.time() + transport.stall)
                await writer.write(chunk)
                await writer.drain()
                self._expire(None)
                transport.bytes_up += len(chunk)
            if left:
                raise IntegrityError(f"a blob of {body.size} bytes turns out to be {left} bytes shorter")

    return Streaming(None)


def _abort(writer: AbstractStreamWriter) -> None:
    """Drop a connection with what is still to be sent; a plain close would wait for a server that takes nothing."""
    transport: asyncio.WriteTransport | None = getattr(writer, "transport", None)
    if transport:
        transport.abort()


def _literal(url: str) -> aiohttp.typedefs.StrOrURL:
    """Keep a URL as the registry wrote it: its query may be signed."""
    import yarl

    return yarl.URL(url, encoded=True)


def _broken(request: Request, error: Exception) -> Broken:
    import aiohttp

    match error:
        case aiohttp.ClientConnectorDNSError():
            return Broken(request, Breakage.DNS, "", transient=error.errno == socket.EAI_AGAIN)
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Broken(request, Breakage.TLS, str(error), transient=False)
        case aiohttp.ClientConnectorError():
            return Broken(request, Breakage.CONNECT, os.strerror(error.errno) if error.errno else "")
        case TimeoutError():
            return Broken(request, Breakage.TIMEOUT, "")
        case aiohttp.ClientPayloadError():
            return Broken(request, Breakage.TRUNCATED, "")
        case aiohttp.InvalidURL():
            return Broken(request, Breakage.CONNECT, "the URL is not one", transient=False)
        case _:
            return Broken(request, Breakage.RESET, "")
