"""A release through a faulty proxy to a real registry: complete and right, or failed with all tags where they were.

Each row is one thing that goes wrong, in a release that changes the core of a family whose tags are there. If it fails,
it is run again without the fault, with what the first run left. Over both runs no blob is uploaded twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from buildonce.store.registry.transport import Timeouts
from buildonce.store.registry.uploads import RESUMABLE
from tests.e2e.harness import load_host
from tests.faults.proxy import (
    Act,
    Answer,
    Fault,
    FaultyProxy,
    Passing,
    answer,
    as_if_asked,
    closed,
    cut,
    dripping,
    edited,
    expired,
    kept,
    liar,
    lost,
    raw,
    slowly_read,
    stalled,
    to_itself,
)
from tests.faults.shops import BASE, SIZE, Shop, digests, family

pytestmark = pytest.mark.host

VARIANTS = ("a", "b", "c")
ALWAYS = 10_000
QUICK = Timeouts(connect=2.0, stall=0.6, answer=0.9)
STALL = 1.2
"""Seconds of silence, longer than any patience."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that goes wrong, and whether the release is to be complete all the same.

    ``is_final``: nothing answers after it, so tags that moved stay where they are. ``apart``: each variant goes to a
    repository of its own. ``large``: the core's layer is so large that its upload may be resumed. ``knows``: the run
    has the receipt of the one before. ``says`` is in the error. ``twice``: so many blobs are rightly sent again.
    """

    fault: Fault
    is_done: bool = True
    says: str = ""
    apart: bool = False
    large: bool = False
    is_final: bool = False
    twice: int = 0
    knows: bool = True


def fails(
    name: str,
    act: Act,
    says: str,
    *,
    times: int = ALWAYS,
    first: int = 1,
    path: str = "",
    large: bool = False,
    apart: bool = False,
    is_final: bool = False,
    twice: int = 0,
) -> Row:
    fault = Fault(name, act, first=first, times=times, path=path)
    return Row(fault=fault, is_done=False, says=says, large=large, apart=apart, is_final=is_final, twice=twice)


def passes(
    name: str,
    act: Act,
    *,
    times: int = 1,
    first: int = 1,
    path: str = "",
    large: bool = False,
    apart: bool = False,
    knows: bool = True,
) -> Row:
    fault = Fault(name, act, first=first, times=times, path=path)
    return Row(fault=fault, large=large, apart=apart, knows=knows)


def _date(seconds: int) -> str:
    return format_datetime(datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC) + timedelta(seconds=seconds), usegmt=True)


def after(text: str) -> dict[str, str]:
    return {"Retry-After": text}


def placed(passing: Passing, found: Answer, start: str) -> Answer:
    """Give an upload's location another start: nothing for a relative one."""
    path = found.headers["Location"].partition("/v2/")[2]
    return found.saying(Location=f"{start}/v2/{path}")


WRONG = f"sha256:{'0' * 64}"
HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>hi</html>"

