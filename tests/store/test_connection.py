"""Our HTTP over real sockets: what servers say, when they say it, and what becomes of the connection."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildonce.store.registry.connection import Answer, NotHttp
from buildonce.store.registry.faults import Breakage, Broken
from buildonce.store.registry.messages import Body
from tests.store.scripted import OK, QUICK, ask, request, saying, serving, transport

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\nTrailer: x\r\n\r\n"
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\n\r\nok"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


@pytest.mark.parametrize(
    "answer", [OK, CHUNKED, UNTIL_CLOSED, INTERIM + OK, b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"]
)
async def test_bodies_end_where_they_end(answer: bytes) -> None:
    async with serving(saying(answer)) as server, transport() as sender:
        assert await ask(sender, request(f"{server.url}/v2/")) == (200, b"ok")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([OK, CHUNKED, INTERIM + OK, INTERIM + CHUNKED]), st.data())
def test_it_does_not_matter_how_an_answer_is_cut(answer: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(answer) - 1))))
    found = Answer(has_body=True)
    for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True):
        assert not found.is_complete
        found.feed(answer[start:end])
    assert found.is_complete
    assert found.allows_another
    assert asyncio.run(found.piece()) == b"ok"[: 2 if OK in answer else 1] or CHUNKED in answer
    assert dict(found.headers).keys() <= {"content-length", "transfer-encoding"}


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"),
    ],
)
async def test_an_answer_without_a_body_leaves_the_connection_usable(method: str, answer: bytes) -> None:
    async with serving(saying(answer, OK)) as server, transport() as sender:
        assert (await ask(sender, request(server.url, method)))[1] == b""
        assert await ask(sender, request(server.url)) == (200, b"ok")
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
        OK + b"what",
    ],
)
async def test_a_connection_that_may_not_be_used_again_is_not(answer: bytes) -> None:
    async with serving(saying(answer, OK)) as server, transport() as sender:
        for _ in range(2):
            assert await ask(sender, request(server.url)) == (200, b"ok")
        assert server.connections == 2


async def test_what_a_server_says_unasked_is_not_taken_for_an_answer() -> None:
    spoken = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await asyncio.sleep(0.02)
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        spoken.set()
        await reader.readuntil(b"\r\n\r\n")

    async with serving(serve) as server, transport() as sender:
        assert (await ask(sender, request(server.url)))[0] == 200
        await spoken.wait()
        await asyncio.sleep(0.05)
        assert (await ask(sender, request(server.url)))[0] == 200
        assert server.connections == 2


@pytest.mark.parametrize(("method", "again"), [("GET", True), ("HEAD", True), ("PUT", True), ("POST", False)])
async def test_a_connection_that_was_just_closed_is_replaced(method: str, *, again: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if server.connections == 1:
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")  # and closes without a word
        else:
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with serving(serve) as server, transport() as sender:
        await ask(sender, request(server.url))
        if again:
            assert (await ask(sender, request(server.url, method)))[0] == 204
        else:
            with pytest.raises(Broken) as broken:
                await ask(sender, request(server.url, method))
            assert broken.value.breakage is Breakage.RESET


@pytest.mark.parametrize(
    ("answer", "breakage"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", Breakage.TRUNCATED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", Breakage.TRUNCATED),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Breakage.RESET),
        (b"", Breakage.RESET),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Breakage.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", Breakage.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok", Breakage.RESET),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nok", Breakage.RESET),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 60_000, Breakage.RESET),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000, Breakage.RESET),
    ],
)
async def test_what_is_no_whole_answer_is_none(answer: bytes, breakage: Breakage) -> None:
    async with serving(saying(answer)) as server, transport() as sender:
        with pytest.raises(Broken) as broken:
            await ask(sender, request(server.url))
        assert broken.value.breakage is breakage
        assert broken.value.transient


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_an_answer_or_none(noise: bytes, has_body: bool) -> None:
    for prefix in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        answer = Answer(has_body=has_body)
        try:
            answer.feed(prefix + noise)
        except NotHttp:
            continue
        answer.end(None)
        assert answer.is_complete or answer.failure


async def test_a_server_that_stops_half_way_is_given_up() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK[:-1])
        await asyncio.sleep(5)

    async with serving(serve) as server, transport(QUICK) as sender:
        with pytest.raises(Broken) as broken:
            await ask(sender, request(server.url))
        assert broken.value.breakage is Breakage.TIMEOUT


async def test_a_large_answer_waits_until_it_is_taken() -> None:
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * 1024 * 1024))
        for _ in range(100):
            writer.write(bytes(1024 * 1024))
            await writer.drain()
            sent += 1

    async with serving(serve) as server, transport() as sender, sender.send(request(server.url)) as reply:
        taken = await anext(reply.chunks)
        await asyncio.sleep(0.1)
        assert sent < 20  # what sockets hold, and no more
        assert len(taken) + sum([len(chunk) async for chunk in reply.chunks]) == 100 * 1024 * 1024


# What is sent


def body(*pieces: bytes, size: int | None = None) -> Body:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return Body(size=sum(map(len, pieces)) if size is None else size, open=chunks)


async def test_requests_say_what_they_must() -> None:
    async with serving(saying(OK, OK, OK)) as server, transport() as sender:
        await ask(sender, request(f"{server.url}/a%2Fb/?x=%20&y=+"))
        await ask(sender, request(server.url, "POST"))
        await ask(sender, request(server.url, "PUT", body=b"", headers={"Accept": "text/plain"}))
    first, second, third = (head.split("\r\n") for head in server.heads)
    assert first[0] == "GET /a%2Fb/?x=%20&y=+ HTTP/1.1"
    assert first[1] == f"Host: 127.0.0.1:{server.port}"
    assert "Accept-Encoding: identity" in first
    assert not any(line.startswith("Content-Length") for line in first)
    assert second[0] == "POST / HTTP/1.1"
    assert "Content-Length: 0" in second
    assert "Accept: text/plain" in third


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://127.0.0.1:1/a b", {}),
        ("http://127.0.0.1:1/\r\nX: y", {}),
        ("http://127.0.0.1:99999/", {}),
        ("http:///x", {}),
        ("ftp://127.0.0.1/", {}),
        ("http://127.0.0.1:1/", {"Authorization": "Bearer a\r\nX: y"}),
    ],
)
async def test_what_would_break_a_request_is_not_sent(url: str, headers: dict[str, str]) -> None:
    async with transport() as sender:
        with pytest.raises(Broken) as broken:
            await ask(sender, request(url, headers=headers))
        assert not broken.value.transient


async def test_an_answer_may_come_before_the_body_is_sent() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await asyncio.sleep(5)

    async with serving(serve) as server, transport() as sender:
        large = body(*[os.urandom(1024 * 1024)] * 50)
        assert await ask(sender, request(server.url, "PUT", body=large)) == (413, b"no")
        assert await ask(sender, request(server.url)) == (413, b"no")
        assert server.connections == 2


async def test_what_a_body_raises_is_raised() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        raise OSError(5, "the disk fails")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        await asyncio.sleep(5)

    async with serving(serve) as server, transport() as sender:
        with pytest.raises(OSError, match="the disk fails"):
            await ask(sender, request(server.url, "PUT", body=Body(size=9, open=failing)))


async def test_a_body_is_given_back_when_it_is_not_wanted_any_more() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1024 * 1024)
        finally:
            closed.set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(5)

    async with serving(serve) as server, transport(QUICK) as sender:
        with pytest.raises(Broken) as broken:
            await ask(sender, request(server.url, "PUT", body=Body(size=1 << 40, open=endless)))
        assert broken.value.breakage is Breakage.TIMEOUT
        assert closed.is_set()


# Where it goes


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_addresses_may_be_of_version_6() -> None:
    async with serving(saying(OK), host="::1") as server, transport() as sender:
        assert (await ask(sender, request(f"http://[::1]:{server.port}/v2/")))[0] == 200
    assert f"Host: [::1]:{server.port}" in server.heads[0]


@pytest.mark.parametrize("dead", ["127.0.0.2", "192.0.2.1"], ids=["refuses", "says nothing"])
async def test_of_several_addresses_one_that_answers_is_enough(dead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        assert host == "registry.example"
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (dead, port)), (*kind, ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    async with serving(saying(OK)) as server, transport() as sender:
        assert (await ask(sender, request(f"http://registry.example:{server.port}/")))[0] == 200


async def test_a_closed_port_and_an_unknown_name_are_told_apart() -> None:
    async with serving(saying(OK)) as server:
        port = server.port
    async with transport() as sender:
        for host, breakage in (
            ("127.0.0.1", Breakage.CONNECT),
            ("localhost", Breakage.CONNECT),
            ("a..b", Breakage.DNS),
        ):
            with pytest.raises(Broken) as broken:
                await ask(sender, request(f"http://{host}:{port}/"))
            assert broken.value.breakage is breakage
            assert breakage is Breakage.DNS or "refused" in broken.value.reason
