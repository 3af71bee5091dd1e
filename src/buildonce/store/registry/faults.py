"""What goes wrong between a registry and us, first as a fault that may be retried, then as an error for the user."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from buildonce.errors import (
    AuthenticationError,
    IntegrityError,
    MissingBlobs,
    NotInStore,
    RegistryFails,
    RegistryUnavailable,
    StoreError,
)
from buildonce.oci import Digest
from buildonce.store.registry.endpoints import redact_url
from buildonce.store.registry.messages import Access, Kind, Request, Response

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\U0010ffff]+")


class Breakage(Enum):
    """How a connection failed."""

    DNS = "its name cannot be resolved"
    CONNECT = "it does not accept connections"
    TLS = "the TLS connection cannot be trusted or set up"
    TIMEOUT = "it does not answer in time"
    RESET = "the connection broke"
    TRUNCATED = "the response ended too early"


class Fault(Exception):
    """An exchange that failed. ``attempts`` is set when no more will follow."""

    def __init__(self, request: Request, *, transient: bool = False) -> None:
        super().__init__(f"{request.method} {redact_url(request.url)}")
        self.request = request
        self.transient = transient
        self.attempts = 1

    @property
    def line(self) -> str:
        """The exchange as a note: method, redacted URL, and what came of it."""
        return str(self)


class Broken(Fault):
    """There is no complete response."""

    def __init__(self, request: Request, breakage: Breakage, reason: str, *, transient: bool = True) -> None:
        super().__init__(request, transient=transient)
        self.breakage = breakage
        self.reason = reason

    @property
    def line(self) -> str:
        """The exchange as a note."""
        return f"{self}: {self.reason or self.breakage.value}"


class Refused(Fault):
    """The response is not the one that was hoped for. ``wait`` is how many seconds the registry asks to wait."""

    def __init__(self, request: Request, response: Response, *, wait: float | None = None) -> None:
        super().__init__(request, transient=is_transient(response))
        self.response = response
        self.wait = wait
        self.complaints = read_complaints(response)

    @property
    def line(self) -> str:
        """The exchange as a note."""
        said = "; ".join(str(complaint) for complaint in self.complaints)
        return f"{self}: status {self.response.status}" + (f", {said}" if said else "")

    @property
    def is_limit(self) -> bool:
        """Say whether there were too many requests."""
        return self.response.status == 429 or _is_hidden_limit(self.response)

    def says(self, *codes: str) -> bool:
        """Say whether the registry gave one of these error codes."""
        return any(complaint.code in codes for complaint in self.complaints)


class Unreadable(Refused):
    """What was stored cannot be got back."""


class Misbehaved(Fault):
    """The server answers, but not as a registry does."""

    def __init__(self, request: Request, reason: str) -> None:
        super().__init__(request)
        self.reason = reason

    @property
    def line(self) -> str:
        """The exchange as a note."""
        return f"{self}: {self.reason}"


class Complaint(Struct, frozen=True):
    """One entry of a registry's error response (distribution-spec, "Error Codes")."""

    code: str
    message: str
    digests: tuple[Digest, ...] = ()

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


def is_transient(response: Response) -> bool:
    """Say whether the same request may be answered otherwise a little later."""
    if response.status in _TRANSIENT:
        return True
    # A session that the registry forgot (restart, another replica): the upload starts again.
    forgotten = any(complaint.code == "BLOB_UPLOAD_UNKNOWN" for complaint in read_complaints(response))
    return forgotten or _is_hidden_limit(response)


def _is_hidden_limit(response: Response) -> bool:
    """Say whether a 403 is a limit of rates, as GitHub's secondary ones are."""
    return response.status == 403 and (
        response.header("retry-after") is not None
        or any(complaint.code == "TOOMANYREQUESTS" for complaint in read_complaints(response))
    )


def read_complaints(response: Response) -> tuple[Complaint, ...]:
    """Return the errors in a response's body, or none if it has no body of that form."""
    try:
        body = msgspec.json.decode(response.body, type=_Errors)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    return tuple(
        Complaint(
            code=printable(error.code or "UNKNOWN", 60),
            message=printable(error.message or "", 300),
            digests=_digests_in(bytes(error.detail).decode(errors="replace")) or _digests_in(error.message or ""),
        )
        for error in (body.errors or ())[:10]
    )


