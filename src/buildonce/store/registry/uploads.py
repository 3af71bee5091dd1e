"""Blobs on their way into a registry, as pure exchanges: mounted, in one request, in two, or resumed.

Two requests are the rule (POST, PUT). One is enough where the registry is known to take it (POST with the blob). A
large blob takes three (POST, PATCH, PUT): what the PATCH brought stays in the registry when the PUT fails, and part of
it where the registry keeps what came before a break; the next attempt asks how much is there and sends the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlencode, urlsplit

from msgspec import Struct

from buildonce.errors import IntegrityError
from buildonce.oci import Descriptor, Digest
from buildonce.store.protocol import Outcome, Presence
from buildonce.store.registry.capabilities import Capabilities
from buildonce.store.registry.endpoints import joined, why_unsafe
from buildonce.store.registry.exchanges import blob_size, pushing
from buildonce.store.registry.faults import Misbehaved, Refused
from buildonce.store.registry.messages import Access, Body, Exchange, Head, Kind, Request, Response, Trial
from buildonce.store.streams import bytes_chunks, skipping

RESUMABLE = 16 * 1024 * 1024
"""From this size on, in bytes, one more request costs less than what a fault would cost without it."""

TINY = 64 * 1024
"""The most that may be sent in vain, in bytes: to find something out, or where asking first would cost more."""

BINARY = {"Content-Type": "application/octet-stream"}
"""The only type under which every registry takes the bytes of a blob as they are."""

_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")


class Wish(Struct, frozen=True, kw_only=True):
    """How an upload may go.

    ``origin`` is a repository of the same registry to mount from, and ``is_sure`` says that it holds the blob beyond
    doubt.
    """

    origin: str | None = None
    is_sure: bool = False
    presence: Presence = Presence.UNKNOWN


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far an upload has come. It lives as long as the wish for it; each attempt's exchange goes on from it.

    ``location`` is where an upload goes on that may be resumed, ``received`` how much of it the registry had when it
    was last asked. ``is_unclear``: a request that may have completed the upload was not answered.
    """

    location: str | None = None
    received: int = 0
    is_unclear: bool = False
    may_try: bool = True
    may_patch: bool = True


class Way(Enum):
    """How an upload begins."""

    MOUNT = "mount"
    ANONYMOUS = "anonymous mount"
    SINGLE = "in one request"
    PLAIN = "in two requests"


def choose_way(known: Capabilities, size: int, wish: Wish, *, may_probe: Callable[[], bool]) -> Way:
    """Return the cheapest way for a blob of ``size`` bytes; ``may_probe`` is asked before something is tried out.

    A mount that is not done costs nothing beside an upload in two requests, whatever is known of it.
    """
    is_single = bool(known.single_post) and size < RESUMABLE
    if wish.origin and not (is_single and known.mount is False):
        return Way.MOUNT
    if is_single or (known.single_post is None and size < TINY and may_probe()):
        return Way.SINGLE
    return Way.ANONYMOUS if known.anonymous_mount else Way.PLAIN


def upload(
    access: Access,
    descriptor: Descriptor,
    body: Body,
    progress: Progress,
    *,
    wish: Wish,
    choose: Callable[[Wish], Way],
) -> Exchange[Outcome]:
    """Have a blob in a repository, from where ``progress`` says that earlier attempts came to."""
    if progress.is_unclear and (yield from _arrived(access, descriptor)):
        return Outcome.UPLOADED
    progress.is_unclear = False
    if progress.location and (yield from _resume(access, descriptor, body, progress, progress.location)):
        return Outcome.UPLOADED
    progress.location, progress.received = None, 0
    begun = yield from _begin(access, descriptor, body, progress, wish, choose)
    if isinstance(begun, Outcome):
        return begun
    if descriptor.size >= RESUMABLE and progress.may_patch:
        progress.location = begun
        try:
            yield from _send_parts(access, descriptor, body, progress, begun)
        except Refused as refused:
            if refused.transient or refused.response.status in (401, 403, 413):
                raise
            # A server that does not know PATCH after all.
            progress.location, progress.may_patch = None, False
            begun = yield from start(access)
        else:
            return Outcome.UPLOADED
    yield from close(access, descriptor, begun, body, progress)
    return Outcome.UPLOADED