ROWS: Mapping[str, Row] = {
    # Limits of rates, with each kind of Retry-After
    "429 in seconds": passes("POST upload", answer(429, headers=after("3"))),
    "429 in milliseconds": passes("PUT blob", answer(429, headers=after("12.5ms"))),
    "429 until a date": passes("PUT manifest", answer(429, headers=after(_date(30)))),
    "429 until a date that is over": passes("PUT tag", answer(429, headers=after(_date(-30)))),
    "429 without a time": passes("PUT manifest", answer(429), times=4),
    "429 with a time that is none": passes("PUT tag", answer(429, headers=after("soon"))),
    "429 for hours": fails("PUT manifest", answer(429, headers=after("21600")), "asks to wait 21600 seconds"),
    "429 for hours, at a tag": fails("PUT tag", answer(429, headers=after("21600")), "asks to wait", path="/b$"),
    "429 before the body is read": passes("PUT blob", answer(429, headers=after("1"), early=True)),
    "403 that is a limit": passes("POST upload", answer(403, "TOOMANYREQUESTS"), times=2),
    # The server fails
    "500 at the start of an upload": passes("POST upload", answer(500), times=2),
    "502 at a blob": passes("PUT blob", answer(502, early=True)),
    "500 at a blob that was stored": passes("PUT blob", lost(instead=500)),
    "503 at a manifest": passes("PUT manifest", answer(503), times=3),
    "504 at a manifest that was stored": passes("PUT manifest", lost(instead=504)),
    "500 at a tag": passes("PUT tag", answer(500), times=2),
    "504 at a tag that was moved": passes("PUT tag", lost(instead=504)),
    "503 at the question for a tag": passes("HEAD tag", answer(503), knows=False),
    "500 at all uploads": fails("POST upload", answer(500), "fails again and again"),
    "503 at one manifest, always": fails("PUT manifest", answer(503), "fails again and again"),
    "500 at one tag, always": fails("PUT tag", answer(500), "moved, and put back: 2", path="/b$"),
    "out of space": fails("PUT blob", answer(500, "UNKNOWN", detail={"Err": 28}), "fails again and again"),
    "507 at a blob": fails("PUT blob", answer(507), "status 507"),
    "408 at a blob": passes("PUT blob", answer(408)),
    # Connections break
    "cut before an upload starts": passes("POST upload", cut()),
    "cut when an upload was started": passes("POST upload", lost()),
    "cut before a blob": passes("PUT blob", cut()),
    "cut at a blob's first byte": passes("PUT blob", cut(0.0001)),
    "cut half-way through a blob": passes("PUT blob", cut(0.5), times=2),
    "cut at a blob's end": passes("PUT blob", cut(1.0)),
    "cut when a blob was stored": passes("PUT blob", lost()),
    "cut half-way through a manifest": passes("PUT manifest", cut(0.5)),
    "cut when a manifest was stored": passes("PUT manifest", lost()),
    "cut before a tag": passes("PUT tag", cut()),
    "cut when a tag was moved": passes("PUT tag", lost(), times=3),
    "cut at the question for a tag": passes("HEAD tag", cut(), knows=False),
    "cut at one tag, always": fails("PUT tag", cut(), "moved, and put back: 2", path="/c$"),
    "cut at all blobs": fails("PUT blob", cut(0.5), "the connection broke"),
    "cut half-way through a large blob": passes("PATCH upload", cut(0.5), large=True),
    "cut when the registry has half of a large blob": passes("PATCH upload", kept(0.5), large=True),
    "cut when the registry has all of a large blob": passes("PATCH upload", lost(), large=True),
    "cut when a large blob was stored": passes("PUT blob", lost(), path="sha256", large=True),
    "cut at the question how much is there": passes("PATCH upload", kept(0.3), times=2, large=True),
    "a closed port": fails("PUT manifest", closed(), "cannot be used"),
    "a closed port, among the tags": fails("PUT tag", closed(), "moved already: ", path="/b$", is_final=True),
    # Slow servers
    "an answer in drops": passes("PUT blob", dripping(0.001)),
    "an answer in drops, at a tag": passes("PUT tag", dripping(0.001)),
    "a body that is taken slowly": passes("PUT blob", slowly_read(0.02)),
    "silence at the start of an upload": passes("POST upload", stalled(STALL)),
    "silence at a blob": passes("PUT blob", stalled(STALL)),
    "silence at a blob that was stored": passes("PUT blob", stalled(STALL, carried_out=True)),
    "silence at a tag that was moved": passes("PUT tag", stalled(STALL, carried_out=True)),
    "silence at one manifest, always": fails("PUT manifest", stalled(STALL), "does not answer in time"),
    # Answers that are none
    "half a head": passes("PUT blob", raw(b"HTTP/1.1 201 Cre")),
    "no HTTP": passes("PUT manifest", raw(b"SSH-2.0-OpenSSH_9.2\r\n")),
    "half an error": passes("PUT manifest", raw(b'HTTP/1.1 503 No\r\nContent-Length: 99\r\n\r\n{"errors":[{"co')),
    "a web page at a start": fails("POST upload", raw(HTML), "refuses a request"),
    "an error in a form of its own": fails("PUT manifest", answer(400), "status 400"),
    # Registries that lie, or leave something out
    "a blob that is said to be stored": passes("PUT blob", liar()),
    "all blobs are said to be stored, once": passes("PUT blob", liar(), times=8),
    "a manifest that is said to be stored": passes("PUT manifest", liar(), times=1),
    "a tag that is said to have moved": passes("PUT tag", liar()),
    "blobs are only ever said to be stored": fails("PUT blob", liar(), "lacks blobs"),
    "another digest for a blob": fails(
        "PUT blob", edited(lambda _, a: a.saying(Docker_Content_Digest=WRONG)), "stored sha256:", times=1, twice=1
    ),
    "another digest for a manifest": fails(
        "PUT manifest", edited(lambda _, a: a.saying(Docker_Content_Digest=WRONG)), "sha256:", times=1
    ),
    "no digest for a blob": passes("PUT blob", edited(lambda _, a: a.without("docker-content-digest")), times=99),
    "no digest for a manifest": passes(
        "PUT manifest", edited(lambda _, a: a.without("docker-content-digest")), times=99
    ),
    "no digest for a tag": passes(
        "HEAD tag", edited(lambda _, a: a.without("docker-content-digest")), knows=False, times=99
    ),
    "no location after a blob": passes("PUT blob", edited(lambda _, a: a.without("location")), times=99),
    "no location for an upload": fails("POST upload", edited(lambda _, a: a.without("location")), "no Location"),
    "a known layer is said to be missing": passes(
        "PUT manifest", answer(400, "MANIFEST_BLOB_UNKNOWN", detail={"digest": BASE.descriptor.digest})
    ),
    "something is said to be missing": passes("PUT manifest", answer(400, "MANIFEST_BLOB_UNKNOWN")),
    "an image is said to be missing at its tag": passes("PUT tag", answer(400, "MANIFEST_UNKNOWN")),
    "an upload that the registry forgot": passes("PUT blob", answer(404, "BLOB_UPLOAD_UNKNOWN")),
    "a large upload that the registry forgot": passes(
        "PUT blob", answer(404, "BLOB_UPLOAD_UNKNOWN"), large=True, path="sha256"
    ),
    "a blob whose digest is said to be wrong": fails("PUT blob", answer(400, "DIGEST_INVALID"), "other bytes"),
    # Locations and redirects
    "a relative location": passes("POST upload", edited(lambda p, a: placed(p, a, "")), times=99),
    "an absolute location": passes(
        "POST upload", edited(lambda p, a: placed(p, a, f"http://{p.proxy.host}")), times=99
    ),
    "a location on another host": passes(
        "POST upload", edited(lambda p, a: placed(p, a, f"http://{p.proxy.upstream}")), times=99
    ),
    "a location that is none": fails("POST upload", edited(lambda _, a: a.saying(Location="http://[")), "location"),
    "a location of another kind": fails(
        "POST upload", edited(lambda _, a: a.saying(Location="file:///etc/x")), "location"
    ),
    "a blob that is redirected": passes("PUT blob", to_itself()),
    "a redirect without end": fails("PUT manifest", to_itself(), "redirects without end"),
    "a tag that is redirected to another host": fails(
        "PUT tag", answer(307, headers={"Location": "http://127.0.0.2:9/v2/"}), "status 307", path="/b$"
    ),
    # Mounts
    "a mount that becomes an upload": passes(
        "POST mount", as_if_asked(lambda target: target.partition("?")[0]), times=99, apart=True
    ),
    "a mount that is refused": passes("POST mount", answer(405), times=99, apart=True),
    "a mount from what cannot be seen": passes("POST mount", answer(401), times=99, apart=True),
    "a mount that fails": passes("POST mount", answer(500), times=2, apart=True),
    "a mount that breaks": passes("POST mount", lost(), apart=True),
    "a mount that is said to be done": passes("POST mount", liar(), times=2, apart=True),
    "a repository that may not be written": fails(
        "POST (mount|upload)|PUT .*", answer(403, "DENIED"), "denies access", path="/b/", apart=True
    ),
    # Rights
    "a tag that is protected": fails("PUT tag", answer(403, "DENIED"), "moved, and put back: 2", path="/b$"),
    "a tag that exists already": fails("PUT tag", answer(400, "TAG_INVALID"), "moved, and put back: 2", path="/a$"),
    "a tag in another repository": fails(
        "PUT tag", answer(403, "DENIED"), "moved, and put back: 2", path="/c$", apart=True
    ),
    "no right at a blob": fails("PUT blob", answer(403, "DENIED"), "denies access"),
    "401 in the middle of an upload": fails("PUT blob", answer(401, "UNAUTHORIZED"), "denies access"),
}

