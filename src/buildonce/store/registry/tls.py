"""[io] The certificates that this machine trusts, loaded when the first TLS connection is made and not before."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path

from buildonce.errors import UsageError

_SYSTEM_FOLDERS = ("/etc/docker/certs.d", "/etc/containers/certs.d")


def certificate_folders(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders that may hold certificates for single hosts, as Docker's ``certs.d`` does."""
    if named := environment.get("BUILDONCE_CERTS"):
        return (Path(named),)
    home = environment.get("HOME")
    own = (Path(home) / ".config/docker/certs.d",) if home else ()
    return (*own, *map(Path, _SYSTEM_FOLDERS))


class Trust:
    """The trust store of the machine, or that of ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``, as OpenSSL finds it.

    A host with a folder of its own (``registry.example:5000``) in one of ``folders`` is also trusted by the authorities
    there (``*.crt``), and is shown the client certificate there (``*.cert`` with its ``*.key``); no other host is.
    """

    def __init__(self, folders: tuple[Path, ...] = ()) -> None:
        self._folders = folders
        self._lock = asyncio.Lock()
        self._contexts: dict[Path | None, ssl.SSLContext] = {}

    async def context(self, host: str) -> ssl.SSLContext:
        """Return the settings of a TLS connection to ``host`` (with its port, if it has one), loaded once.

        Raises `UsageError` when the certificates for this host cannot be used.
        """
        async with self._lock:
            named = self._folders if host.strip(".") else ()
            folder = next((each / host for each in named if _is_folder(each / host)), None)
            if folder not in self._contexts:
                self._contexts[folder] = await asyncio.to_thread(_load, folder)
            return self._contexts[folder]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _load(folder: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    try:
        for authority in sorted(folder.glob("*.crt")) if folder else ():
            context.load_verify_locations(authority)
        for certificate in sorted(folder.glob("*.cert")) if folder else ():
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    except OSError as error:
        raise UsageError(
            f"the certificates in {folder} cannot be used: {error.strerror or error}",
            help="`*.crt` are authorities; a client certificate is `NAME.cert` with its key in `NAME.key`, all PEM",
        ) from error
    return context
