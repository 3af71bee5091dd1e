"""[io] A proxy between a client and a real registry that lets a chosen request go wrong, and notes what passed.

    async with FaultyProxy("127.0.0.1:5000") as proxy:
        proxy.fault = Fault("PUT blob", answer(503))

Requests are called by what they are for (`name_of`): ``PUT blob`` closes an upload, ``PUT tag`` moves a tag.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from tests.fakes.registry import linger

_HOP_BY_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade")
_PATH = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>manifests|blobs/uploads|blobs|tags)/(?P<rest>.*)")
_PIECE = 64 * 1024


def name_of(method: str, target: str) -> str:
    """Return what a request is for: ``POST upload``, ``PUT manifest`` (by its digest), ``PUT tag``, and so on."""
    parts = urlsplit(target)
    if parts.path == "/token":
        return f"{method} token"
    found = _PATH.fullmatch(parts.path)
    if not found:
        return f"{method} other"
    query = parse_qs(parts.query)
    match found["kind"], found["rest"]:
        case "manifests", rest:
            return f"{method} {'manifest' if rest.startswith('sha256:') else 'tag'}"
        case "blobs/uploads", _ if method == "POST":
            return "POST mount" if "mount" in query else "POST blob" if "digest" in query else "POST upload"
        case "blobs/uploads", _:
            return "PUT blob" if method == "PUT" else f"{method} upload"
        case kind, _:
            return f"{method} {'blob' if kind == 'blobs' else kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the registry said."""

    status: int
    headers: CIMultiDict[str]
    body: bytes

    def without(self, *names: str) -> Answer:
        """Return it without some headers."""
        return Answer(
            status=self.status,
            headers=CIMultiDict((k, v) for k, v in self.headers.items() if k.lower() not in names),
            body=self.body,
        )

    def saying(self, **headers: str) -> Answer:
        """Return it with other headers; ``_`` stands for ``-``."""
        new = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(
            status=self.status,
            headers=CIMultiDict([*self.without(*map(str.lower, new)).headers.items(), *new.items()]),
            body=self.body,
        )

    def response(self) -> web.Response:
        """Return it for the client."""
        return web.Response(status=self.status, headers=self.headers, body=self.body)


@dataclass(slots=True, kw_only=True)
class Passing:
    """A request on its way."""

    proxy: FaultyProxy
    request: web.Request
    name: str
    target: str
    number: int

    async def body(self, size: int | None = None) -> bytes:
        """Return the next ``size`` bytes of the request's body, or the rest of it."""
        return await (self.request.content.read() if size is None else self.request.content.readexactly(size))

    async def forward(self, *, target: str | None = None, body: bytes | None = None) -> Answer:
        """Have the registry carry it out, with a body that was read already if one is given."""
        return await self.proxy.forward(self, target or self.target, await self.body() if body is None else body)

    def cut(self) -> web.Response:
        """Break the connection."""
        assert self.request.transport is not None
        self.request.transport.abort()
        raise ConnectionResetError

    async def raw(self, content: bytes) -> web.Response:
        """Write bytes to the connection, whatever they are, and end it."""
        transport = self.request.transport
        assert isinstance(transport, asyncio.Transport)
        transport.write(content)
        transport.close()
        await asyncio.sleep(0.05)
        raise ConnectionResetError


Act = Callable[[Passing], Awaitable[web.StreamResponse]]


class Fault:
    """What happens to requests whose name has the pattern ``name``, from number ``first`` (from 1) on, ``times`` times.

    ``path`` is a pattern that chooses among them. ``struck`` says how often it happened.
    """

    def __init__(self, name: str, act: Act, *, first: int = 1, times: int = 1, path: str = "") -> None:
        self.name = name
        self.act = act
        self.first = first
        self.times = times
        self.path = path
        self.struck = 0
        self._seen = 0

    def anew(self) -> Fault:
        """Return it as it was before anything happened."""
        return Fault(self.name, self.act, first=self.first, times=self.times, path=self.path)

    def strikes(self, name: str, target: str) -> bool:
        """Count a request; say whether it is one of those."""
        if not re.fullmatch(self.name, name) or not re.search(self.path, target):
            return False
        self._seen += 1
        meant = self.first <= self._seen < self.first + self.times
        self.struck += meant
        return meant


