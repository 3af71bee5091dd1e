"""The distribution protocol as pure exchanges: manifests, and what blobs are there (opencontainers/distribution-spec).

An exchange raises `Refused` or `Misbehaved` for a response that it cannot use; it receives no response that is worth
a retry, since the session starts the whole exchange again for those.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlencode, urlsplit

import msgspec

from buildonce.errors import IntegrityError, StoreError
from buildonce.oci import Descriptor, Digest, MediaType, digest_of, parse_digest
from buildonce.reference import is_tag
from buildonce.store.documents import ACCEPTED, LIMIT, check_digest, identify, is_digest
from buildonce.store.protocol import Stored
from buildonce.store.registry.capabilities import tags_created
from buildonce.store.registry.endpoints import Endpoint, joined, why_unsafe
from buildonce.store.registry.faults import Misbehaved, Refused, missing_of
from buildonce.store.registry.messages import (
    Access,
    Exchange,
    Grant,
    Head,
    Kind,
    Request,
    Response,
    Trial,
    whole_number,
)

_ACCEPT = {"Accept": ", ".join(ACCEPTED)}
_PAGES, _MOST_TAGS = 200, 100_000
_NEXT = re.compile(r'<([^<>]*)>\s*;\s*rel="?next"?')


def pulling(endpoint: Endpoint, name: str) -> Access:
    """Return the right to read the repository ``name``."""
    return Access(endpoint=endpoint, repository=name, grants=frozenset({_grant(name, "pull")}))


def pushing(endpoint: Endpoint, name: str, *, reading: str | None = None) -> Access:
    """Return the right to write the repository ``name``, and to read another one."""
    grants = {_grant(name, "pull"), _grant(name, "push")} | ({_grant(reading, "pull")} if reading else set())
    return Access(endpoint=endpoint, repository=name, grants=frozenset(grants))


def get_manifest(access: Access, reference: str) -> Exchange[Stored | None]:
    """Read a manifest or index by tag or digest; None where there is none."""
    request = Request(
        method="GET",
        url=access.endpoint.url(access.repository, f"manifests/{reference}"),
        kind=Kind.MANIFEST,
        access=access,
        headers=_ACCEPT,
        limit=LIMIT,
    )
    response = yield request
    if response.status == 404:
        return None
    if response.status != 200:
        raise Refused(request, response)
    where = f"{access.endpoint.registry}/{access.repository}{'@' if is_digest(reference) else ':'}{reference}"
    if not response.complete:
        raise IntegrityError(f"{where} is larger than the {LIMIT} bytes that a manifest may have")
    declared = (response.header("content-type") or "").partition(";")[0].strip().lower()
    if declared == "text/html":
        raise Misbehaved(request, "it sends a web page instead of a manifest")
    digest = _checked_digest(response, reference, where)
    media_type = identify(response.body, declared, where)
    return Stored(media_type=media_type, content=response.body, digest=digest)


def head_manifest(access: Access, reference: str) -> Exchange[Digest | None]:
    """Return the digest under a tag or digest, or None; ask by GET where HEAD does not say (older servers)."""
    request = Request(
        method="HEAD",
        url=access.endpoint.url(access.repository, f"manifests/{reference}"),
        kind=Kind.MANIFEST,
        access=access,
        headers=_ACCEPT,
    )
    response = yield request
    if response.status == 404:
        return None
    announced = response.header("docker-content-digest")
    if response.status == 200 and announced:
        digest = parse_digest(announced)
        if is_digest(reference) and digest.partition(":")[0] == reference.partition(":")[0] and digest != reference:
            raise IntegrityError(f"{access.endpoint.registry} calls {reference} in {access.repository} {digest}")
        return digest if not is_digest(reference) else parse_digest(reference)
    if response.status in (200, 405):
        stored = yield from get_manifest(access, reference)
        return stored.digest if stored else None
    raise Refused(request, response)


def put_manifest(access: Access, reference: str, content: bytes, media_type: MediaType) -> Exchange[None]:
    """Write a manifest or index under a tag or its digest. Raises `MissingBlobs` if the registry misses its parts."""
    request = Request(
        method="PUT",
        url=access.endpoint.url(access.repository, f"manifests/{reference}"),
        kind=Kind.MANIFEST,
        access=access,
        headers={"Content-Type": media_type},
        body=content,
    )
    response = yield request
    _check_put(request, response, content, reference)


def put_tags(
    access: Access, content: bytes, media_type: MediaType, digest: Digest, tags: Sequence[str]
) -> Exchange[frozenset[str]]:
    """Write a manifest or index by its digest with several tags; return those that the registry says it set."""
    request = Request(
        method="PUT",
        url=access.endpoint.url(access.repository, f"manifests/{digest}?{urlencode([('tag', tag) for tag in tags])}"),
        kind=Kind.MANIFEST,
        access=access,
        headers={"Content-Type": media_type},
        body=content,
        tries=Trial.MULTI_TAG,
    )
    response = yield request
    if response.status in (400, 405, 414, 501):
        return frozenset()
    _check_put(request, response, content, digest)
    return tags_created(response) & set(tags)


def blob_size(access: Access, descriptor: Descriptor) -> Exchange[int | None]:
    """Return how many bytes a blob has; None where there is none, the announced size where the server does not say."""
    url = access.endpoint.url(access.repository, f"blobs/{descriptor.digest}")
    request = Request(method="HEAD", url=url, kind=Kind.BLOB, access=access)
    response = yield request
    if response.status == 404:
        return None
    if response.status != 200:
        raise Refused(request, response)
    size = response.header("content-length")
    return descriptor.size if size is None else whole_number(size)


def list_tags(access: Access) -> Exchange[tuple[str, ...]]:
    """Return the tags of a repository, none where there is no such repository.

    Pages are followed by the server's Link alone (distribution-spec, "Listing Tags"). Raises `StoreError` for more
    tags than anybody reads.
    """
    start = access.endpoint.url(access.repository, "tags/list")
    found: dict[str, None] = {}
    query = ""
    for _ in range(_PAGES):
        request = Request(method="GET", url=start + query, kind=Kind.TAGS, access=access, limit=LIMIT)
        response = yield request
        if response.status == 404:
            return ()
        if response.status != 200:
            raise Refused(request, response)
        found.update(dict.fromkeys(_read_tags(request, response)))
        following = _next_page(response)
        if not following:
            return tuple(sorted(found))
        if len(found) > _MOST_TAGS:
            break
        query = f"?{following}"
    raise StoreError(f"{access.endpoint.registry}/{access.repository} has more tags than are listed")


def read_blob(access: Access, descriptor: Descriptor, *, start: int = 0) -> Request:
    """Return the request for a blob, from byte ``start`` on."""
    resuming = {"Range": f"bytes={start}-{descriptor.size - 1}"} if start else {}
    return Request(
        method="GET",
        url=access.endpoint.url(access.repository, f"blobs/{descriptor.digest}"),
        kind=Kind.BLOB,
        access=access,
        headers=resuming,
    )


def redirected(request: Request, head: Head) -> Request | None:
    """Return the request that a redirect leads to, or None if there is none to follow.

    Reads follow anywhere that is safe; writes only 307 and 308 within the same server. Raises `Misbehaved`.
    """
    location = head.header("location")
    if head.status not in (301, 302, 303, 307, 308) or not location:
        return None
    url = joined(request.url, location)
    reason = why_unsafe(url, seen_from=request.url)
    if (
        not reason
        and request.method not in ("GET", "HEAD")
        and not (head.status in (307, 308) and urlsplit(url).netloc == urlsplit(request.url).netloc)
    ):
        return None
    if reason:
        raise Misbehaved(request, f"its redirect cannot be followed: {reason}")
    return replace(request, url=url)


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


def _read_tags(request: Request, response: Response) -> tuple[str, ...]:
    try:
        tags = msgspec.json.decode(response.body, type=_Tags).tags or ()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Misbehaved(request, "it lists tags in a form of its own") from error
    return tuple(tag for tag in tags if is_tag(tag))


def _next_page(head: Head) -> str:
    """Return the query of the next page, nothing after the last; of the Link's address nothing else is believed."""
    for link in head.all("link"):
        if found := _NEXT.fullmatch(link.strip()):
            return found[1].partition("#")[0].partition("?")[2]
    return ""


def _grant(name: str, action: str) -> Grant:
    return f"repository:{name}", action


def _check_put(request: Request, response: Response, content: bytes, reference: str) -> None:
    if response.status not in (200, 201, 202):
        refused = Refused(request, response)
        raise missing_of(refused) or refused
    if announced := response.header("docker-content-digest"):
        access = request.access
        check_digest(content, parse_digest(announced), f"{access.endpoint.registry}/{access.repository}:{reference}")


def _checked_digest(response: Response, reference: str, where: str) -> Digest:
    if is_digest(reference):
        digest = parse_digest(reference)
        check_digest(response.body, digest, where)
        return digest
    if announced := response.header("docker-content-digest"):
        check_digest(response.body, parse_digest(announced), where)
    return digest_of(response.body)