def _begin(
    access: Access,
    descriptor: Descriptor,
    body: Body,
    progress: Progress,
    wish: Wish,
    choose: Callable[[Wish], Way],
) -> Exchange[Outcome | str]:
    """Return what settled the matter, or where the upload goes on.

    What is refused for reasons of its own (some registries refuse a mount so) is left, and the upload begins plainly.
    """
    asks = wish.presence is Presence.LIKELY or (wish.presence is Presence.PERHAPS and descriptor.size >= TINY)
    way = choose(wish) if progress.may_try else Way.PLAIN
    location = None
    if way is Way.MOUNT:
        location = yield from mount(access, descriptor, wish)
        if isinstance(location, Outcome):
            return location
        way = Way.PLAIN if location else choose(Wish())
    if asks and (yield from _arrived(access, descriptor)):
        return Outcome.EXISTED
    if location:
        return location
    match way:
        case Way.ANONYMOUS:
            return (yield from mount(access, descriptor, Wish())) or (yield from start(access))
        case Way.SINGLE:
            return (yield from post_whole(access, descriptor, body, progress)) or (yield from start(access))
        case _:
            return (yield from start(access))


def mount(access: Access, descriptor: Descriptor, wish: Wish) -> Exchange[Outcome | str | None]:
    """Try a mount; return where an upload goes on that was begun instead, or None where it was refused."""
    request = _mount_request(access, descriptor, wish)
    try:
        response = yield request
    except Refused as refused:
        if refused.transient:
            raise
        return None
    if response.status == 201:
        return Outcome.MOUNTED
    return location_of(request, response) if response.status == 202 else None


def post_whole(
    access: Access, descriptor: Descriptor, body: Body, progress: Progress
) -> Exchange[Outcome | str | None]:
    """Try an upload in one request; return where it goes on if it was only begun, or None where it was refused."""
    progress.may_try = False
    request = _post(access, {"digest": descriptor.digest}, Kind.BLOB, tries=Trial.SINGLE_POST, body=body)
    response = yield from _unclear(request, progress)
    if response.status == 201:
        _check_stored(request, response, descriptor)
        return Outcome.UPLOADED
    if response.status in (401, 403):
        raise Refused(request, response)
    return location_of(request, response) if response.status == 202 else None


def start(access: Access) -> Exchange[str]:
    """Begin an upload in the plain way; return where it goes on."""
    request = _post(access, {}, Kind.UPLOAD)
    response = yield request
    if response.status != 202:
        raise Refused(request, response)
    return location_of(request, response)


def _send_parts(
    access: Access, descriptor: Descriptor, body: Body, progress: Progress, location: str, *, start: int = 0
) -> Exchange[None]:
    """Send the blob from byte ``start`` on, and close the upload."""
    if start < descriptor.size:
        # The first part has no range: it goes as `docker push` sends it, which every registry knows.
        position = {"Content-Range": f"{start}-{descriptor.size - 1}"} if start else {}
        length = {"Content-Length": str(descriptor.size - start)}
        patch = Request(
            method="PATCH",
            url=location,
            kind=Kind.BLOB,
            access=access,
            headers={**BINARY, **position, **length},
            body=_rest(body, start),
        )
        response = yield patch
        if response.status not in (200, 201, 202, 204):
            raise Refused(patch, response)
        progress.location = location = location_of(patch, response) if response.header("location") else location
    yield from close(access, descriptor, location, _EMPTY, progress)


def _resume(access: Access, descriptor: Descriptor, body: Body, progress: Progress, location: str) -> Exchange[bool]:
    """Go on with an upload that broke; say whether that was possible."""
    ask = Request(method="GET", url=location, kind=Kind.UPLOAD, access=access)
    try:
        response = yield ask
        received = received_bytes(response)
        if response.status != 204 or not 0 < received <= descriptor.size:
            return False
        progress.received = received
        progress.location = location = location_of(ask, response) if response.header("location") else location
        yield from _send_parts(access, descriptor, body, progress, location, start=received)
    except Refused as refused:
        # That the registry forgot an upload may pass for one that begins anew, not for this one.
        if refused.transient and not refused.says("BLOB_UPLOAD_UNKNOWN"):
            raise
        return False
    return True


