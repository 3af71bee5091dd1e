"""One HTTP/1.1 connection: requests go out as bytes, responses come back through a parser (llhttp, in httptools)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from buildonce.store.streams import CHUNK

_LONGEST_HEAD = 256 * 1024
"""The most that is read of a response before its body begins, in bytes."""


class NotHttp(Exception):
    """What came is not a response."""


class Truncated(Exception):
    """A response ended before its body did."""


class Answer:
    """A response as it comes: first its head, then its body in pieces of at most `CHUNK` bytes."""

    def __init__(self, *, has_body: bool) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.has_head = False
        self.is_complete = False
        self.failure: Exception | None = None
        self.arrived = 0
        self._has_body = has_body
        self._ends_with_connection = False
        self._keeps_connection = False
        self._is_more = False
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._news: asyncio.Future[None] | None = None
        self._parser = HttpResponseParser(self)

    @property
    def is_full(self) -> bool:
        """Say whether enough of it waits to be taken."""
        return self._held >= CHUNK

    @property
    def allows_another(self) -> bool:
        """Say whether the connection may serve another request after this response."""
        return self.is_complete and self._keeps_connection and not self._is_more

    def feed(self, data: bytes) -> None:
        """Take what came. Raises `NotHttp`."""
        self.arrived += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise NotHttp(str(error)) from error
        finally:
            self._tell()
        if not self.has_head and self.arrived > _LONGEST_HEAD:
            raise NotHttp(f"its headers take more than {_LONGEST_HEAD} bytes")

    def end(self, failure: Exception | None) -> None:
        """Take note that no more will come."""
        if self.is_complete or self.failure:
            return
        if self.has_head and failure is None:
            self.is_complete = self._ends_with_connection
            failure = None if self.is_complete else Truncated()
        self.failure = failure or (None if self.is_complete else ConnectionResetError())
        self._tell()

    async def head(self) -> None:
        """Wait for status and headers. Raises the failure that came instead."""
        while not self.has_head:
            if self.failure:
                raise self.failure
            await self._more()

    async def piece(self) -> bytes:
        """Return the next of the body, which is empty at its end. Raises the failure that came instead."""
        while not self._pieces:
            if self.is_complete:
                return b""
            if self.failure:
                raise self.failure
            await self._more()
        return self._take()

    def _take(self) -> bytes:
        taken = [self._pieces.popleft()]
        size = len(taken[0])
        while self._pieces and size + len(self._pieces[0]) <= CHUNK:
            taken.append(self._pieces.popleft())
            size += len(taken[-1])
        self._held -= size
        return taken[0] if len(taken) == 1 else b"".join(taken)

    async def _more(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        try:
            await self._news
        finally:
            self._news = None

    def _tell(self) -> None:
        if self._news and not self._news.done():
            self._news.set_result(None)

    # What the parser calls:

    def on_message_begin(self) -> None:
        """Notice what follows a whole response."""
        self._is_more = self._is_more or self.is_complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what comes after the body (a trailer) is none."""
        if not self.has_head:
            self.headers.append((name.decode("latin-1").lower(), value.decode("utf-8", "surrogateescape")))

    def on_headers_complete(self) -> None:
        """Take note of a head, if it is not that of an interim response (RFC 9110, section 15.2)."""
        if self.has_head:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self.headers.clear()
            return
        self.has_head = True
        self._keeps_connection = self._parser.should_keep_alive()
        names = dict(self.headers)
        self._ends_with_connection = "content-length" not in names and "transfer-encoding" not in names
        self.is_complete = not self._has_body

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        if self.is_complete:
            self._is_more = True
            return
        self._pieces.append(data)
        self._held += len(data)

    def on_message_complete(self) -> None:
        """Take note of the end of the response."""
        self.is_complete = self.is_complete or self.has_head


class Connection(asyncio.Protocol):
    """A connection, for one exchange after the other."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.idle_since = 0.0
        self._answer: Answer | None = None
        self._is_lost = False
        self._ready = asyncio.Event()
        self._ready.set()

    @property
    def is_usable(self) -> bool:
        """Say whether another request may be sent."""
        return not self._is_lost and not self.transport.is_closing()

    def begin(self, request: bytes, *, has_body: bool) -> Answer:
        """Send a request, or its head, and return the answer that is to come, which has a body or surely has none."""
        self._answer = answer = Answer(has_body=has_body)
        if self.is_usable:
            self.transport.write(request)
        else:
            answer.end(None)
        return answer

    async def send(self, data: bytes) -> bool:
        """Send more, and wait until there is room for what comes after it; say whether the connection still stands."""
        if self.is_usable:
            self.transport.write(data)
            await self._ready.wait()
        return self.is_usable

    async def pieces(self, answer: Answer, stall: float) -> AsyncIterator[bytes]:
        """Yield the body of the answer. Raises `Truncated`, `TimeoutError` after ``stall`` seconds, and the like."""
        while True:
            async with asyncio.timeout(stall):
                piece = await answer.piece()
            if not piece:
                return
            if not answer.is_full and self.is_usable:
                self.transport.resume_reading()
            yield piece

    def drop(self) -> None:
        """Close it at once, whatever is still to be sent or to come."""
        self.transport.abort()

    # What the event loop calls:

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand on what came; a server that speaks unasked (such as of a timeout) is not listened to."""
        answer = self._answer
        if answer is None or answer.is_complete:
            self.drop()
            return
        try:
            answer.feed(data)
        except NotHttp as error:
            answer.end(error)
            self.drop()
            return
        if answer.is_full and not answer.is_complete:
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer, and whoever waits to send."""
        self._is_lost = True
        self._ready.set()
        if self._answer:
            self._answer.end(exc)

    def pause_writing(self) -> None:
        """Have senders wait."""
        self._ready.clear()

    def resume_writing(self) -> None:
        """Let senders go on."""
        self._ready.set()
