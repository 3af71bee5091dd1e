"""Requests through proxies of the environment, with a proxy of our own."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from buildonce.store.registry.faults import Breakage, Broken
from tests.store.scripted import OK, Serve, ask, request, saying, serving, transport

AUTHORITY = trustme.CA()
NAME = "registry.example"
SECRET = {"Authorization": "Bearer secret"}


@pytest.fixture(autouse=True)
def trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


def speaking_tls(name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert(name).configure_cert(context)
    return context


def joining(port: int) -> Serve:
    """Join each connection with this machine's ``port``, wherever it is wanted to."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        there, away = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
            target.close()

        try:
            await asyncio.gather(pump(reader, away), pump(there, writer))
        finally:
            away.close()

    return serve


@pytest.mark.parametrize("encrypted", [False, True], ids=["proxy in the clear", "proxy with TLS"])
async def test_tls_goes_through_a_proxy_that_sees_none_of_it(*, encrypted: bool) -> None:
    tls = speaking_tls("localhost") if encrypted else None
    async with (
        serving(saying(OK, OK), tls=speaking_tls(NAME)) as server,
        serving(joining(server.port), tls=tls) as proxy,
    ):
        scheme = "https" if encrypted else "http"
        environment = {"HTTPS_PROXY": f"{scheme}://me:p%40ss@localhost:{proxy.port}"}
        async with transport(environment=environment) as sender:
            for _ in range(2):
                assert await ask(sender, request(f"https://{NAME}/v2/", headers=SECRET)) == (200, b"ok")
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT {NAME}:443 HTTP/1.1\r\nHost: {NAME}:443\r\n")
    assert "Proxy-Authorization: Basic bWU6cEBzcw==\r\n" in head
    assert "secret" not in head
    assert not any("Proxy-Authorization" in one for one in server.heads)
    assert len(server.heads) == 2


async def test_plain_http_is_told_to_the_proxy_as_a_whole() -> None:
    async with (
        serving(saying(OK)) as proxy,
        transport(environment={"http_proxy": f"http://me:you@127.0.0.1:{proxy.port}"}) as sender,
    ):
        assert (await ask(sender, request(f"http://{NAME}:5000/v2/?a=b")))[0] == 200
    (head,) = proxy.heads
    assert head.startswith(f"GET http://{NAME}:5000/v2/?a=b HTTP/1.1\r\nHost: {NAME}:5000\r\n")
    assert "Proxy-Authorization: Basic bWU6eW91\r\n" in head


@pytest.mark.parametrize(("status", "transient"), [(407, False), (403, False), (502, True)])
async def test_a_proxy_that_refuses_is_named(status: int, *, transient: bool) -> None:
    async with (
        serving(saying(b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nno" % status)) as proxy,
        transport(environment={"https_proxy": f"http://127.0.0.1:{proxy.port}"}) as sender,
    ):
        with pytest.raises(Broken) as broken:
            await ask(sender, request(f"https://{NAME}/v2/"))
    assert broken.value.breakage is Breakage.CONNECT
    assert broken.value.transient is transient
    assert f"the proxy answers with status {status}" in broken.value.line


async def test_a_proxy_that_is_no_url_is_said() -> None:
    async with transport(environment={"https_proxy": "socks5://127.0.0.1:1080"}) as sender:
        with pytest.raises(Broken) as broken:
            await ask(sender, request(f"https://{NAME}/v2/"))
    assert "the proxy in the environment" in broken.value.line
