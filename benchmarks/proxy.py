"""[io] A registry seen through a proxy that counts: every request and every byte, whoever sends them."""

from __future__ import annotations

import http.client
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase

_CHUNK = 1 << 18
_TLS = b"\x16"
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What passed: requests by method, and the bytes of bodies in both directions."""

    methods: dict[str, int] = field(default_factory=dict)
    bytes_up: int = 0
    bytes_down: int = 0

    @property
    def requests(self) -> int:
        """How many requests there were."""
        return sum(self.methods.values())


Notice = Callable[[str, str], None]
"""Be told of a request: its method and path."""


class CountingProxy:
    """What passes through the proxy at ``address``, counted until it is taken.

    ``arrived`` is called when a request comes, ``answered`` when the registry has answered and the client has not heard
    of it yet.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.arrived: Notice = _pass_over
        self.answered: Notice = _pass_over
        self._lock = threading.Lock()
        self._methods: Counter[str] = Counter()
        self._up = 0
        self._down = 0

    def add(self, method: str, up: int, down: int) -> None:
        """Count one request."""
        with self._lock:
            self._methods[method] += 1
            self._up += up
            self._down += down

    def take(self) -> Traffic:
        """Return what has passed since the last call."""
        with self._lock:
            taken = Traffic(methods=dict(sorted(self._methods.items())), bytes_up=self._up, bytes_down=self._down)
            self._methods, self._up, self._down = Counter(), 0, 0
        return taken


@contextmanager
def counting_proxy(registry: str) -> Iterator[CountingProxy]:
    """Give a proxy in front of the registry at ``registry`` (host and port, plain HTTP)."""

    class Handler(_Handler):
        upstream = registry
        # Filled in below: the port is known only to a server that listens.
        counts = CountingProxy("")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Handler.counts = CountingProxy(f"127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Handler.counts
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One client connection, and one of its own to the registry."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    upstream: str
    counts: CountingProxy

    def setup(self) -> None:
        super().setup()
        self.registry = http.client.HTTPConnection(self.upstream, timeout=300)

    def finish(self) -> None:
        self.registry.close()
        super().finish()

    def handle(self) -> None:
        """Serve the connection; one that begins with TLS is told in HTTP, as a registry does, that this is none."""
        if self.connection.recv(1, socket.MSG_PEEK) == _TLS:
            self.wfile.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        super().handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class calls it so
        """Say nothing."""

    def do_GET(self) -> None:
        """Hand the request on, and the response back."""
        if self.headers.get("Transfer-Encoding"):
            self.send_error(http.HTTPStatus.LENGTH_REQUIRED)
            return
        self.counts.arrived(self.command, self.path)
        size = int(self.headers.get("Content-Length") or 0)
        self.registry.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                # With the client's own Host, the registry answers with places that lead through here again.
                self.registry.putheader(name, value)
        self.registry.endheaders()
        for chunk in _chunks(self.rfile, size):
            self.registry.send(chunk)
        with self.registry.getresponse() as response:
            self.counts.answered(self.command, self.path)
            down = self._answer(response)
        self.counts.add(self.command, size, down)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815  the base class looks for these names

    def _answer(self, response: http.client.HTTPResponse) -> int:
        """Send the response to the client; return the bytes of its body."""
        body = response.read() if response.getheader("Content-Length") is None else None
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        if body is not None and self.command != "HEAD" and response.status != http.HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body is not None:
            self.wfile.write(body)
            return len(body)
        sent = 0
        while chunk := response.read(_CHUNK):
            self.wfile.write(chunk)
            sent += len(chunk)
        return sent


def _pass_over(_method: str, _path: str) -> None:
    pass


def _chunks(stream: BufferedIOBase, size: int) -> Iterator[bytes]:
    while size:
        chunk = stream.read(min(_CHUNK, size))
        if not chunk:
            raise ConnectionError("the client stopped in the middle of a body")
        size -= len(chunk)
        yield chunk
