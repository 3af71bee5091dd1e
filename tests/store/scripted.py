"""A server that says what a test has it say, byte by byte, and a transport to ask it with."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from buildonce.store.registry.endpoints import Endpoint
from buildonce.store.registry.messages import Access, Body, Kind, Request
from buildonce.store.registry.transport import HttpTransport, Timeouts
from tests.fakes.registry import linger

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENT = Timeouts(connect=20.0, stall=20.0, answer=20.0)
QUICK = Timeouts(connect=20.0, stall=0.2, answer=0.4)

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """``heads`` are the requests' heads that came, ``connections`` how many connections they came on."""

    def __init__(self, serve: Serve, port: int) -> None:
        self.serve = serve
        self.port = port
        self.heads: list[str] = []
        self.connections = 0

    @property
    def url(self) -> str:
        """Return where it is."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(serve: Serve, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Run a server that has ``serve`` deal with each connection."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(_Noting(reader, server), writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    listener = await asyncio.start_server(accept, host, 0, ssl=tls)
    server = Server(serve, listener.sockets[0].getsockname()[1])
    async with listener:
        yield server
        await linger()  # so that no connection is half accepted
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await linger()


class _Noting(asyncio.StreamReader):
    """A reader that keeps each head that is read."""

    def __init__(self, reader: asyncio.StreamReader, server: Server) -> None:
        self.__dict__ = reader.__dict__
        self._server = server

    async def readuntil(self, separator: Any = b"\r\n\r\n") -> bytes:
        """Read a head."""
        head = await super().readuntil(separator)
        self._server.heads.append(head.decode())
        return head


def saying(*answers: bytes) -> Serve:
    """Answer the requests of each connection, which have no body, with ``answers``; then close it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

    return serve


def request(
    url: str, method: str = "GET", *, body: bytes | Body | None = None, headers: Mapping[str, str] | None = None
) -> Request:
    """Return a request for ``url``."""
    access = Access(endpoint=Endpoint(url, "registry"), repository="app", grants=frozenset())
    return Request(method=method, url=url, kind=Kind.BLOB, access=access, headers=headers or {}, body=body)


@asynccontextmanager
async def transport(
    timeouts: Timeouts = PATIENT, environment: Mapping[str, str] | None = None
) -> AsyncIterator[HttpTransport]:
    """Give a transport, and close it."""
    made = HttpTransport(timeouts, environment or {})
    try:
        yield made
    finally:
        await made.close()


async def ask(sender: HttpTransport, one: Request) -> tuple[int, bytes]:
    """Send a request; return status and body."""
    async with sender.send(one) as reply:
        return reply.status, b"".join([chunk async for chunk in reply.chunks])
