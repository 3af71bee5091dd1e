"""An in-memory registry on loopback: the distribution API with authentication, a log of requests, and faults to order.

    async with FakeRegistry() as registry:
        repository = Repository(registry.host, "app")
        registry.faults.append(status(503, method="PUT", times=1))

It checks what it stores as distribution does: digests of blobs, and that a manifest's parts are there.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web


async def linger() -> None:
    """Give the event loop its rounds: to accept connections of clients that never spoke, or to close their sockets."""
    for _ in range(20):
        await asyncio.sleep(0)


_PATH = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>manifests|blobs/uploads|blobs|tags|referrers)/(?P<rest>.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One request as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    status: int

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


Handler = Callable[["FakeRegistry", web.Request, bytes], Awaitable[web.StreamResponse | None]]


@dataclass(slots=True, kw_only=True)
class Fault:
    """What happens instead of the regular answer, to the next ``times`` requests that match.

    ``path`` is a pattern to be found in the path. An ``early`` fault happens before the body is read.
    """

    act: Handler
    method: str | None = None
    path: str = ""
    times: int = 1
    early: bool = False

    def matches(self, request: web.Request, *, early: bool) -> bool:
        """Say whether the request is one of those meant."""
        meant = self.method in (None, request.method) and bool(re.search(self.path, request.path))
        return self.times > 0 and self.early == early and meant


def status(code: int, *, errors: Any = None, headers: Mapping[str, str] | None = None, **meant: Any) -> Fault:
    """Answer with a status, error entries and headers."""

    async def act(registry: FakeRegistry, request: web.Request, body: bytes) -> web.StreamResponse:
        return web.json_response({"errors": errors or []}, status=code, headers=headers)

    return Fault(act=act, **meant)


def reset(**meant: Any) -> Fault:
    """Drop the connection without an answer."""

    async def act(registry: FakeRegistry, request: web.Request, body: bytes) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        raise ConnectionResetError

    return Fault(act=act, **meant)


def broken_upload(after: int, *, keeps: bool = True, **meant: Any) -> Fault:
    """Take the first ``after`` bytes of an upload, and drop the connection; the upload ``keeps`` them or is lost."""

    async def act(registry: FakeRegistry, request: web.Request, body: bytes) -> web.StreamResponse:
        received = await request.content.readexactly(after)
        registry.receive(request.path.rpartition("/")[2], received if keeps else None)
        assert request.transport is not None
        request.transport.abort()
        raise ConnectionResetError

    return Fault(act=act, early=True, **meant)


def lost_answer(**meant: Any) -> Fault:
    """Do what is asked, and drop the connection instead of saying so."""

    async def act(registry: FakeRegistry, request: web.Request, body: bytes) -> web.StreamResponse:
        registry.answer(request, body)
        assert request.transport is not None
        request.transport.abort()
        raise ConnectionResetError

    return Fault(act=act, **meant)


def truncated(after: int, *, abort: bool = False, **meant: Any) -> Fault:
    """Send a blob's or manifest's first bytes only, and close (or reset) the connection."""

    async def act(registry: FakeRegistry, request: web.Request, body: bytes) -> web.StreamResponse:
        content, media_type = registry.content_of(request)
        response = web.StreamResponse(headers={"Content-Type": media_type, "Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[:after])
        assert request.transport is not None
        if abort:
            await asyncio.sleep(0.02)
            request.transport.abort()
        else:
            request.transport.close()
        return response

    return Fault(act=act, **meant)


def instead(content: bytes, *, code: int = 200, headers: Mapping[str, str] | None = None, **meant: Any) -> Fault:
    """Answer 200, or another ``code``, with other content."""

    async def act(registry: FakeRegistry, request: web.Request, body: bytes) -> web.StreamResponse:
        return web.Response(body=content, status=code, headers=headers)

    return Fault(act=act, **meant)


def redirect(url: Callable[[web.Request], str], *, code: int = 307, **meant: Any) -> Fault:
    """Redirect to another URL."""

    async def act(registry: FakeRegistry, request: web.Request, body: bytes) -> web.StreamResponse:
        return web.Response(status=code, headers={"Location": url(request)}, text="elsewhere")

    return Fault(act=act, **meant)


def stall(seconds: float, **meant: Any) -> Fault:
    """Say nothing for some time, and then answer as usual."""

    async def act(registry: FakeRegistry, request: web.Request, body: bytes) -> None:
        await asyncio.sleep(seconds)

    return Fault(act=act, **meant)


@dataclass(slots=True)
class _Repository:
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class FakeRegistry:
    """The registry. ``auth`` is ``none``, ``basic`` or ``bearer``; without a right password, tokens are ``anonymous``.

    ``mounts`` says whether mounts are done, ``location`` rewrites the Location of uploads, ``anonymous`` are the
    actions that nobody needs a password for. ``single_post``, ``anonymous_mounts``, ``multi_tag`` and ``referrers`` are
    what newer registries may do, ``deletes`` and ``patches`` what odd ones may not. ``warning`` comes with each answer.
    ``forbidden`` are names and actions (``pull``, ``push``) that even users have no right to.
    """

    def __init__(
        self,
        *,
        auth: str = "none",
        users: Mapping[str, str] | None = None,
        identity_tokens: frozenset[str] = frozenset(),
        anonymous: frozenset[str] = frozenset(),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls
        self.auth = auth
        self.users = dict(users or {})
        self.identity_tokens = identity_tokens
        self.anonymous = anonymous
        self.mounts = True
        self.single_post = False
        self.anonymous_mounts = False
        self.multi_tag = False
        self.referrers = False
        self.deletes = True
        self.patches = True
        self.chunk_min: int | None = None
        self.max_manifest: int | None = None
        self.warning: str | None = None
        self.forbidden: set[tuple[str, str]] = set()
        self.accepts_anything = False
        self.expires_in: int | None = 300
        self.location: Callable[[str], str] = lambda path: path
        self.realm: str | None = None
        self.latency = 0.0
        self.page = 100
        self.log: list[Logged] = []
        self.faults: list[Fault] = []
        self.repositories: dict[str, _Repository] = {}
        self.connections: set[object] = set()
        self.valid_tokens: dict[str, frozenset[tuple[str, str]]] = {}
        self._uploads: dict[str, tuple[str, bytearray]] = {}
        self._numbers = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, auto_decompress=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await linger()
        await self._runner.cleanup()
        await linger()

    @property
    def host(self) -> str:
        """The registry's name in references."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The registry's base URL."""
        return f"http://{self.host}"

    def repository(self, name: str) -> _Repository:
        """Return the content of a repository, made if need be."""
        return self.repositories.setdefault(name, _Repository())

    def add_blob(self, name: str, content: bytes) -> str:
        """Put a blob there without a request; return its digest."""
        digest = _sha256(content)
        self.repository(name).blobs[digest] = content
        return digest

    def add_manifest(self, name: str, content: bytes, media_type: str, *, tag: str | None = None) -> str:
        """Put a manifest there without a request; return its digest."""
        digest = _sha256(content)
        self.repository(name).manifests[digest] = (media_type, content)
        if tag:
            self.repository(name).tags[tag] = digest
        return digest

    def requests(self, method: str | None = None, path: str = "") -> list[Logged]:
        """Return the logged requests that match."""
        return [entry for entry in self.log if method in (None, entry.method) and re.search(path, entry.path)]

    def content_of(self, request: web.Request) -> tuple[bytes, str]:
        """Return what a GET would send: content and media type."""
        match = _PATH.fullmatch(request.path)
        assert match, request.path
        repository = self.repository(match["name"])
        if match["kind"] == "blobs":
            return repository.blobs[match["rest"]], "application/octet-stream"
        media_type, content = repository.manifests[repository.tags.get(match["rest"], match["rest"])]
        return content, media_type

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.connections.add(request.transport)
        body = b""
        try:
            response = await self._faulty(request, body, early=True)
            body = await request.read() if response is None else b""
            if self.latency:
                await asyncio.sleep(self.latency)
            response = response or await self._faulty(request, body) or self._denied(request)
            response = response or self.answer(request, body)
        except ConnectionResetError:
            self._note(request, body, 0)
            raise
        self._note(request, body, response.status)
        if self.warning and not response.prepared:
            response.headers["Warning"] = self.warning
        return response

    def _note(self, request: web.Request, body: bytes, code: int) -> None:
        self.log.append(
            Logged(
                method=request.method,
                path=request.path,
                query=dict(request.query),
                headers={name.lower(): value for name, value in request.headers.items()},
                body=body,
                status=code,
            )
        )

    async def _faulty(self, request: web.Request, body: bytes, *, early: bool = False) -> web.StreamResponse | None:
        for fault in self.faults:
            if fault.matches(request, early=early):
                fault.times -= 1
                return await fault.act(self, request, body)
        return None

    def _denied(self, request: web.Request) -> web.Response | None:
        match = _PATH.fullmatch(request.path)
        action = "pull" if request.method in ("GET", "HEAD") else "push"
        if match and (match["name"], action) in self.forbidden:
            return _error(403, "DENIED", "requested access to the resource is denied")
        if self.auth == "none" or not match:
            return None
        needed = {(f"repository:{match['name']}", action)}
        if "from" in request.query:
            needed.add((f"repository:{request.query['from']}", "pull"))
        header = request.headers.get("Authorization", "")
        if self.auth == "basic":
            fine = self._user(header) is not None or action in self.anonymous
            challenge = 'Basic realm="fake"'
        else:
            fine = needed <= self.valid_tokens.get(header.removeprefix("Bearer "), frozenset())
            realm = self.realm or f"{self.url}/token"
            scope = f"repository:{match['name']}:{'pull' if action == 'pull' else 'pull,push'}"
            challenge = f'Bearer realm="{realm}",service="fake",scope="{scope}"'
        if fine:
            return None
        return _error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": challenge})

    def _user(self, header: str) -> str | None:
        kind, _, text = header.partition(" ")
        if kind != "Basic":
            return None
        user, _, password = base64.b64decode(text).decode().partition(":")
        return user if self.users.get(user) == password else None

    def receive(self, session: str, content: bytes | None) -> None:
        """Keep more of an upload, or lose the upload."""
        if content is None:
            del self._uploads[session]
        else:
            self._uploads[session][1].extend(content)

    def answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Do what a request asks for."""
        if request.path == "/token":
            return self._token(request, body)
        match = _PATH.fullmatch(request.path)
        if not match:
            return web.Response(status=200 if request.path == "/v2/" else 404)
        match match["kind"]:
            case "manifests":
                return self._manifest(request, match["name"], match["rest"], body)
            case "referrers":
                return self._referrers(match["name"], match["rest"])
            case "blobs":
                return self._blob(request, match["name"], match["rest"])
            case "tags":
                return self._tags(request, match["name"])
            case _:
                return self._upload(request, match["name"], match["rest"], body)

    def _token(self, request: web.Request, body: bytes) -> web.Response:
        known: bool
        if request.method == "POST":
            form = dict(pair.split("=", 1) for pair in body.decode().split("&"))
            known = form["refresh_token"] in self.identity_tokens
            scopes = form["scope"].replace("%3A", ":").replace("%2C", ",").replace("%2F", "/").split("+")
            if not known:
                return _error(401, "UNAUTHORIZED", "identity token not known")
        else:
            header = request.headers.get("Authorization", "")
            known = self._user(header) is not None
            scopes = request.query.getall("scope", [])
            if header and not known:
                return _error(401, "UNAUTHORIZED", "incorrect username or password")
        grants = {
            (scope.rpartition(":")[0], action) for scope in scopes for action in scope.rpartition(":")[2].split(",")
        }
        value = f"token-{next(self._numbers)}"
        self.valid_tokens[value] = frozenset(grant for grant in grants if known or grant[1] in self.anonymous)
        answer: dict[str, Any] = {"access_token" if request.method == "POST" else "token": value}
        return web.json_response(answer | ({"expires_in": self.expires_in} if self.expires_in else {}))

    def _manifest(self, request: web.Request, name: str, reference: str, body: bytes) -> web.Response:
        repository = self.repository(name)
        if request.method == "PUT":
            media_type = request.headers.get("Content-Type", "")
            digest = _sha256(body)
            if self.max_manifest is not None and len(body) > self.max_manifest:
                return _error(413, "SIZE_INVALID", "manifest too large")
            if ":" in reference and reference != digest:
                return _error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
            missing = [] if self.accepts_anything else self._missing(repository, body)
            if missing:
                errors = [
                    {"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry", "detail": found}
                    for found in missing
                ]
                return web.json_response({"errors": errors}, status=404)
            repository.manifests[digest] = (media_type, body)
            if ":" not in reference:
                repository.tags[reference] = digest
            headers = {"Docker-Content-Digest": digest, "Location": request.path}
            if self.multi_tag and (tags := request.query.getall("tag", [])):
                repository.tags.update(dict.fromkeys(tags, digest))
                headers["OCI-Tag"] = ", ".join(tags)
            if self.referrers and (subject := json.loads(body).get("subject")):
                headers["OCI-Subject"] = subject["digest"]
            return web.Response(status=201, headers=headers)
        digest = repository.tags.get(reference, reference)
        if digest not in repository.manifests:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        if request.method == "DELETE":
            return self._delete(repository.manifests, digest)
        media_type, content = repository.manifests[digest]
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest}
        if request.method == "HEAD":
            return web.Response(headers=headers | {"Content-Length": str(len(content))})
        return web.Response(body=content, headers=headers)

    def _missing(self, repository: _Repository, content: bytes) -> list[str]:
        document = json.loads(content)
        blobs = [*document.get("layers", []), *([document["config"]] if "config" in document else [])]
        missing = [blob["digest"] for blob in blobs if blob["digest"] not in repository.blobs]
        children = (child["digest"] for child in document.get("manifests", []))
        return missing + [child for child in children if child not in repository.manifests]

    def _tags(self, request: web.Request, name: str) -> web.Response:
        if name not in self.repositories:
            return _error(404, "NAME_UNKNOWN", "repository name not known to registry")
        tags = sorted(tag for tag in self.repositories[name].tags if tag > request.query.get("last", ""))
        page = tags[: self.page]
        more = len(page) < len(tags)
        link = {"Link": f'<{request.path}?n={self.page}&last={page[-1]}>; rel="next"'} if more else {}
        return web.json_response({"name": name, "tags": page or None}, headers=link)

    def _blob(self, request: web.Request, name: str, digest: str) -> web.Response:
        content = self.repository(name).blobs.get(digest)
        if content is None:
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if request.method == "DELETE":
            return self._delete(self.repository(name).blobs, digest)
        headers = {"Docker-Content-Digest": digest, "Content-Type": "application/octet-stream"}
        if request.method == "HEAD":
            return web.Response(headers=headers | {"Content-Length": str(len(content))})
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", "")):
            start, end = int(wanted[1]), int(wanted[2])
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            return web.Response(status=206, body=content[start : end + 1], headers=headers)
        return web.Response(body=content, headers=headers)

    def _delete(self, held: dict[str, Any], digest: str) -> web.Response:
        if not self.deletes:
            return _error(405, "UNSUPPORTED", "the operation is unsupported")
        del held[digest]
        return web.Response(status=202)

    def _referrers(self, name: str, digest: str) -> web.Response:
        if not self.referrers:
            return web.Response(status=404)
        found = [
            {"mediaType": media_type, "digest": own, "size": len(content)}
            for own, (media_type, content) in self.repository(name).manifests.items()
            if json.loads(content).get("subject", {}).get("digest") == digest
        ]
        media_type = "application/vnd.oci.image.index.v1+json"
        index = {"schemaVersion": 2, "mediaType": media_type, "manifests": found}
        return web.Response(body=json.dumps(index).encode(), headers={"Content-Type": media_type})

    def _upload(self, request: web.Request, name: str, rest: str, body: bytes) -> web.Response:
        repository = self.repository(name)
        if request.method == "POST" and not rest:
            return self._begin(request, name, repository, body)
        if self._uploads.get(rest, ("",))[0] != name:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        if request.query.get("_state") != "signed/state=" or "signed%2Fstate%3D" not in request.raw_path:
            return _error(400, "BLOB_UPLOAD_INVALID", "the state was changed")
        received = self._uploads[rest][1]
        if request.method == "DELETE":
            del self._uploads[rest]
            return web.Response(status=204)
        if request.method == "GET":
            return web.Response(status=204, headers=self._standing(name, rest))
        if request.method not in ("PUT", "PATCH") or (request.method == "PATCH" and not self.patches):
            return _error(405, "UNSUPPORTED", "the operation is unsupported")
        if request.headers.get("Content-Type") != "application/octet-stream":
            return _error(400, "BLOB_UPLOAD_INVALID", "the body was parsed as something else")
        start = request.headers.get("Content-Range", f"{len(received)}-").partition("-")[0]
        if start != str(len(received)):
            return _error(416, "BLOB_UPLOAD_INVALID", "out of order")
        received += body
        if request.method == "PATCH":
            return web.Response(status=202, headers=self._standing(name, rest))
        del self._uploads[rest]
        return _store(repository, bytes(received), request.query.get("digest"))

    def _begin(self, request: web.Request, name: str, repository: _Repository, body: bytes) -> web.Response:
        mount, origin = request.query.get("mount"), request.query.get("from")
        if mount and (content := self._mountable(mount, origin)) is not None:
            repository.blobs[mount] = content
            return web.Response(status=201, headers={"Docker-Content-Digest": mount})
        if self.single_post and "digest" in request.query:
            return _store(repository, body, request.query["digest"])
        session = f"session-{next(self._numbers)}"
        self._uploads[session] = (name, bytearray())
        least = {"OCI-Chunk-Min-Length": str(self.chunk_min)} if self.chunk_min else {}
        return web.Response(status=202, headers={**self._standing(name, session), **least})

    def _mountable(self, digest: str, origin: str | None) -> bytes | None:
        if origin:
            return self.repository(origin).blobs.get(digest) if self.mounts else None
        holders = (held.blobs[digest] for held in self.repositories.values() if digest in held.blobs)
        return next(holders, None) if self.anonymous_mounts else None

    def _standing(self, name: str, session: str) -> dict[str, str]:
        path = f"/v2/{name}/blobs/uploads/{session}?_state=signed%2Fstate%3D"
        end = max(0, len(self._uploads[session][1]) - 1)
        return {"Location": self.location(path), "Range": f"0-{end}"}


def _store(repository: _Repository, content: bytes, digest: str | None) -> web.Response:
    if digest != _sha256(content):
        return _error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
    repository.blobs[digest] = content
    return web.Response(status=201, headers={"Docker-Content-Digest": digest})


def _sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _error(code: int, name: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"errors": [{"code": name, "message": message}]}, status=code, headers=headers)
