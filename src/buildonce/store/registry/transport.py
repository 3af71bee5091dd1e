"""[io] The one place that speaks HTTP: a pool of connections, and requests on them."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from buildonce import __version__
from buildonce.errors import IntegrityError
from buildonce.store.registry.connecting import ProxyRefuses, connect
from buildonce.store.registry.connection import Answer, Connection, NotHttp, Truncated
from buildonce.store.registry.faults import Breakage, Broken
from buildonce.store.registry.messages import Body, Head, Request
from buildonce.store.registry.routes import Route, Way, route_of
from buildonce.store.registry.tls import Trust, certificate_folders
from buildonce.tasks import end

_IDLE = 30.0
"""Seconds after which an idle connection is not used again: servers close them, most of them later."""

_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_ALWAYS = {"User-Agent": f"buildonce/{__version__}", "Accept-Encoding": "identity"}
_NOT_IN_HEADERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ERRNO = re.compile(r"\[Errno (\d+)\]")

_FAILURES = (OSError, UnicodeError, NotHttp, Truncated, ProxyRefuses)  # TimeoutError is an OSError


class Timeouts(Struct, frozen=True, kw_only=True):
    """Seconds: for a connection; for the next bytes in either direction; for the answer to a whole upload."""

    connect: float = 15.0
    stall: float = 60.0
    answer: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Head):
    """A response whose body is still to come from ``chunks`` (once)."""

    chunks: AsyncIterator[bytes] = field(repr=False)


class _BodyFails(Exception):
    """What a request's body raised; the connection is not to blame."""

    def __init__(self, failure: Exception) -> None:
        super().__init__(str(failure))
        self.failure = failure


