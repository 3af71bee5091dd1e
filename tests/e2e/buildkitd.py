"""[io] Addresses at which a BuildKit listens as buildkitd would: the one that is inside dockerd, behind a relay.

dockerd hands over the connection of a ``POST /grpc`` that asks to become HTTP/2; what follows is BuildKit's own
protocol, to which the relay adds nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_REQUEST = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
_CHUNK = 1 << 16


@dataclass(slots=True, kw_only=True)
class Buildkitd:
    """An address to build at; ``connections`` and ``received`` (bytes) count what came in."""

    docker: str
    port: int = 0
    connections: int = 0
    received: int = 0

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        up, down = await asyncio.open_unix_connection(self.docker.removeprefix("unix://"))
        try:
            down.write(_REQUEST)
            head = await up.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 "), head
            await asyncio.gather(self._copy(reader, down, counted=True), self._copy(up, writer))
        finally:
            down.close()
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool = False) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                self.received += len(chunk) if counted else 0
                writer.write(chunk)
                await writer.drain()
        writer.close()


@contextmanager
def buildkitd(docker: str) -> Iterator[Buildkitd]:
    """Have the BuildKit of the Docker engine at ``docker`` (``unix://...``) listen at an address of its own."""
    node = Buildkitd(docker=docker)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(node.relay, "127.0.0.1", 0))
    node.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield node
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        loop.close()
