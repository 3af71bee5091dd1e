"""Authentication as a pure exchange: challenges, scopes, and how a token is asked for (distribution's token spec)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

from buildonce.store.registry.endpoints import why_unsafe
from buildonce.store.registry.faults import Misbehaved, Refused
from buildonce.store.registry.messages import Access, Exchange, Grant, Head, Kind, Request

_SCHEME = re.compile(r"\s*([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s+|$|(?=,))")
_SEPARATOR = re.compile(r"[\s,]*")
_PARAMETER = re.compile(r"""\s*,?\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))""")
_DEFAULT_LIFE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """A user name and a password (or a token that stands in for one)."""

    user: str
    secret: str = field(repr=False)
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityToken:
    """A refresh token, which is exchanged for access tokens by POST."""

    secret: str = field(repr=False)
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryToken:
    """A bearer token that the registry takes as it is."""

    secret: str = field(repr=False)
    source: str


Credential = Password | IdentityToken | RegistryToken


class Challenge(Struct, frozen=True, kw_only=True):
    """What a registry wants with each request: ``scheme`` is ``basic`` or ``bearer``."""

    scheme: str
    realm: str = ""
    service: str = ""
    grants: frozenset[Grant] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token, good for ``grants`` and ``life`` seconds."""

    value: str = field(repr=False)
    grants: frozenset[Grant]
    life: float


def read_challenge(head: Head) -> Challenge | None:
    """Return the challenge of a 401 response: Bearer where it is offered, else Basic, else None."""
    offered: dict[str, dict[str, str]] = {}
    for header in head.all("www-authenticate"):
        for scheme, parameters in _parse_challenges(header):
            offered.setdefault(scheme, parameters)
    if bearer := offered.get("bearer"):
        return Challenge(
            scheme="bearer",
            realm=bearer.get("realm", ""),
            service=bearer.get("service", ""),
            grants=parse_scopes(bearer.get("scope", "")),
        )
    return Challenge(scheme="basic") if "basic" in offered else None


def parse_scopes(text: str) -> frozenset[Grant]:
    """Return ``repository:name:pull,push ...`` as grants."""
    grants = set()
    for scope in text.split():
        resource, colon, actions = scope.rpartition(":")
        if colon:
            grants |= {(resource, action) for action in actions.split(",") if action}
    return frozenset(grants)


def render_scopes(grants: Iterable[Grant]) -> tuple[str, ...]:
    """Return one scope for each resource; those to be written to come first, since some servers read only one."""
    actions: dict[str, set[str]] = {}
    for resource, action in grants:
        actions.setdefault(resource, set()).add(action)
    ordered = sorted(actions.items(), key=lambda item: ("push" not in item[1], item[0]))
    return tuple(f"{resource}:{','.join(sorted(granted))}" for resource, granted in ordered)


def basic(password: Password) -> str:
    """Return the value of an ``Authorization`` header with user and password."""
    return "Basic " + base64.b64encode(f"{password.user}:{password.secret}".encode()).decode()


def token_exchange(challenge: Challenge, access: Access, credential: Credential | None) -> Exchange[Token]:
    """Ask the realm for a token: GET, with user and password if there are some; POST with an identity token."""
    grants = access.grants | challenge.grants
    request = _token_request(challenge, access, grants, credential)
    if reason := why_unsafe(challenge.realm, seen_from=access.endpoint.origin):
        raise Misbehaved(request, f"its token realm cannot be used: {reason}")
    response = yield request
    if response.status != 200:
        raise Refused(request, response)
    try:
        answer = msgspec.json.decode(response.body, type=_TokenAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Misbehaved(request, "its token server answers without a token") from error
    value = answer.token or answer.access_token
    if not value or not value.isascii() or not value.isprintable():
        raise Misbehaved(request, "its token server answers without a token")
    return Token(value=value, grants=grants, life=answer.expires_in or _DEFAULT_LIFE)


class _TokenAnswer(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None


def _token_request(
    challenge: Challenge, access: Access, grants: frozenset[Grant], credential: Credential | None
) -> Request:
    scopes = render_scopes(grants)
    if isinstance(credential, IdentityToken):
        form = {
            "grant_type": "refresh_token",
            "service": challenge.service,
            "client_id": "buildonce",
            "scope": " ".join(scopes),
            "refresh_token": credential.secret,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(form).encode()
        return Request(method="POST", url=challenge.realm, kind=Kind.TOKEN, access=access, headers=headers, body=body)
    query = urlencode(
        [*([("service", challenge.service)] if challenge.service else []), *(("scope", scope) for scope in scopes)]
    )
    separator = "&" if urlsplit(challenge.realm).query else "?"
    authorization = {"Authorization": basic(credential)} if isinstance(credential, Password) else {}
    url = f"{challenge.realm}{separator}{query}"
    return Request(method="GET", url=url, kind=Kind.TOKEN, access=access, headers=authorization)


def _parse_challenges(header: str) -> list[tuple[str, dict[str, str]]]:
    """Split ``Bearer realm="...",scope="a,b", Basic realm="..."`` (RFC 9110, section 11.6.1)."""
    challenges: list[tuple[str, dict[str, str]]] = []
    position = 0
    while position < len(header):
        parameter = _PARAMETER.match(header, position)
        if parameter and challenges:
            value = parameter[3] if parameter[2] is None else re.sub(r"\\(.)", r"\1", parameter[2])
            challenges[-1][1].setdefault(parameter[1].lower(), value)
            position = parameter.end()
            continue
        separator = _SEPARATOR.match(header, position)
        scheme = _SCHEME.match(header, separator.end() if separator else position)
        if not scheme:
            break
        challenges.append((scheme[1].lower(), {}))
        position = scheme.end()
    return challenges
