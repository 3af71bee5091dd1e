"""Image references: registry, repository, tag and digest, without I/O.

The grammar is that of distribution's `reference` package; short names mean Docker Hub, as `docker pull` reads them.
"""

from __future__ import annotations

import re

from msgspec import Struct
from msgspec.structs import replace

from buildonce.errors import UsageError
from buildonce.oci import Digest, parse_digest

DOCKER_HUB = "docker.io"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class Repository(Struct, frozen=True, order=True):
    """A repository in a registry: ``registry/name``."""

    registry: str
    name: str

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}"

    def beside(self, suffix: str) -> Repository:
        """Return the repository whose name has ``suffix`` added, in the same registry."""
        return replace(self, name=self.name + suffix)


class Reference(Struct, frozen=True):
    """A repository with a tag, a digest, both or neither."""

    repository: Repository
    tag: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"

    @property
    def name(self) -> str:
        """What to ask the registry for: the digest if there is one, else the tag, else ``latest``."""
        return self.digest or self.tag or "latest"


def parse_reference(text: str) -> Reference:
    """Return ``[registry/]repository[:tag][@digest]``; raise `UsageError` when the text has another form."""
    rest, _, digest_text = text.partition("@")
    digest = parse_digest(digest_text) if digest_text else None
    head, _, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise UsageError(
            f"`{tag}` in `{text}` is not a tag", help="a tag has letters, digits, `_`, `.` and `-`, at most 128"
        )
    repository = parse_repository(f"{head}/{last}" if head else last, whole=text)
    return Reference(repository=repository, tag=tag or None, digest=digest)


def parse_repository(text: str, *, whole: str | None = None) -> Repository:
    """Return ``[registry/]name``; raise `UsageError` when the text has another form."""
    first, slash, rest = text.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost" or first.lower() != first)
    registry, name = (first, rest) if is_host else (DOCKER_HUB, text)
    if registry in ("index.docker.io", "registry-1.docker.io"):
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in name:
        name = f"library/{name}"
    if not _HOST.fullmatch(registry) or not _REPOSITORY.fullmatch(name) or len(name) > 255:
        raise UsageError(
            f"`{whole or text}` is not an image reference",
            help="write it as registry/repository[:tag][@digest], the repository in lower case",
        )
    return Repository(registry=registry, name=name)


def is_tag(text: str) -> bool:
    """Say whether ``text`` can be a tag (distribution-spec: at most 128 characters)."""
    return _TAG.fullmatch(text) is not None