# Tokens: a server of them stands in the same place, and all requests need one.
TOKEN_ROWS: Mapping[str, Row] = {
    "a token that ends in the middle of an upload": passes("PUT blob", expired()),
    "a token that ends between two uploads": passes("POST upload", expired(), first=3),
    "a token that ends among the manifests": passes("PUT manifest", expired(), first=2),
    "a token that ends among the tags": passes("PUT tag", expired(), first=2),
    "a token that ends again and again": fails("PUT manifest", expired(), "denies access"),
    "tokens that end in the middle of a large upload": passes("PATCH upload", expired(), large=True),
    "a token server that fails for a moment": passes("GET token", answer(503), times=2),
    "a token server with a limit": passes("GET token", answer(429, headers=after("2"))),
    "a token server that breaks off": passes("GET token", cut()),
    "a token server that fails for good": fails("GET token", answer(503), "fails again and again"),
    "a token server that gives no tokens": fails("GET token", raw(HTML), "token"),
    "a token server that refuses": fails("GET token", answer(403, "DENIED"), "denies access"),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_a_fault_leaves_a_whole_release_or_the_one_before(row: Row) -> None:
    await run(row, needs_tokens=False)


@pytest.mark.parametrize("row", TOKEN_ROWS.values(), ids=TOKEN_ROWS)
async def test_a_fault_of_tokens_does_so_too(row: Row) -> None:
    await run(row, needs_tokens=True)


def test_the_table_is_long_enough() -> None:
    assert len(ROWS) + len(TOKEN_ROWS) >= 40


async def run(row: Row, *, needs_tokens: bool) -> None:
    """Ship one release as it should be, another through the fault, and that one again if it failed."""
    fault = row.fault.anew()
    async with FaultyProxy(load_host().registry) as proxy:
        shop = Shop(proxy, f"faults/{secrets.token_hex(6)}", is_apart=row.apart)
        old, new = family("core 1"), family("core 2", size=RESUMABLE + 12_345 if row.large else SIZE)
        assert await shop.ship(old) is None
        before = await shop.tags()
        assert before == digests(old)
        if not row.knows:
            shop.receipts = {}
        proxy.needs_tokens = needs_tokens
        proxy.tokens.clear()
        proxy.faults.append(fault)
        error = await shop.ship(new)
        assert fault.struck, "nothing went wrong"
        if row.is_done:
            assert error is None, (error, error.notes)
        else:
            assert error is not None
            assert row.says in "\n".join((error.message, *error.notes))
            tags = await shop.tags()
            assert tags == before or (
                row.is_final and all(tags[one] in (before[one], digests(new)[one]) for one in tags)
            )
            proxy.faults.clear()
            await proxy.open()
            assert await shop.ship(new) is None
        assert await shop.tags() == digests(new)
        await shop.check(new)
        again = [place for place, count in proxy.uploads().items() if count > 1]
        assert len(again) == row.twice
        assert max(proxy.uploads().values()) <= 2
