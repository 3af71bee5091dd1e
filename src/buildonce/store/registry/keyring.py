"""Credentials and tokens of a run: found once, asked for once, renewed when a registry no longer takes them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from msgspec.structs import replace

from buildonce.store.registry.challenges import (
    Challenge,
    Password,
    RegistryToken,
    Token,
    basic,
    read_challenge,
    token_exchange,
)
from buildonce.store.registry.credentials import CredentialSource, Finding
from buildonce.store.registry.messages import Access, Exchange, Grant, Head
from buildonce.store.registry.retrying import Clock

_FRESH_ENOUGH = 0.9
"""The part of its life after which a token is replaced rather than used."""


@dataclass(slots=True)
class _Door:
    """What is known about one server."""

    first: asyncio.Lock = field(default_factory=asyncio.Lock)
    entered: bool = False
    challenge: Challenge | None = None
    tokens: list[tuple[Token, float, str]] = field(default_factory=list)
    turns: defaultdict[frozenset[Grant], asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))


class Keyring:
    """Says what to send as ``Authorization``. ``perform`` runs a token exchange over the network."""

    def __init__(
        self, source: CredentialSource, perform: Callable[[Exchange[Token]], Awaitable[Token]], clock: Clock
    ) -> None:
        self._source = source
        self._perform = perform
        self._clock = clock
        self._doors: dict[str, _Door] = defaultdict(_Door)
        self._findings: dict[tuple[str, str], Finding] = {}

    @asynccontextmanager
    async def entering(self, access: Access) -> AsyncIterator[None]:
        """Let one request go first to a server that is still unknown, so that only one is challenged."""
        door = self._doors[access.endpoint.origin]
        if not door.entered:
            async with door.first:
                if not door.entered:
                    try:
                        yield
                    finally:
                        door.entered = True
                    return
        yield

    def notice(self, access: Access, head: Head) -> None:
        """Remember what a server asks for, when its response is a challenge."""
        if head.status == 401 and (challenge := read_challenge(head)):
            self._doors[access.endpoint.origin].challenge = replace(challenge, grants=frozenset())

    async def authorization(self, access: Access) -> str | None:
        """Return the header for a request, or None as long as the server has not asked for one."""
        challenge = self._doors[access.endpoint.origin].challenge
        return await self._answer(challenge, access) if challenge else None

    async def renew(self, access: Access, head: Head, refused: str | None) -> str | None:
        """Return another header than the ``refused`` one after a 401, or None if there is nothing else to offer."""
        challenge = read_challenge(head)
        if not challenge:
            return None
        door = self._doors[access.endpoint.origin]
        door.tokens = [entry for entry in door.tokens if f"Bearer {entry[0].value}" != refused]
        header = await self._answer(challenge, access)
        return header if header != refused else None

    def knows(self, access: Access) -> bool:
        """Say whether there are credentials for a request."""
        finding = self._findings.get((access.endpoint.registry, access.repository))
        return finding is not None and finding.credential is not None

    def scheme_of(self, access: Access) -> str | None:
        """Return how a server wants to be told who asks, ``basic`` or ``bearer``; None as long as it has not asked."""
        challenge = self._doors[access.endpoint.origin].challenge
        return challenge.scheme if challenge else None

    def source_of(self, access: Access) -> str:
        """Return where the credentials for a request come from, for messages."""
        finding = self._findings.get((access.endpoint.registry, access.repository))
        return finding.source if finding else "none (the registry did not say how to authenticate)"

    async def _answer(self, challenge: Challenge, access: Access) -> str | None:
        finding = await self._find(access)
        credential = finding.credential
        if challenge.scheme == "basic":
            return basic(credential) if isinstance(credential, Password) else None
        if isinstance(credential, RegistryToken):
            return f"Bearer {credential.secret}"
        door = self._doors[access.endpoint.origin]
        async with door.turns[access.grants]:
            now = self._clock.monotonic()
            door.tokens = [entry for entry in door.tokens if entry[1] > now]
            for token, _, source in door.tokens:
                if access.grants <= token.grants and source == finding.source:
                    return f"Bearer {token.value}"
            token = await self._perform(token_exchange(challenge, access, credential))
            door.tokens.append((token, now + token.life * _FRESH_ENOUGH, finding.source))
            return f"Bearer {token.value}"

    async def _find(self, access: Access) -> Finding:
        key = (access.endpoint.registry, access.repository)
        if key not in self._findings:
            self._findings[key] = await self._source.find(*key)
        return self._findings[key]