def close(access: Access, descriptor: Descriptor, location: str, body: Body, progress: Progress) -> Exchange[None]:
    put = Request(
        method="PUT",
        url=with_digest(location, descriptor.digest),
        kind=Kind.BLOB,
        access=access,
        headers={**BINARY, "Content-Length": str(body.size)},
        body=body,
    )
    response = yield from _unclear(put, progress)
    if response.status not in (200, 201, 204):
        raise Refused(put, response)
    _check_stored(put, response, descriptor)


def _unclear(request: Request, progress: Progress) -> Exchange[Response]:
    """Send what may complete an upload; until an answer comes, nobody knows."""
    progress.is_unclear = True
    try:
        response = yield request
    except Refused as refused:
        progress.is_unclear = refused.response.status >= 500
        raise
    progress.is_unclear = False
    return response


def _arrived(access: Access, descriptor: Descriptor) -> Exchange[bool]:
    try:
        return (yield from blob_size(access, descriptor)) == descriptor.size
    except Refused as refused:
        if refused.transient:
            raise
        return False


def received_bytes(head: Head) -> int:
    """Return how much of an upload is there, as its ``Range`` says; ``0-0`` stands for nothing."""
    kept = _RANGE.fullmatch((head.header("range") or "").strip())
    return int(kept[1]) + 1 if kept and kept[1] != "0" else 0


def location_of(request: Request, head: Head) -> str:
    """Return where an upload goes on. Its own parameters stay as they are: they may be signed.

    Raises `Misbehaved` for a place that is not safe.
    """
    location = head.header("location")
    if not location:
        raise Misbehaved(request, "it starts an upload without saying where (no Location)")
    url = joined(request.url, location)
    if reason := why_unsafe(url, seen_from=request.url):
        hint = "; does its proxy forward X-Forwarded-Proto?" if url.startswith("http:") else ""
        raise Misbehaved(request, f"its upload location cannot be used: {reason}{hint}")
    return url


def with_digest(location: str, digest: Digest) -> str:
    """Return a location with the digest that closes the upload."""
    separator = "&" if urlsplit(location).query else "?"
    return f"{location}{separator.strip('?') if location.endswith('?') else separator}{urlencode({'digest': digest})}"


def _mount_request(access: Access, descriptor: Descriptor, wish: Wish) -> Request:
    if wish.origin is None:
        return _post(access, {"mount": descriptor.digest}, Kind.MOUNT, tries=Trial.ANONYMOUS_MOUNT)
    right = pushing(access.endpoint, access.repository, reading=wish.origin)
    tries = Trial.SURE_MOUNT if wish.is_sure else Trial.MOUNT
    return _post(right, {"mount": descriptor.digest, "from": wish.origin}, Kind.MOUNT, tries=tries)


def _post(
    access: Access, query: dict[str, str], kind: Kind, *, tries: Trial | None = None, body: Body | None = None
) -> Request:
    asked = f"?{urlencode(query)}" if query else ""
    return Request(
        method="POST",
        url=access.endpoint.url(access.repository, f"blobs/uploads/{asked}"),
        kind=kind,
        access=access,
        headers={**BINARY, "Content-Length": str(body.size)} if body else {"Content-Length": "0"},
        body=body,
        tries=tries,
    )


def _check_stored(request: Request, head: Head, descriptor: Descriptor) -> None:
    announced = head.header("docker-content-digest")
    if announced and announced.startswith("sha256:") and announced != descriptor.digest:
        raise IntegrityError(f"{request.access.endpoint.registry} stored {descriptor.digest} as {announced}")


def _rest(body: Body, start: int) -> Body:
    return Body(size=body.size - start, open=lambda: skipping(body.open(), start)) if start else body


_EMPTY = Body(size=0, open=lambda: bytes_chunks(b""))
