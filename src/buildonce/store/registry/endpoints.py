"""Where a registry answers: base URLs, plain HTTP, mirrors, and which other addresses it may send us to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qsl, quote, urljoin, urlsplit

from msgspec import Struct

from buildonce.errors import UsageError
from buildonce.reference import DOCKER_HUB, Repository

_DOCKER_HUB_HOST = "registry-1.docker.io"
_PORTS = {"https": 443, "http": 80}
_SHOWN = frozenset({"digest", "mount", "from", "scope", "service", "n", "last"})


class Endpoint(Struct, frozen=True, order=True):
    """A server that speaks the distribution API.

    ``registry`` is the name under which its credentials are kept; ``prefix`` goes before repository names (a mirror
    in a project of its own: ``https://mirror/project``).
    """

    origin: str
    registry: str
    prefix: str = ""

    def name(self, repository: Repository) -> str:
        """Return what this server calls the repository."""
        return f"{self.prefix}/{repository.name}" if self.prefix else repository.name

    def url(self, name: str, tail: str) -> str:
        """Return the URL of something in the repository that this server calls ``name``."""
        return f"{self.origin}/v2/{quote(name, safe='/')}/{tail}"


def endpoint_of(registry: str, insecure: frozenset[str] = frozenset()) -> Endpoint:
    """Return the server of a registry: plain HTTP for loopback hosts and those in ``insecure``, else HTTPS."""
    if registry == DOCKER_HUB:
        return Endpoint(f"https://{_DOCKER_HUB_HOST}", DOCKER_HUB)
    host = urlsplit(f"//{registry}").hostname or registry
    scheme = "http" if is_loopback(host) or registry in insecure or host in insecure else "https"
    return Endpoint(f"{scheme}://{registry}", registry)


def insecure_from_environment(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the hosts in ``BUILDONCE_INSECURE_REGISTRIES``, which speak plain HTTP."""
    return frozenset(_items(environment.get("BUILDONCE_INSECURE_REGISTRIES", "")))


def mirrors_from_environment(environment: Mapping[str, str]) -> Mapping[str, tuple[Endpoint, ...]]:
    """Return the mirrors in ``BUILDONCE_MIRRORS`` for each registry: ``docker.io=http://127.0.0.1:5000,...``.

    Raises `UsageError` when an entry has another form.
    """
    mirrors: dict[str, tuple[Endpoint, ...]] = {}
    for item in _items(environment.get("BUILDONCE_MIRRORS", "")):
        registry, _, url = item.partition("=")
        parts = _split(url)
        if not registry or parts.scheme not in _PORTS or not parts.hostname or parts.username or parts.query:
            raise UsageError(
                f"`{registry or item}` in BUILDONCE_MIRRORS has no usable mirror",
                help="write it as registry=URL without user or query: docker.io=https://mirror.example",
            )
        mirror = Endpoint(f"{parts.scheme}://{parts.netloc}", parts.netloc, parts.path.strip("/"))
        mirrors[registry] = (*mirrors.get(registry, ()), mirror)
    return mirrors


def origin_of(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL, which together decide whether credentials may be sent."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)


def joined(url: str, location: str) -> str:
    """Return where a server at ``url`` sends us with ``location``, without a fragment; see whether that is safe."""
    try:
        return urljoin(url, location).partition("#")[0]
    except ValueError:
        return location


def why_unsafe(url: str, *, seen_from: str) -> str | None:
    """Say why a server at ``seen_from`` must not send us to ``url`` (a redirect, upload location or token realm).

    None when it may. No way leads from HTTPS to plain HTTP, nor from elsewhere to this machine or a link-local
    address, where metadata services of clouds live.
    """
    try:
        scheme, host, _ = origin_of(url)
        known_scheme, known_host, _ = origin_of(seen_from)
    except ValueError:
        return "it is not a URL"
    if scheme not in _PORTS or not host:
        return "it is not an http or https URL"
    if urlsplit(url).username is not None:
        return "it carries a user name"
    if scheme == "http" and known_scheme == "https":
        return "it leaves https for plain http"
    if _is_internal(host) and not _is_internal(known_host):
        return "it points into this machine"
    return None


def is_loopback(host: str) -> bool:
    """Say whether a host name is this machine: ``localhost``, 127.0.0.0/8 or ::1."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def is_address(host: str) -> bool:
    """Say whether a host is an IP address, which needs no look-up."""
    return _address(host) is not None


def redact_url(url: str) -> str:
    """Return a URL for messages: no user, and no value of a parameter that may be a signature or a session."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    pairs = (f"{key}={value if key in _SHOWN else '...'}" for key, value in parse_qsl(parts.query))
    query = "&".join(pairs)
    return f"{parts.scheme}://{host}{parts.path}" + (f"?{query}" if query else "")


def _split(url: str) -> SplitResult:
    """Return the parts of what may be a URL: of none, none."""
    try:
        parts = urlsplit(url)
        origin_of(url)
    except ValueError:
        return urlsplit("")
    return parts


def _is_internal(host: str) -> bool:
    address = _address(host)
    return is_loopback(host) or (address is not None and (address.is_link_local or address.is_unspecified))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return _short_address(host)
    return getattr(address, "ipv4_mapped", None) or address


def _short_address(host: str) -> ipaddress.IPv4Address | None:
    """Read the older spellings that resolvers still take: ``127.1``, ``2130706433``, ``0x7f000001``."""
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host)) if host[:1].isdigit() else None
    except OSError:
        return None


def _items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())