def error_of(fault: Fault, *, source: str, is_known: bool) -> StoreError:
    """Return the error that a fault is for the user.

    ``source`` names the credentials that were used, or says why there are none; ``is_known``: there are some.
    """
    host = urlsplit(fault.request.url).netloc.rpartition("@")[2]
    registry = fault.request.access.endpoint.registry
    subject = f"`{fault.request.access.repository}`"
    notes = (fault.line, *([f"tried {fault.attempts} times"] if fault.attempts > 1 else []))
    match fault:
        case Broken(breakage=Breakage.TRUNCATED):
            return IntegrityError(f"{registry} sends less of {subject} than it announces", notes=notes)
        case Broken():
            return RegistryUnavailable(
                f"{host} cannot be used: {fault.breakage.value}", notes=notes, help=_CURES[fault.breakage]
            )
        case Refused(response=Response(status=401 | 403)) if not fault.transient:
            error = AuthenticationError(f"{registry} denies access to {subject}", notes=notes)
            error.notes += (f"credentials: {source}",)
            error.help = _cure_of(fault, is_known=is_known)
            return error
        case Refused(response=Response(status=429)):
            asked = f"it asks to wait {fault.wait:.0f} seconds" if fault.wait else "it does not say for how long"
            return RegistryUnavailable(f"{registry} limits the rate of requests; {asked}", notes=notes, help=_LATER)
        case Unreadable():
            return damaged_manifest(fault.request.access, fault.request.url.rpartition("/")[2], notes=notes)
        case Refused() if fault.transient:
            return RegistryFails(f"{registry} fails again and again", notes=notes, help=_LATER)
        case Refused() if fault.says("DIGEST_INVALID", "SIZE_INVALID"):
            return IntegrityError(f"{registry} received other bytes for {subject} than were announced", notes=notes)
        case Refused(request=Request(method="GET", kind=Kind.BLOB), response=Response(status=404)):
            return NotInStore(f"{registry} does not hold a blob of {subject}", notes=notes)
        case Misbehaved():
            return RegistryUnavailable(f"{host} does not answer as a registry does", notes=notes)
        case _:
            return StoreError(f"{registry} refuses a request for {subject}", notes=notes)


def damaged_manifest(access: Access, digest: str, *, notes: tuple[str, ...] = ()) -> IntegrityError:
    """Return the error for a manifest that a registry cannot give back since it failed to take it."""
    algorithm, _, encoded = digest.partition(":")
    return IntegrityError(
        f"{access.endpoint.registry}/{access.repository} holds a damaged copy of {digest}",
        notes=(*notes, "it failed when this was stored, and takes it for stored since: its disk may have been full"),
        help=f"remove it from the registry's storage (Distribution: blobs/{algorithm}/{encoded[:2]}/{encoded}/data), "
        "restart the registry, then run again; what is complete is not sent again",
    )


def missing_of(fault: Refused) -> MissingBlobs | None:
    """Return the error for a manifest whose parts are not all in the repository, if that is what the registry says."""
    if not fault.says("MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"):
        return None
    digests = _unique(digest for complaint in fault.complaints for digest in complaint.digests)
    error = MissingBlobs("the registry lacks blobs or manifests that a manifest refers to", digests=digests)
    error.notes = (fault.line,)
    return error


_LATER = "run again later: what is already stored is not sent again"
_CURES = {
    Breakage.DNS: "check the registry's name and the network",
    Breakage.CONNECT: "check that the registry runs there and that the network lets you reach it",
    Breakage.TLS: "if an authority of your own made its certificate, name the file with that one in SSL_CERT_FILE;"
    " a registry without TLS must be named in BUILDONCE_INSECURE_REGISTRIES",
    Breakage.TIMEOUT: _LATER,
    Breakage.RESET: _LATER,
    Breakage.TRUNCATED: _LATER,
}


class _Error(msgspec.Struct):
    code: str | None = None
    message: str | None = None
    detail: msgspec.Raw = msgspec.Raw(b"")


class _Errors(msgspec.Struct):
    errors: list[_Error] | None = None


def _cure_of(fault: Refused, *, is_known: bool) -> str:
    registry = fault.request.access.endpoint.registry
    if not is_known:
        return f"run `docker login {registry}`; where nobody can, put its result into DOCKER_AUTH_CONFIG"
    if fault.response.status == 401:
        return f"the password or token is wrong, or has expired: run `docker login {registry}` again"
    action = "read" if fault.request.method in ("GET", "HEAD") else "write"
    return (
        f"check the name; if it is right, have its owner let this user {action} it,"
        f" or run `docker login {registry}` as one who may"
    )


def printable(text: str, limit: int) -> str:
    """Return a server's words for messages: one line, without control characters, at most ``limit`` characters."""
    return _UNPRINTABLE.sub(" ", text)[:limit]


def _digests_in(text: str) -> tuple[Digest, ...]:
    return tuple(Digest(found) for found in _DIGEST.findall(text))


def _unique(digests: Iterable[Digest]) -> tuple[Digest, ...]:
    return tuple(dict.fromkeys(digests))
