"""Everything that goes wrong on the way to a registry, against the fake."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from buildonce.errors import (
    AuthenticationError,
    IntegrityError,
    MissingBlobs,
    RegistryUnavailable,
    StoreError,
)
from buildonce.oci import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, digest_of
from buildonce.reference import Repository
from buildonce.store.documents import LIMIT
from buildonce.store.protocol import Blob, Outcome
from buildonce.store.registry import RegistryOptions, RegistrySession, RegistryStore
from buildonce.store.registry.challenges import Password
from buildonce.store.registry.retrying import RetryPolicy
from buildonce.store.registry.transport import Timeouts
from buildonce.store.streams import blob_of_bytes
from tests.fakes import registry as fake
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import FakeClock, Known, collected, image, new_session

BIG = os.urandom(3 * 1024 * 1024 + 5)


@pytest.fixture
def store(registry: FakeRegistry, session: RegistrySession) -> RegistryStore:
    return RegistryStore(Repository(registry.host, "app"), session)


def layer(content: bytes = b"layer", *origins: Repository) -> Blob:
    return blob_of_bytes(content, OCI_LAYER_GZIP, origins=origins)


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
async def test_a_passing_fault_is_retried(
    registry: FakeRegistry, store: RegistryStore, clock: FakeClock, code: int
) -> None:
    registry.faults.append(fake.status(code, method="POST", times=2))
    assert await store.put_blob(layer()) is Outcome.UPLOADED
    assert len(registry.log) == 4
    assert clock.slept[:2] == pytest.approx([0.15, 0.3])


@pytest.mark.parametrize("code", [400, 405, 413, 501])
async def test_a_lasting_fault_is_not_retried(registry: FakeRegistry, store: RegistryStore, code: int) -> None:
    registry.faults.append(fake.status(code, errors=[{"code": "UNSUPPORTED", "message": "no\nway"}]))
    with pytest.raises(StoreError) as caught:
        await store.put_blob(layer())
    assert len(registry.log) == 1
    assert f"POST {registry.url}/v2/app/blobs/uploads/: status {code}, UNSUPPORTED: no way" in str(caught.value)


async def test_attempts_end_and_the_error_tells_all(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.status(503, errors=[{"code": "UNAVAILABLE", "message": "busy"}], times=99))
    with pytest.raises(RegistryUnavailable) as caught:
        await store.get_manifest("v1")
    assert caught.value.exit_code == 4
    assert len(registry.log) == 5
    text = str(caught.value)
    assert f"GET {registry.url}/v2/app/manifests/v1: status 503, UNAVAILABLE: busy" in text
    assert "tried 5 times" in text


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.1), ("12.5ms", 0.1125), ("2s", 2.1), ("Sun, 01 Nov 2026 12:00:30 GMT", 30.1)],
)
async def test_the_wait_that_a_registry_asks_for_is_kept(
    registry: FakeRegistry, store: RegistryStore, clock: FakeClock, header: str, seconds: float
) -> None:
    registry.faults.append(fake.status(429, headers={"Retry-After": header}))
    assert await store.get_manifest("v1") is None
    assert clock.slept == pytest.approx([seconds])


async def test_a_wait_beyond_all_patience_is_an_error(
    registry: FakeRegistry, store: RegistryStore, clock: FakeClock
) -> None:
    registry.faults.append(fake.status(429, headers={"Retry-After": "21600"}))
    with pytest.raises(RegistryUnavailable, match="21600 seconds"):
        await store.get_manifest("v1")
    assert clock.slept == []


async def test_a_secondary_limit_with_status_403_is_a_wait(
    registry: FakeRegistry, store: RegistryStore, clock: FakeClock
) -> None:
    registry.faults.append(fake.status(403, errors=[{"code": "TOOMANYREQUESTS"}]))
    assert await store.get_manifest("v1") is None
    assert len(clock.slept) == 1


async def test_a_connection_that_breaks_during_an_upload_starts_it_again(
    registry: FakeRegistry, store: RegistryStore
) -> None:
    registry.faults.append(fake.reset(method="PUT"))
    opened = 0

    def opening() -> AsyncIterator[bytes]:
        nonlocal opened
        opened += 1
        return blob_of_bytes(BIG, OCI_LAYER_GZIP).open()

    blob = Blob(descriptor=layer(BIG).descriptor, open=opening)
    assert await store.put_blob(blob) is Outcome.UPLOADED
    assert opened == 2
    assert [entry.method for entry in registry.log] == ["POST", "PUT", "HEAD", "POST", "PUT"]
    assert registry.repository("app").blobs[blob.descriptor.digest] == BIG


async def test_a_forgotten_upload_session_starts_again(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.status(404, errors=[{"code": "BLOB_UPLOAD_UNKNOWN"}], method="PUT"))
    assert await store.put_blob(layer()) is Outcome.UPLOADED
    assert [entry.method for entry in registry.log] == ["POST", "PUT", "POST", "PUT"]


async def test_a_failing_source_fails_the_upload_with_its_own_error(
    registry: FakeRegistry, store: RegistryStore
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"la"
        raise IntegrityError("the source is broken")

    with pytest.raises(IntegrityError, match="the source is broken"):
        await store.put_blob(Blob(descriptor=layer().descriptor, open=broken))
    assert len(registry.requests("POST")) == 1


@pytest.mark.parametrize("abort", [False, True], ids=["closed", "reset"])
async def test_a_download_that_breaks_goes_on_where_it_broke(
    registry: FakeRegistry, store: RegistryStore, abort: bool
) -> None:
    digest = registry.add_blob("app", BIG)
    registry.faults.append(fake.truncated(1_000_000, abort=abort, path=digest))
    assert await collected(store.read_blob(layer(BIG).descriptor)) == BIG
    assert len(registry.log) == 2
    received = int(registry.log[1].headers["range"].removeprefix("bytes=").partition("-")[0])
    assert 0 < received <= 1_000_000


async def test_a_server_without_ranges_sends_the_start_again(registry: FakeRegistry, store: RegistryStore) -> None:
    digest = registry.add_blob("app", BIG)
    registry.faults += [fake.truncated(500_000, path=digest), fake.instead(BIG, path=digest)]
    assert await collected(store.read_blob(layer(BIG).descriptor)) == BIG


async def test_a_blob_that_always_ends_early_is_an_integrity_error(
    registry: FakeRegistry, store: RegistryStore
) -> None:
    digest = registry.add_blob("app", b"x" * 1000)
    registry.faults.append(fake.truncated(0, path=digest, times=99))
    with pytest.raises(IntegrityError, match="less"):
        await collected(store.read_blob(layer(b"x" * 1000).descriptor))
    assert len(registry.log) == 5


@pytest.mark.parametrize("content", [b"y" * 1000, b"x" * 999, b"x" * 1001, b""])
async def test_a_blob_with_other_content_is_an_integrity_error(
    registry: FakeRegistry, store: RegistryStore, content: bytes
) -> None:
    registry.faults.append(fake.instead(content, times=99))
    with pytest.raises(IntegrityError):
        await collected(store.read_blob(layer(b"x" * 1000).descriptor))


async def test_a_blob_that_is_not_there_is_an_error(registry: FakeRegistry, store: RegistryStore) -> None:
    with pytest.raises(StoreError, match="BLOB_UNKNOWN"):
        await collected(store.read_blob(layer().descriptor))


async def test_a_list_of_tags_without_end_is_an_error(registry: FakeRegistry, store: RegistryStore) -> None:
    headers = {"Link": '</v2/app/tags/list?n=1&last=a>; rel="next"'}
    registry.faults.append(fake.instead(b'{"name":"app","tags":["a"]}', headers=headers, times=10_000))
    with pytest.raises(StoreError, match="more tags than"):
        await store.tags()
    assert len(registry.log) <= 200


async def test_a_list_of_tags_that_is_none_is_an_error(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.instead(b"<html>", times=99))
    with pytest.raises(RegistryUnavailable, match="does not answer as a registry"):
        await store.tags()


async def test_a_manifest_with_another_digest_is_refused(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.instead(image("other").content, headers={"Content-Type": OCI_MANIFEST}))
    with pytest.raises(IntegrityError, match="other content"):
        await store.get_manifest(digest_of(image("one").content))


async def test_a_manifest_that_its_header_contradicts_is_refused(registry: FakeRegistry, store: RegistryStore) -> None:
    headers = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": digest_of(b"other")}
    registry.faults.append(fake.instead(image().content, headers=headers))
    with pytest.raises(IntegrityError, match="other content"):
        await store.get_manifest("v1")


async def test_a_manifest_beyond_the_limit_is_not_read_to_its_end(
    registry: FakeRegistry, store: RegistryStore, session: RegistrySession
) -> None:
    registry.faults.append(fake.instead(b" " * (4 * LIMIT)))
    with pytest.raises(IntegrityError, match="larger"):
        await store.get_manifest("v1")
    assert session.bytes_down < 2 * LIMIT


async def test_a_web_page_is_no_registry(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.instead(b"<html>", headers={"Content-Type": "text/html; charset=utf-8"}))
    with pytest.raises(RegistryUnavailable, match="does not answer as a registry"):
        await store.get_manifest("v1")


@pytest.mark.parametrize("code", ["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"])
@pytest.mark.parametrize("form", ["text", "object", "none"])
async def test_missing_parts_are_named(registry: FakeRegistry, store: RegistryStore, code: str, form: str) -> None:
    digest = digest_of(b"part")
    detail = {"text": digest, "object": {"Digest": digest}, "none": None}[form]
    registry.faults.append(fake.status(400, errors=[{"code": code, "message": "unknown", "detail": detail}]))
    with pytest.raises(MissingBlobs) as caught:
        await store.put_manifest(image().content, OCI_MANIFEST, tag="v1")
    assert caught.value.digests == (() if form == "none" else (digest,))


async def test_what_a_registry_lost_is_sent_again(registry: FakeRegistry, store: RegistryStore) -> None:
    one = image()
    await asyncio.gather(*(store.put_blob(blob) for blob in one.blobs))
    del registry.repository("app").blobs[one.blobs[1].descriptor.digest]
    with pytest.raises(MissingBlobs):
        await store.put_manifest(one.content, OCI_MANIFEST)
    assert await store.put_blob(one.blobs[0]) is Outcome.EXISTED
    assert await store.put_blob(one.blobs[1]) is Outcome.UPLOADED
    await store.put_manifest(one.content, OCI_MANIFEST)


# Locations and redirects


async def test_an_absolute_location_is_used_as_it_is(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.location = lambda path: registry.url + path
    assert await store.put_blob(layer()) is Outcome.UPLOADED


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("ftp://example.org/x", "not an http"),
        ("http://user:secret@127.0.0.1/x", "carries a user name"),
        ("http://[", "not a URL"),
        ("http://127.0.0.1:99999999/x", "not a URL"),
        ("", "no Location"),
    ],
)
async def test_an_unusable_location_is_refused(
    registry: FakeRegistry, store: RegistryStore, location: str, reason: str
) -> None:
    registry.location = lambda _: location
    with pytest.raises(RegistryUnavailable, match=reason) as caught:
        await store.put_blob(layer())
    assert "secret" not in str(caught.value)
    assert len(registry.log) == 1


async def test_a_foreign_location_gets_the_blob_without_credentials(clock: FakeClock) -> None:
    credentials = Known(Password(user="bob", secret="s3cret", source="test"))
    async with (
        FakeRegistry(auth="basic", users={"bob": "s3cret"}) as registry,
        FakeRegistry() as other,
        new_session(clock, credentials=credentials) as session,
    ):
        registry.location = lambda path: other.url + path
        other.faults.append(fake.status(201, method="PUT"))
        store = RegistryStore(Repository(registry.host, "app"), session)
        assert await store.put_blob(layer()) is Outcome.UPLOADED
        assert "authorization" in registry.log[-1].headers
        assert [entry.method for entry in other.log] == ["PUT"]
        assert "authorization" not in other.log[0].headers
        assert other.log[0].body == b"layer"


@pytest.mark.parametrize("auth", ["basic", "bearer"])
async def test_a_redirect_to_another_host_carries_no_credentials(clock: FakeClock, auth: str) -> None:
    credentials = Known(Password(user="bob", secret="s3cret", source="test"))
    async with (
        FakeRegistry(auth=auth, users={"bob": "s3cret"}) as registry,
        FakeRegistry() as other,
        new_session(clock, credentials=credentials) as session,
    ):
        digest = other.add_blob("app", b"layer")
        registry.faults.append(
            fake.redirect(lambda _: f"{other.url}/v2/app/blobs/{digest}?X-Signature=abc%2F", path="/blobs/")
        )
        # The first request goes unauthenticated and is answered with a challenge.
        await RegistryStore(Repository(registry.host, "app"), session).get_manifest("v1")
        store = RegistryStore(Repository(registry.host, "app"), session)
        assert await collected(store.read_blob(layer().descriptor)) == b"layer"
        assert "authorization" in registry.requests("GET", "/blobs/")[0].headers
        assert "authorization" not in other.log[0].headers
        assert other.log[0].query["X-Signature"] == "abc/"


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_redirect_to_what_is_no_url_is_an_error(
    registry: FakeRegistry, store: RegistryStore, method: str
) -> None:
    registry.faults.append(fake.redirect(lambda _: "http://[", method=method))
    with pytest.raises(RegistryUnavailable, match="not a URL"):
        await (store.get_manifest("v1") if method == "GET" else store.put_blob(layer()))


async def test_redirects_without_end_are_cut(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.redirect(lambda request: str(request.url), times=99))
    with pytest.raises(RegistryUnavailable, match="without end"):
        await store.get_manifest("v1")
    assert len(registry.log) == 5


# Mounts


@pytest.fixture
def origin(registry: FakeRegistry) -> Repository:
    registry.add_blob("base", b"layer")
    return Repository(registry.host, "base")


async def test_a_mount_is_one_request(registry: FakeRegistry, store: RegistryStore, origin: Repository) -> None:
    assert await store.put_blob(layer(b"layer", origin)) is Outcome.MOUNTED
    assert [str(entry) for entry in registry.log] == ["POST /v2/app/blobs/uploads/ 201"]


async def test_a_mount_that_opens_an_upload_goes_on_there(
    registry: FakeRegistry, store: RegistryStore, origin: Repository
) -> None:
    registry.mounts = False
    assert await store.put_blob(layer(b"layer", origin)) is Outcome.UPLOADED
    assert [entry.method for entry in registry.log] == ["POST", "PUT"]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405])
async def test_a_refused_mount_becomes_an_upload(
    registry: FakeRegistry, store: RegistryStore, origin: Repository, code: int
) -> None:
    registry.faults.append(fake.status(code, method="POST"))
    assert await store.put_blob(layer(b"layer", origin)) is Outcome.UPLOADED
    assert [(entry.method, "mount" in entry.query) for entry in registry.log] == [
        ("POST", True),
        ("POST", False),
        ("PUT", False),
    ]


async def test_an_origin_in_another_registry_is_no_mount(registry: FakeRegistry, store: RegistryStore) -> None:
    blob = layer(b"layer", Repository("elsewhere.example", "base"))
    assert await store.put_blob(blob) is Outcome.UPLOADED
    assert "mount" not in registry.log[0].query


async def test_a_target_that_holds_the_blob_needs_no_request(registry: FakeRegistry, store: RegistryStore) -> None:
    assert await store.put_blob(layer(b"layer", store.repository)) is Outcome.EXISTED
    assert registry.log == []


# Connections


async def test_a_closed_port_is_a_registry_that_is_unavailable(session: RegistrySession) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(RegistryUnavailable, match=f"127.0.0.1:{port} cannot be used: it does not accept") as caught:
        await RegistryStore(Repository(f"127.0.0.1:{port}", "app"), session).get_manifest("v1")
    assert "tried 5 times" in str(caught.value)
    assert caught.value.exit_code == 4


async def test_a_name_that_does_not_exist_is_a_registry_that_is_unavailable(session: RegistrySession) -> None:
    with pytest.raises(RegistryUnavailable, match=r"no-such-host\.invalid cannot be used: its name cannot be resolved"):
        await RegistryStore(Repository("no-such-host.invalid", "app"), session).get_manifest("v1")


async def test_tls_that_is_none_is_said_and_not_retried(registry: FakeRegistry, clock: FakeClock) -> None:
    from buildonce.store.registry.endpoints import Endpoint

    async with new_session(clock) as session:
        store = RegistryStore(Repository(registry.host, "app"), session)
        store._endpoint = Endpoint(f"https://{registry.host}", registry.host)
        with pytest.raises(RegistryUnavailable, match="TLS"):
            await store.get_manifest("v1")
    assert clock.slept == []


async def test_a_server_that_says_nothing_is_given_up(registry: FakeRegistry, clock: FakeClock) -> None:
    options = RegistryOptions(timeouts=Timeouts(stall=0.05), retrying=RetryPolicy(attempts=2))
    registry.faults.append(fake.stall(0.4, times=2))
    async with new_session(clock, options=options) as session:
        with pytest.raises(RegistryUnavailable, match="in time"):
            await RegistryStore(Repository(registry.host, "app"), session).get_manifest("v1")


async def test_an_upload_that_nobody_takes_is_given_up(clock: FakeClock) -> None:
    async def swallow_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 202 Accepted\r\nLocation: /v2/app/blobs/uploads/1\r\nContent-Length: 0\r\n\r\n")
        await given_up.wait()
        writer.transport.abort()

    given_up = asyncio.Event()
    server = await asyncio.start_server(swallow_nothing, "127.0.0.1", 0, limit=1024)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    options = RegistryOptions(timeouts=Timeouts(stall=0.1), retrying=RetryPolicy(attempts=1))
    async with server, new_session(clock, options=options) as session:
        with pytest.raises(RegistryUnavailable, match="in time"):
            await RegistryStore(Repository(host, "app"), session).put_blob(layer(b"x" * 50_000_000))
        given_up.set()
        await asyncio.sleep(0.01)


async def test_a_cancelled_upload_can_be_asked_for_again(registry: FakeRegistry, store: RegistryStore) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"la"
        started.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(store.put_blob(Blob(descriptor=layer().descriptor, open=endless)))
    await started.wait()
    other = asyncio.create_task(store.put_blob(layer()))
    await asyncio.sleep(0.01)
    task.cancel()
    assert await other is Outcome.UPLOADED


# Mirrors


@pytest.fixture
async def mirrored(clock: FakeClock, registry: FakeRegistry) -> AsyncIterator[tuple[FakeRegistry, RegistryStore]]:
    from buildonce.store.registry.endpoints import mirrors_from_environment

    async with FakeRegistry() as mirror:
        mirrors = mirrors_from_environment({"BUILDONCE_MIRRORS": f"{registry.host}={mirror.url}/cache/"})
        async with new_session(clock, options=RegistryOptions(mirrors=mirrors)) as session:
            yield mirror, RegistryStore(Repository(registry.host, "app"), session)


async def test_a_mirror_answers_first(registry: FakeRegistry, mirrored: tuple[FakeRegistry, RegistryStore]) -> None:
    mirror, store = mirrored
    mirror.add_manifest("cache/app", image().content, OCI_MANIFEST, tag="v1")
    mirror.add_blob("cache/app", b"layer")
    assert await store.get_manifest("v1")
    assert await collected(store.read_blob(layer().descriptor)) == b"layer"
    assert registry.log == []


async def test_what_a_mirror_lacks_comes_from_the_registry(
    registry: FakeRegistry, mirrored: tuple[FakeRegistry, RegistryStore]
) -> None:
    mirror, store = mirrored
    registry.add_manifest("app", image().content, OCI_MANIFEST, tag="v1")
    registry.add_blob("app", b"layer")
    assert await store.get_manifest("v1")
    assert await collected(store.read_blob(layer().descriptor)) == b"layer"
    assert len(mirror.log) == 2


async def test_a_failing_mirror_is_not_asked_again(
    registry: FakeRegistry, mirrored: tuple[FakeRegistry, RegistryStore]
) -> None:
    mirror, store = mirrored
    mirror.faults.append(fake.status(500, times=99))
    registry.add_manifest("app", image().content, OCI_MANIFEST, tag="v1")
    assert await store.get_manifest("v1")
    assert await store.get_manifest("v1")
    assert len(mirror.log) == 2


async def test_a_download_that_a_mirror_breaks_off_goes_on_at_the_registry(
    registry: FakeRegistry, mirrored: tuple[FakeRegistry, RegistryStore]
) -> None:
    mirror, store = mirrored
    mirror.add_blob("cache/app", BIG)
    registry.add_blob("app", BIG)
    mirror.faults += [fake.truncated(700_000), fake.status(500, times=99)]
    assert await collected(store.read_blob(layer(BIG).descriptor)) == BIG
    assert registry.log[0].headers["range"].startswith("bytes=")
    assert len(mirror.log) == 2
    assert await collected(store.read_blob(layer(BIG).descriptor)) == BIG
    assert len(mirror.log) == 2


async def test_a_mirror_with_a_forged_manifest_is_passed_over(
    registry: FakeRegistry, mirrored: tuple[FakeRegistry, RegistryStore]
) -> None:
    mirror, store = mirrored
    content = image().content
    registry.add_manifest("app", content, OCI_MANIFEST)
    mirror.faults.append(fake.instead(image("forged").content, headers={"Content-Type": OCI_MANIFEST}))
    stored = await store.get_manifest(digest_of(content))
    assert stored is not None
    assert stored.content == content


async def test_nothing_is_written_to_a_mirror_nor_read_there_unasked(
    registry: FakeRegistry, mirrored: tuple[FakeRegistry, RegistryStore]
) -> None:
    mirror, store = mirrored
    one = image()
    for blob in one.blobs:
        await store.put_blob(blob)
    await store.put_manifest(one.content, OCI_MANIFEST, tag="v1")
    assert await RegistryStore(store.repository, store.session, mirrored=False).head_manifest("v1")
    assert mirror.log == []


# Older and odd servers


async def test_a_head_without_a_digest_is_asked_again_by_get(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.add_manifest("app", image().content, OCI_MANIFEST, tag="v1")
    registry.faults.append(fake.instead(b"", method="HEAD"))
    assert await store.head_manifest("v1") == digest_of(image().content)


async def test_a_server_without_head_is_asked_by_get(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.add_manifest("app", image().content, OCI_MANIFEST, tag="v1")
    registry.faults.append(fake.status(405, method="HEAD"))
    assert await store.head_manifest("v1") == digest_of(image().content)


async def test_a_registry_that_stores_something_else_is_found_out(registry: FakeRegistry, store: RegistryStore) -> None:
    headers = {"Docker-Content-Digest": digest_of(b"other")}
    registry.faults.append(fake.status(201, headers=headers, method="PUT"))
    with pytest.raises(IntegrityError):
        await store.put_blob(blob_of_bytes(b"{}", OCI_CONFIG))


async def test_a_denied_push_is_an_authentication_error(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.status(403, errors=[{"code": "DENIED", "message": "not yours"}], method="POST"))
    with pytest.raises(AuthenticationError, match="DENIED: not yours"):
        await store.put_blob(layer())


def test_the_default_options_are_patient_but_not_endless() -> None:
    policy = RegistryOptions().retrying
    assert policy.attempts * policy.ceiling < 60
    assert replace(policy, attempts=1).attempts == 1
