"""Requests and responses as values, and the exchanges that are made of them.

An exchange is a generator that yields requests and receives responses: the protocol without the network.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias, TypeVar

from msgspec import Struct

from buildonce.store.registry.endpoints import Endpoint

Result = TypeVar("Result")
Grant: TypeAlias = tuple[str, str]
"""A resource and an action on it: ``("repository:library/debian", "pull")``."""

_WHOLE = re.compile("[0-9]{1,18}")


class Kind(Enum):
    """What a request is about, for counting."""

    BLOB = "blob"
    UPLOAD = "upload"
    MOUNT = "mount"
    MANIFEST = "manifest"
    TAGS = "tags"
    TOKEN = "token"  # noqa: S105  (a word, not a secret)


class Trial(Enum):
    """What the answer to a request tells of its host, beside whether it was done."""

    SINGLE_POST = "single POST"
    MOUNT = "mount"
    SURE_MOUNT = "mount of a blob that is surely there"
    ANONYMOUS_MOUNT = "mount from wherever the blob is, if it is anywhere"
    MULTI_TAG = "several tags with one manifest"
    REFERRERS = "referrers"


class Access(Struct, frozen=True, kw_only=True):
    """What a request needs to be allowed: ``grants`` at ``endpoint``, asked for in the name of ``repository``."""

    endpoint: Endpoint
    repository: str
    grants: frozenset[Grant]


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A request body of ``size`` bytes, which ``open`` streams from the start each time it is called."""

    size: int
    open: Callable[[], AsyncIterator[bytes]] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request for what ``access`` says. Of the response's body at most ``limit`` bytes are kept.

    ``tries`` says what its answer shows of the host.
    """

    method: str
    url: str = field(repr=False)
    kind: Kind
    access: Access
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    body: bytes | Body | None = field(default=None, repr=False)
    limit: int = 64 * 1024
    tries: Trial | None = None


def whole_number(text: str) -> int | None:
    """Return the number of bytes that a header gives; None for anything else."""
    return int(text) if _WHOLE.fullmatch(text) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Status and headers of a response; the headers' names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def header(self, name: str) -> str | None:
        """Return the first header of this name (in lower case)."""
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: str) -> tuple[str, ...]:
        """Return every header of this name (in lower case)."""
        return tuple(value for key, value in self.headers if key == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(Head):
    """A response whose body was read; ``complete`` is false when it was larger than the request's limit."""

    body: bytes = field(default=b"", repr=False)
    complete: bool = True


Exchange: TypeAlias = Generator[Request, Response, Result]