@dataclass(slots=True, kw_only=True)
class Noted:
    """A request that passed: its name and target, and what the registry itself answered (0 where it was not asked)."""

    name: str
    target: str
    status: int = 0
    sent: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


class FaultyProxy:
    """The proxy. ``faults`` are what is to go wrong, ``noted`` what passed."""

    def __init__(self, upstream: str, *, port: int = 0) -> None:
        self.upstream = upstream
        self.port = port
        self.faults: list[Fault] = []
        self.noted: list[Noted] = []
        self.needs_tokens = False
        self.tokens: set[str] = set()
        self._closing: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None
        self._client: aiohttp.ClientSession | None = None

    @property
    def host(self) -> str:
        """Its address, as the name of a registry."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(auto_decompress=False)
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._client
        await self.close()
        await self._client.close()

    async def open(self) -> None:
        """Listen (again), if it does not."""
        if self._closing:
            await self._closing
        if self._runner:
            return
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, auto_decompress=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Listen no more."""
        runner, self._runner = self._runner, None
        if runner:
            await linger()
            await runner.cleanup()
        await linger()

    def close_soon(self) -> None:
        """Close when the request that is under way has ended."""
        self._closing = asyncio.create_task(self.close())

    def uploads(self) -> Mapping[str, int]:
        """Return how often each blob was stored whole by an upload (never by a mount)."""
        found: dict[str, int] = {}
        for one in self.noted:
            query = parse_qs(urlsplit(one.target).query)
            if one.name in ("PUT blob", "POST blob") and one.status == 201:
                [digest] = query["digest"]
                place = f"{urlsplit(one.target).path.partition('/blobs/')[0]}@{digest}"
                found[place] = found.get(place, 0) + 1
        return found

    async def forward(self, passing: Passing, target: str, body: bytes) -> Answer:
        """Have the registry carry out a request, and note what it says."""
        assert self._client
        headers = CIMultiDict((k, v) for k, v in passing.request.headers.items() if k not in _HOP_BY_HOP)
        headers.pop("Authorization", None)
        url = URL(f"http://{self.upstream}{target}", encoded=True)
        noted = self.noted[passing.number]
        async with self._client.request(
            passing.request.method, url, headers=headers, data=BytesIO(body) if body else None, allow_redirects=False
        ) as response:
            content = await response.read()
            noted.status, noted.sent = response.status, len(body)
            return Answer(
                status=response.status,
                headers=CIMultiDict((k, v) for k, v in response.headers.items() if k not in _HOP_BY_HOP),
                body=content,
            )

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        target = request.raw_path
        passing = Passing(
            proxy=self, request=request, name=name_of(request.method, target), target=target, number=len(self.noted)
        )
        self.noted.append(Noted(name=passing.name, target=target, headers=dict(request.headers)))
        if self.needs_tokens and passing.name != "GET token" and not self._is_let_in(request):
            await passing.body()
            return self.challenge()
        for fault in self.faults:
            if fault.strikes(passing.name, target):
                return await fault.act(passing)
        if passing.name == "GET token":
            token = secrets.token_hex(8)
            self.tokens.add(token)
            return web.json_response({"token": token, "expires_in": 300})
        answer = await passing.forward()
        return answer.response()

    def challenge(self) -> web.Response:
        """Return what somebody without a token is told; whoever had one has it no more."""
        self.tokens.clear()
        realm = f'Bearer realm="http://{self.host}/token",service="faulty"'
        return web.json_response({"errors": []}, status=401, headers={"WWW-Authenticate": realm})

    def _is_let_in(self, request: web.Request) -> bool:
        return request.headers.get("Authorization", "").removeprefix("Bearer ") in self.tokens


# What can happen to a request:


def answer(
    status: int,
    code: str = "",
    *,
    detail: object = None,
    headers: Mapping[str, str] | None = None,
    early: bool = False,
) -> Act:
    """Answer with a status and an error ``code``; ``early`` before the body was read. The registry hears nothing."""

    async def act(passing: Passing) -> web.StreamResponse:
        if not early:
            await passing.body()
        errors = [{"code": code, "message": "because", "detail": detail}] if code else []
        return web.json_response({"errors": errors}, status=status, headers=headers)

    return act


def lost(*, instead: int = 0) -> Act:
    """Have it carried out, and break the connection instead of saying so; or answer with another status."""

    async def act(passing: Passing) -> web.StreamResponse:
        await passing.forward()
        return web.json_response({"errors": []}, status=instead) if instead else passing.cut()

    return act


