"""TLS to a server of our own, with a certificate authority of our own."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from buildonce.errors import UsageError
from buildonce.store.registry.endpoints import Endpoint
from buildonce.store.registry.faults import Breakage, Broken
from buildonce.store.registry.messages import Access, Kind, Request
from buildonce.store.registry.tls import certificate_folders
from buildonce.store.registry.transport import HttpTransport, Timeouts
from tests.fakes.registry import FakeRegistry

AUTHORITY = trustme.CA()


@pytest.fixture
def server_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(params=["SSL_CERT_FILE", None])
def is_trusted(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    if request.param:
        AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv(request.param, str(tmp_path / "ca.pem"))
    return bool(request.param)


async def ask(registry: FakeRegistry, host: str = "localhost", certificates: Path | None = None) -> list[int]:
    origin = f"https://{host}:{registry.port}"
    access = Access(endpoint=Endpoint(origin, host), repository="app", grants=frozenset())
    request = Request(method="GET", url=f"{origin}/v2/", kind=Kind.BLOB, access=access)
    transport = HttpTransport(Timeouts(), {"BUILDONCE_CERTS": str(certificates)} if certificates else {})

    async def status_of() -> int:
        async with transport.send(request) as reply:
            return reply.status

    try:
        return list(await asyncio.gather(status_of(), status_of()))
    finally:
        await transport.close()


async def test_the_environment_says_who_is_trusted(server_context: ssl.SSLContext, *, is_trusted: bool) -> None:
    async with FakeRegistry(tls=server_context) as registry:
        if is_trusted:
            assert await ask(registry) == [200, 200]
        else:
            with pytest.raises(Broken) as broken:
                await ask(registry)
            assert broken.value.breakage is Breakage.TLS


@pytest.mark.parametrize("is_trusted", ["SSL_CERT_FILE"], indirect=True)
@pytest.mark.usefixtures("is_trusted")
async def test_a_certificate_for_another_name_is_refused(server_context: ssl.SSLContext) -> None:
    async with FakeRegistry(tls=server_context) as registry:
        with pytest.raises(Broken) as broken:
            await ask(registry, host="127.0.0.1")
        assert broken.value.breakage is Breakage.TLS


def place(folder: Path, authority: trustme.CA, client: trustme.LeafCert | None = None) -> None:
    """Write a host's certificates as Docker's `certs.d` has them."""
    folder.mkdir(parents=True)
    authority.cert_pem.write_to_path(folder / "ca.crt")
    if client:
        client.cert_chain_pems[0].write_to_path(folder / "client.cert")
        client.private_key_pem.write_to_path(folder / "client.key")


@pytest.fixture
def demanding(server_context: ssl.SSLContext) -> ssl.SSLContext:
    """What a server has that wants to see a client's certificate."""
    server_context.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(server_context)
    return server_context


async def test_a_host_may_have_an_authority_of_its_own(
    server_context: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    async with FakeRegistry(tls=server_context) as registry, FakeRegistry(tls=server_context) as other:
        place(tmp_path / f"localhost:{registry.port}", AUTHORITY)
        assert await ask(registry, certificates=tmp_path) == [200, 200]
        with pytest.raises(Broken):
            await ask(other, certificates=tmp_path)


@pytest.mark.parametrize("shown", [True, False])
async def test_a_client_certificate_is_shown_to_its_host(
    demanding: ssl.SSLContext, tmp_path: Path, *, shown: bool
) -> None:
    async with FakeRegistry(tls=demanding) as registry:
        client = AUTHORITY.issue_cert("client@example.org") if shown else None
        place(tmp_path / f"localhost:{registry.port}", AUTHORITY, client)
        if shown:
            assert await ask(registry, certificates=tmp_path) == [200, 200]
        else:
            with pytest.raises(Broken):
                await ask(registry, certificates=tmp_path)


@pytest.mark.parametrize("name", ["ca.crt", "client.cert"])
async def test_certificates_that_cannot_be_used_are_named(
    server_context: ssl.SSLContext, tmp_path: Path, name: str
) -> None:
    async with FakeRegistry(tls=server_context) as registry:
        folder = tmp_path / f"localhost:{registry.port}"
        folder.mkdir()
        (folder / name).write_text("nonsense")
        with pytest.raises(UsageError, match="cannot be used"):
            await ask(registry, certificates=tmp_path)


def test_certificates_are_looked_for_where_docker_has_them() -> None:
    folders = [str(path) for path in certificate_folders({"HOME": "/home/me"})]
    assert folders == ["/home/me/.config/docker/certs.d", "/etc/docker/certs.d", "/etc/containers/certs.d"]
    assert [str(path) for path in certificate_folders({"HOME": "/home/me", "BUILDONCE_CERTS": "/c"})] == ["/c"]
