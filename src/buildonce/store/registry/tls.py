"""[io] The certificates that this machine trusts, loaded when the first TLS connection is made and not before."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

_PLACES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class Trust:
    """The trust store of the machine, or that of ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``, as OpenSSL finds it."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._context: ssl.SSLContext | None = None

    async def context(self) -> ssl.SSLContext:
        """Return the settings of a TLS connection that verifies its server; they are loaded once."""
        async with self._lock:
            if self._context is None:
                self._context = await asyncio.to_thread(_load)
            return self._context


def _load() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    return context


@contextmanager
def certificates_unread() -> Iterator[None]:
    """Have no certificates loaded by what is done inside.

    aiohttp loads the machine's certificates twice while it is imported, which takes as long as the rest of the import;
    we give every TLS connection settings of our own.
    """
    before = {name: os.environ.get(name) for name in _PLACES}
    os.environ.update(dict.fromkeys(_PLACES, os.devnull))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