class Transport(Protocol):
    """Sends single requests: no redirects, no credentials of its own, no retries."""

    def send(self, request: Request) -> AbstractAsyncContextManager[Reply]:
        """Send a request; raises `Broken`, also from the reply's chunks, and whatever the request's body raises."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


@dataclass(slots=True)
class _Exchange:
    """A request on its connection; ``sending`` is the rest of its body, on its way, and says whether all was taken."""

    connection: Connection
    answer: Answer
    sending: asyncio.Task[bool] | None = None

    @property
    def allows_another(self) -> bool:
        """Say whether the connection may serve another request."""
        task = self.sending
        is_sent = task is None or (task.done() and not task.exception() and task.result())
        return is_sent and self.answer.allows_another and self.connection.is_usable


class HttpTransport:
    """One pool of connections for all servers of a run. Proxies are those of ``environment``."""

    def __init__(self, timeouts: Timeouts, environment: Mapping[str, str]) -> None:
        self._timeouts = timeouts
        self._environment = environment
        self._trust = Trust(certificate_folders(environment))
        self._idle: defaultdict[Way, list[Connection]] = defaultdict(list)
        self._closed = False
        self.bytes_up = 0
        self.bytes_down = 0

    async def close(self) -> None:
        """Close all connections, for good."""
        self._closed = True
        for connection in (one for idle in self._idle.values() for one in idle):
            connection.drop()
        self._idle.clear()
        await asyncio.sleep(0)  # the event loop closes sockets in its next round

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Reply]:
        """Send one request and give its response while the connection is held."""
        if self._closed:
            raise RuntimeError("this registry session is closed")
        try:
            route = route_of(request.url, self._environment)
            head = _head(request, route)
        except ValueError as error:
            raise Broken(request, Breakage.CONNECT, str(error), transient=False) from error
        try:
            exchange = await self._exchange(request, route.way, head)
        except _BodyFails as error:
            raise error.failure from error
        except _FAILURES as error:
            raise _broken(request, error) from error
        answer = exchange.answer
        try:
            yield Reply(status=answer.status, headers=tuple(answer.headers), chunks=self._chunks(request, exchange))
        finally:
            await self._release(exchange, route.way)

    async def _chunks(self, request: Request, exchange: _Exchange) -> AsyncIterator[bytes]:
        try:
            async for piece in exchange.connection.pieces(exchange.answer, self._timeouts.stall):
                self.bytes_down += len(piece)
                yield piece
        except _FAILURES as error:
            raise _broken(request, error) from error

    async def _exchange(self, request: Request, way: Way, head: bytes) -> _Exchange:
        """Send the request and wait for the head of its answer."""
        while True:
            connection = self._take_idle(way)
            is_new = connection is None
            if connection is None:
                async with asyncio.timeout(self._timeouts.connect):
                    connection = await connect(way, self._trust)
            try:
                return await self._ask(request, head, connection)
            except ConnectionError:
                # A server may close an idle connection while a request is on its way to it; those that may be sent
                # twice are sent again (RFC 9110, section 9.2.2).
                if is_new or isinstance(request.body, Body) or request.method not in _REPEATABLE:
                    raise

    async def _ask(self, request: Request, head: bytes, connection: Connection) -> _Exchange:
        body = request.body or b""
        patience = self._timeouts.answer if isinstance(body, Body) else self._timeouts.stall
        plain = b"" if isinstance(body, Body) else body
        exchange = _Exchange(connection, connection.begin(head + plain, has_body=request.method != "HEAD"))
        self.bytes_up += len(plain)
        try:
            if isinstance(body, Body):
                exchange.sending = asyncio.create_task(self._stream(body, connection))
                await _send_or_hear(exchange.sending, exchange.answer)
            async with asyncio.timeout(patience):
                await exchange.answer.head()
        except BaseException:
            connection.drop()
            await _end_sending(exchange)
            raise
        return exchange

    async def _stream(self, body: Body, connection: Connection) -> bool:
        """Send a body; say whether the server took all of it. Raises `_BodyFails`, or `TimeoutError` if it stalls."""
        async with aclosing(_content(body)) as chunks:
            async for chunk in chunks:
                async with asyncio.timeout(self._timeouts.stall):
                    if not await connection.send(chunk):
                        return False
                self.bytes_up += len(chunk)
        return True

    def _take_idle(self, way: Way) -> Connection | None:
        idle = self._idle[way]
        while idle:
            connection = idle.pop()
            if connection.is_usable and time.monotonic() - connection.idle_since < _IDLE:
                return connection
            connection.drop()
        return None

    async def _release(self, exchange: _Exchange, way: Way) -> None:
        """Keep the connection for the next request, or drop it with what was not sent or read."""
        if exchange.allows_another and not self._closed:
            exchange.connection.idle_since = time.monotonic()
            self._idle[way].append(exchange.connection)
            return
        exchange.connection.drop()
        await _end_sending(exchange)


async def _content(body: Body) -> AsyncGenerator[bytes]:
    """Yield what a body has, never more or less than it announced. Raises `_BodyFails`."""
    left = body.size
    chunks = body.open()
    try:
        async for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
    except Exception as error:
        raise _BodyFails(error) from error
    finally:
        if close := getattr(chunks, "aclose", None):
            await close()
    if left:
        difference = "longer" if left < 0 else f"{left} bytes shorter"
        raise _BodyFails(IntegrityError(f"a blob of {body.size} bytes turns out to be {difference}"))


async def _send_or_hear(sending: asyncio.Task[bool], answer: Answer) -> None:
    """Wait until the body is sent, or the answer comes before: a server that takes no more may have said why.

    Raises what ``sending`` raises, if there is no answer.
    """
    hearing = asyncio.create_task(answer.head())
    try:
        await asyncio.wait({sending, hearing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(hearing)
    if sending.done() and not answer.has_head:
        sending.result()


async def _end_sending(exchange: _Exchange) -> None:
    if exchange.sending:
        await end(exchange.sending)


def _head(request: Request, route: Route) -> bytes:
    """Return request line and headers. Raises `ValueError` for a header that would break the request."""
    headers = {"Host": route.way.server.name, **_ALWAYS, **request.headers}
    proxy = route.way.proxy
    if proxy and proxy.authorization and not route.way.server.is_encrypted:
        headers["Proxy-Authorization"] = proxy.authorization
    if request.body is not None or request.method not in ("GET", "HEAD", "DELETE"):
        size = request.body.size if isinstance(request.body, Body) else len(request.body or b"")
        headers["Content-Length"] = str(size)
    lines = [f"{request.method} {route.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if any(_NOT_IN_HEADERS.search(line) for line in lines):
        raise ValueError(f"a header of {request.method} {route.way.server.name} holds control characters")
    return "\r\n".join((*lines, "", "")).encode("utf-8", "surrogateescape")


def _broken(request: Request, error: Exception) -> Broken:
    match error:
        case UnicodeError():
            return Broken(request, Breakage.DNS, "", transient=False)
        case socket.gaierror():
            return Broken(request, Breakage.DNS, "", transient=error.errno == socket.EAI_AGAIN)
        case ssl.SSLError():
            return Broken(request, Breakage.TLS, str(error), transient=False)
        case TimeoutError():
            return Broken(request, Breakage.TIMEOUT, "")
        case Truncated():
            return Broken(request, Breakage.TRUNCATED, "")
        case NotHttp():
            return Broken(request, Breakage.RESET, f"the response is not HTTP: {error}")
        case ProxyRefuses():
            return Broken(request, Breakage.CONNECT, str(error), transient=error.status >= 500)
        case ConnectionError() if not isinstance(error, ConnectionRefusedError):
            return Broken(request, Breakage.RESET, "")
        case _:
            return Broken(request, Breakage.CONNECT, _why(error))


def _why(error: Exception) -> str:
    """Return why no connection was made; asyncio puts the reasons of several addresses into one text."""
    number = getattr(error, "errno", None) or next(iter(_ERRNO.findall(str(error))), None)
    return os.strerror(int(number)) if number else ""
