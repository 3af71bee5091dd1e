"""Which way a request goes: to its server, or to a proxy that the environment names. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from buildonce.store.registry.endpoints import is_loopback, origin_of

_NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f]")


class Hop(Struct, frozen=True):
    """A machine that a connection is made to; ``name`` is its host as a URL has it, with the port if it names one."""

    name: str
    host: str
    port: int
    is_encrypted: bool

    @property
    def authority(self) -> str:
        """The host with its port, as ``CONNECT`` names it (RFC 9110, section 9.3.6)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Proxy(Struct, frozen=True):
    """A proxy, and the ``Proxy-Authorization`` that it takes."""

    hop: Hop
    authorization: str | None = None


class Way(Struct, frozen=True):
    """A server, and the proxy before it: connections are kept for each way, and shared by what goes the same way."""

    server: Hop
    proxy: Proxy | None = None


class Route(Struct, frozen=True):
    """A request's way, and what it is for on the request line."""

    way: Way
    target: str


def route_of(url: str, environment: Mapping[str, str]) -> Route:
    """Return the route of a request for ``url``, whose path and query stay as they are written: they may be signed.

    Raises `ValueError` for what is no http or https URL.
    """
    server = _hop(url)
    named = proxy_for(url, environment)
    proxy = _proxy(named) if named else None
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # A proxy is told the whole URL, unless it only joins the ends of a TLS connection (RFC 9112, section 3.2.2).
    absolute = f"http://{server.name}{target}" if proxy and not server.is_encrypted else target
    return Route(Way(server, proxy), absolute)


def proxy_for(url: str, environment: Mapping[str, str]) -> str | None:
    """Return the proxy for a URL as curl reads the environment: ``https_proxy``, ``no_proxy`` and their like."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    names = (f"{parts.scheme}_proxy", "all_proxy")
    found = (environment.get(spelling) for name in names for spelling in (name, name.upper()))
    proxy = next((value for value in found if value), None)
    if not proxy or is_loopback(host):
        return None
    for rule in (environment.get("no_proxy") or environment.get("NO_PROXY") or "").split(","):
        bare = rule.strip().lower().lstrip(".")
        if bare and (bare == "*" or bare in (host, parts.netloc.lower()) or host.endswith(f".{bare}")):
            return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _hop(url: str) -> Hop:
    scheme, host, port = origin_of(url)
    if _NOT_IN_URLS.search(url) or scheme not in ("http", "https") or not host or not port:
        raise ValueError("not an http or https URL")
    return Hop(urlsplit(url).netloc.rpartition("@")[2], host, port, scheme == "https")


def _proxy(url: str) -> Proxy:
    try:
        return Proxy(_hop(url), _authorization(urlsplit(url)))
    except ValueError as error:
        raise ValueError("the proxy in the environment is no http or https URL") from error


def _authorization(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