def edited(edit: Callable[[Passing, Answer], Answer]) -> Act:
    """Have it carried out, and change the answer."""

    async def act(passing: Passing) -> web.StreamResponse:
        return edit(passing, await passing.forward()).response()

    return act


def cut(share: float | None = None) -> Act:
    """Break the connection after a share of the body has come (0 to 1), or at once."""

    async def act(passing: Passing) -> web.StreamResponse:
        if share is not None:
            size = passing.request.content_length or 0
            await passing.body(min(size, int(size * share)))
        return passing.cut()

    return act


def kept(share: float) -> Act:
    """Have the registry get a share of the body, and break the connection."""

    async def act(passing: Passing) -> web.StreamResponse:
        size = int((passing.request.content_length or 0) * share)
        part = await passing.body(size)
        host, _, port = passing.proxy.upstream.partition(":")
        _reader, writer = await asyncio.open_connection(host, int(port))
        head = f"{passing.request.method} {passing.target} HTTP/1.1\r\nHost: {passing.request.headers['Host']}\r\n"
        wanted = ("Content-Type", "Content-Length")
        headers = "".join(f"{k}: {v}\r\n" for k, v in passing.request.headers.items() if k in wanted)
        writer.write(f"{head}{headers}\r\n".encode() + part)
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.1)
        return passing.cut()

    return act


def stalled(seconds: float, *, carried_out: bool = False) -> Act:
    """Say nothing for so long, then break the connection."""

    async def act(passing: Passing) -> web.StreamResponse:
        if carried_out:
            await passing.forward()
        await asyncio.sleep(seconds)
        return passing.cut()

    return act


def dripping(pause: float) -> Act:
    """Have it carried out, and answer byte after byte."""

    async def act(passing: Passing) -> web.StreamResponse:
        found = await passing.forward()
        transport = passing.request.transport
        assert isinstance(transport, asyncio.Transport)
        lines = [f"HTTP/1.1 {found.status} Whatever", *(f"{k}: {v}" for k, v in found.headers.items())]
        if "Content-Length" not in found.headers:
            lines.append(f"Content-Length: {len(found.body)}")
        for byte in "\r\n".join((*lines, "", "")).encode() + found.body:
            transport.write(bytes([byte]))
            await asyncio.sleep(pause)
        transport.close()
        raise ConnectionResetError

    return act


def slowly_read(pause: float) -> Act:
    """Take the body in small pieces with pauses between them."""

    async def act(passing: Passing) -> web.StreamResponse:
        pieces = []
        while piece := await passing.request.content.read(_PIECE):
            pieces.append(piece)
            await asyncio.sleep(pause)
        return (await passing.forward(body=b"".join(pieces))).response()

    return act


def raw(content: bytes) -> Act:
    """Answer with bytes that need not be HTTP, and close the connection."""

    async def act(passing: Passing) -> web.StreamResponse:
        await passing.body()
        return await passing.raw(content)

    return act


def expired() -> Act:
    """Say that the token is none any more, when the body has come."""

    async def act(passing: Passing) -> web.StreamResponse:
        await passing.body()
        return passing.proxy.challenge()

    return act


def to_itself(status: int = 307) -> Act:
    """Redirect to the same address, before the body is read."""

    async def act(passing: Passing) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": passing.target})

    return act


def as_if_asked(target: Callable[[str], str]) -> Act:
    """Have something else carried out."""

    async def act(passing: Passing) -> web.StreamResponse:
        return (await passing.forward(target=target(passing.target))).response()

    return act


def liar(status: int = 201, *, with_digest: bool = True) -> Act:
    """Say that it was stored, and store nothing."""

    async def act(passing: Passing) -> web.StreamResponse:
        content = await passing.body()
        query = parse_qs(urlsplit(passing.target).query)
        digest = query.get("digest", query.get("mount", [f"sha256:{hashlib.sha256(content).hexdigest()}"]))[0]
        return web.Response(status=status, headers={"Docker-Content-Digest": digest} if with_digest else {})

    return act


def closed() -> Act:
    """Listen no more; whoever comes later finds the port closed."""

    async def act(passing: Passing) -> web.StreamResponse:
        passing.proxy.close_soon()
        return passing.cut()

    return act
