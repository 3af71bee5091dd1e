"""[io] Blobs from registries: resumed after a break, never longer than announced, checked at the end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from buildonce.errors import AuthenticationError, IntegrityError, RegistryUnavailable, StoreError
from buildonce.oci import Descriptor
from buildonce.store.registry.endpoints import Endpoint
from buildonce.store.registry.exchanges import pulling, read_blob
from buildonce.store.registry.faults import Breakage, Broken, Fault, Misbehaved
from buildonce.store.registry.messages import Head, Request
from buildonce.store.registry.session import RegistrySession, read_bounded
from buildonce.store.streams import CHUNK, Verifier

_MIRROR_ATTEMPTS = 2


async def download(
    session: RegistrySession, candidates: tuple[tuple[Endpoint, str], ...], descriptor: Descriptor
) -> AsyncGenerator[bytes, None]:
    """Stream a blob from the first of ``candidates`` (server and its name for the repository) that has it.

    The last candidate is the registry itself; the others are mirrors, which may fail in any way.
    """
    endpoint, name = candidates[-1]
    verifier = Verifier(descriptor, f"blob {descriptor.digest} of {endpoint.registry}/{name}")
    for candidate in candidates[:-1]:
        try:
            async with aclosing(_from(session, candidate, verifier, attempts=_MIRROR_ATTEMPTS)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except StoreError as error:
            # What came so far may still be right, and is checked at the end; what came whole is wrong.
            if isinstance(error, IntegrityError) and verifier.received >= descriptor.size:
                raise
            if isinstance(error, RegistryUnavailable | AuthenticationError):
                session.give_up_on(candidate[0])
            continue
        else:
            return
    async with aclosing(_from(session, candidates[-1], verifier)) as chunks:
        async for chunk in chunks:
            yield chunk


async def _from(
    session: RegistrySession, candidate: tuple[Endpoint, str], verifier: Verifier, *, attempts: int | None = None
) -> AsyncGenerator[bytes, None]:
    attempt = 1
    while True:
        before = verifier.received
        try:
            async with aclosing(_attempt(session, candidate, verifier)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except Fault as fault:
            # Progress earns new attempts: a long blob over a bad line arrives in pieces.
            attempt = 1 if verifier.received - before >= CHUNK else attempt
            await session.pause(fault, attempt, attempts=attempts)
            attempt += 1
        else:
            verifier.finish()
            return


async def _attempt(
    session: RegistrySession, candidate: tuple[Endpoint, str], verifier: Verifier
) -> AsyncGenerator[bytes, None]:
    descriptor, start = verifier.descriptor, verifier.received
    request = read_blob(pulling(*candidate), descriptor, start=start)
    async with session.open(request) as reply:
        if reply.status not in (200, 206):
            raise session.refused(request, await read_bounded(reply, request.limit))
        skip = bytes_to_skip(request, reply, start, descriptor)
        async for received in reply.chunks:
            chunk = received[skip:]
            skip -= len(received) - len(chunk)
            if chunk:
                await verifier.feed(chunk)
                yield chunk
    if verifier.received < descriptor.size:
        raise Broken(request, Breakage.TRUNCATED, f"{verifier.received} of {descriptor.size} bytes came")


def bytes_to_skip(request: Request, head: Head, start: int, descriptor: Descriptor) -> int:
    """Return how many bytes of a response come before byte ``start``: none if the range was honoured, else all.

    Raises `IntegrityError` when the response announces another size than the blob has, and `Misbehaved` for another
    range than was asked for.
    """
    size = descriptor.size
    expected, skip = (size - start, 0) if head.status == 206 else (size, start)
    if head.status == 206 and not (head.header("content-range") or "").startswith(f"bytes {start}-"):
        raise Misbehaved(request, "it sends another range than was asked for")
    announced = head.header("content-length")
    if announced is not None and announced != str(expected):
        raise IntegrityError(
            f"{request.access.endpoint.registry} announces {announced} bytes instead of {expected} for"
            f" {descriptor.digest} in `{request.access.repository}`"
        )
    return skip
