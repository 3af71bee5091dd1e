"""What `doctor` asks a registry, as pure exchanges: nothing here is large, and nothing sets a tag."""

from __future__ import annotations

from buildonce.oci import OCI_MANIFEST, Descriptor
from buildonce.store.protocol import Outcome
from buildonce.store.registry.endpoints import Endpoint
from buildonce.store.registry.exchanges import pulling, pushing
from buildonce.store.registry.faults import Refused
from buildonce.store.registry.messages import Access, Body, Exchange, Kind, Request, Response, Trial
from buildonce.store.registry.uploads import (
    BINARY,
    Progress,
    close,
    location_of,
    post_whole,
    received_bytes,
    start,
    with_digest,
)
from buildonce.store.streams import bytes_chunks


def single(request: Request) -> Exchange[Response]:
    """Send one request; return whatever comes. Raises `Refused` for what may pass, and where access is denied."""
    response = yield request
    if response.status in (401, 403):
        raise Refused(request, response)
    return response


def head(endpoint: Endpoint, name: str, tag: str) -> Request:
    """Return the request for where a tag points."""
    return Request(
        method="HEAD",
        url=endpoint.url(name, f"manifests/{tag}"),
        kind=Kind.MANIFEST,
        access=pulling(endpoint, name),
        headers={"Accept": OCI_MANIFEST},
    )


def referrers(endpoint: Endpoint, name: str, digest: str) -> Request:
    """Return the request for what refers to a manifest."""
    url = endpoint.url(name, f"referrers/{digest}")
    return Request(method="GET", url=url, kind=Kind.MANIFEST, access=pulling(endpoint, name), tries=Trial.REFERRERS)


def removal(endpoint: Endpoint, name: str, tail: str) -> Request:
    """Return the request that removes a manifest or blob."""
    right = pushing(endpoint, name)
    grants = right.grants | {(f"repository:{name}", "delete")}
    access = Access(endpoint=endpoint, repository=name, grants=grants)
    return Request(method="DELETE", url=endpoint.url(name, tail), kind=Kind.BLOB, access=access)


def cancellation(access: Access, location: str) -> Request:
    """Return the request that gives an upload up."""
    return Request(method="DELETE", url=location, kind=Kind.UPLOAD, access=access)


def upload_at_once(access: Access, descriptor: Descriptor, body: Body) -> Exchange[bool]:
    """Upload a blob, in one request if that is enough; say whether it was."""
    begun = yield from post_whole(access, descriptor, body, Progress())
    if isinstance(begun, Outcome):
        return True
    location = begun or (yield from start(access))
    yield from close(access, descriptor, location, body, Progress())
    return False


def upload_in_parts(access: Access, descriptor: Descriptor, content: bytes) -> Exchange[bool | None]:
    """Upload a blob in two parts; say whether the registry tells how much it has, None where it takes no parts."""
    half = len(content) // 2
    location = yield from start(access)
    for position, part in ((0, content[:half]), (half, content[half:])):
        patch = Request(
            method="PATCH",
            url=location,
            kind=Kind.BLOB,
            access=access,
            headers={**BINARY, "Content-Range": f"{position}-{position + len(part) - 1}"},
            body=part,
        )
        response = yield from single(patch)
        if response.status not in (200, 202, 204):
            return None
        location = location_of(patch, response) if response.header("location") else location
        if not position:
            ask = Request(method="GET", url=location, kind=Kind.UPLOAD, access=access)
            status = yield ask
            is_told = status.status == 204 and received_bytes(status) == half
            location = location_of(ask, status) if is_told and status.header("location") else location
    put = Request(
        method="PUT",
        url=with_digest(location, descriptor.digest),
        kind=Kind.BLOB,
        access=access,
        headers={**BINARY, "Content-Length": "0"},
        body=Body(size=0, open=lambda: bytes_chunks(b"")),
    )
    response = yield from single(put)
    return is_told if response.status in (200, 201, 204) else None
