"""[io] How connections are made: to a server or through a proxy, in the clear or with TLS."""

from __future__ import annotations

import asyncio
import socket

from buildonce.store.registry.connection import Connection
from buildonce.store.registry.endpoints import is_address
from buildonce.store.registry.routes import Hop, Way
from buildonce.store.registry.tls import Trust

_STAGGER = 0.25
"""Seconds after which a host's next address is tried beside the first (RFC 8305, section 5)."""


class ProxyRefuses(Exception):
    """A proxy that does not let us through; ``status`` is its answer."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the proxy answers with status {status}")
        self.status = status


async def connect(way: Way, trust: Trust) -> Connection:
    """Return a new connection to the server, on which TLS is set up already if it speaks it.

    Raises `OSError` (`ssl.SSLError` and `socket.gaierror` among them), `ProxyRefuses`, and what the proxy's
    answer raises.
    """
    if way.proxy is None:
        return await _open(way.server, trust)
    connection = await _open(way.proxy.hop, trust)
    if not way.server.is_encrypted:
        return connection
    try:
        await _ask_through(connection, way)
        context = await trust.context(way.server.name)
        loop = asyncio.get_running_loop()
        upgraded = await loop.start_tls(connection.transport, connection, context, server_hostname=way.server.host)
        assert upgraded is not None  # noqa: S101  only a transport that is closing gives none
        connection.transport = upgraded
    except BaseException:
        connection.drop()
        raise
    return connection


async def _open(hop: Hop, trust: Trust) -> Connection:
    context = await trust.context(hop.name) if hop.is_encrypted else None
    loop = asyncio.get_running_loop()
    addresses = [] if is_address(hop.host) else await loop.getaddrinfo(hop.host, hop.port, type=socket.SOCK_STREAM)
    if len(addresses) <= 1:
        _, connection = await loop.create_connection(Connection, hop.host, hop.port, ssl=context)
        return connection
    from aiohappyeyeballs import start_connection

    first = await start_connection(addresses, happy_eyeballs_delay=_STAGGER, interleave=1)
    name = hop.host if context else None
    _, connection = await loop.create_connection(Connection, sock=first, ssl=context, server_hostname=name)
    return connection


async def _ask_through(connection: Connection, way: Way) -> None:
    """Have the proxy join the connection with the server (RFC 9110, section 9.3.6)."""
    lines = [f"CONNECT {way.server.authority} HTTP/1.1", f"Host: {way.server.authority}"]
    if way.proxy and way.proxy.authorization:
        lines.append(f"Proxy-Authorization: {way.proxy.authorization}")
    answer = connection.begin("\r\n".join((*lines, "", "")).encode(), has_body=False)
    await answer.head()
    if answer.status >= 300:
        raise ProxyRefuses(answer.status)
