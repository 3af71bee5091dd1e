"""Authentication against the fake: who is asked for what, how often, and what is said when it is not enough."""

from __future__ import annotations

import asyncio

import pytest

from buildonce.errors import AuthenticationError, RegistryUnavailable
from buildonce.oci import OCI_LAYER_GZIP, OCI_MANIFEST
from buildonce.reference import Repository
from buildonce.store.protocol import Outcome
from buildonce.store.registry import RegistrySession, RegistryStore
from buildonce.store.registry.challenges import Credential, IdentityToken, Password, RegistryToken
from buildonce.store.streams import blob_of_bytes
from buildonce.tasks import together
from tests.fakes import registry as fake
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import FakeClock, Known, image, new_session

BOB = Password(user="bob", secret="s3cret", source="`auths` in config.json, user `bob`")
USERS = {"bob": "s3cret"}


def bearer(**more: object) -> FakeRegistry:
    return FakeRegistry(auth="bearer", users=USERS, **more)  # type: ignore[arg-type]


def session_of(credential: Credential | None, clock: FakeClock | None = None) -> RegistrySession:
    return new_session(clock, credentials=Known(credential))


async def push(registry: FakeRegistry, session: RegistrySession, name: str = "app") -> None:
    store = RegistryStore(Repository(registry.host, name), session)
    one = image(name)
    await together(store.put_blob(blob) for blob in one.blobs)
    await store.put_manifest(one.content, OCI_MANIFEST, tag="v1")


async def test_one_challenge_and_one_token_serve_a_whole_push() -> None:
    async with bearer() as registry, session_of(BOB) as session:
        await push(registry, session)
        assert len(registry.requests("GET", "/token")) == 1
        assert [entry.status for entry in registry.log].count(401) == 1
        assert len(registry.log) == 2 + 5
        assert registry.requests("GET", "/token")[0].query == {"service": "fake", "scope": "repository:app:pull,push"}


async def test_each_repository_gets_one_token_and_no_more_challenges() -> None:
    async with bearer() as registry, session_of(BOB) as session:
        await asyncio.gather(*(push(registry, session, name) for name in ("a", "b", "c")))
        assert len(registry.requests("GET", "/token")) == 3
        assert [entry.status for entry in registry.log].count(401) == 1


async def test_a_mount_asks_for_both_repositories_in_one_token() -> None:
    async with bearer() as registry, session_of(BOB) as session:
        registry.add_blob("base", b"layer")
        blob = blob_of_bytes(b"layer", OCI_LAYER_GZIP, origins=(Repository(registry.host, "base"),))
        assert await RegistryStore(Repository(registry.host, "app"), session).put_blob(blob) is Outcome.MOUNTED
        grants = registry.valid_tokens["token-1"]
        assert grants == {
            ("repository:app", "pull"),
            ("repository:app", "push"),
            ("repository:base", "pull"),
        }
        await RegistryStore(Repository(registry.host, "app"), session).put_blob(blob_of_bytes(b"x", OCI_LAYER_GZIP))
        assert len(registry.requests("GET", "/token")) == 1


async def test_basic_is_sent_after_the_challenge_only() -> None:
    async with FakeRegistry(auth="basic", users=USERS) as registry, session_of(BOB) as session:
        await push(registry, session)
        assert "authorization" not in registry.log[0].headers
        assert all("authorization" in entry.headers for entry in registry.log[1:])
        assert len(registry.log) == 6


async def test_a_token_that_is_no_longer_taken_is_replaced_once() -> None:
    async with bearer() as registry, session_of(BOB) as session:
        await push(registry, session)
        registry.valid_tokens.clear()
        registry.log.clear()
        await push(registry, session)
        assert [(entry.method, entry.status) for entry in registry.log] == [("PUT", 401), ("GET", 200), ("PUT", 201)]


async def test_many_refused_requests_share_one_new_token() -> None:
    async with bearer() as registry, session_of(BOB) as session:
        await push(registry, session)
        registry.valid_tokens.clear()
        registry.log.clear()
        store = RegistryStore(Repository(registry.host, "app"), session)
        await asyncio.gather(*(store.put_blob(blob_of_bytes(bytes([n]), OCI_LAYER_GZIP)) for n in range(6)))
        assert len(registry.requests("GET", "/token")) == 1


async def test_a_token_is_renewed_before_it_expires() -> None:
    clock = FakeClock()
    async with bearer() as registry, session_of(BOB, clock) as session:
        await push(registry, session)
        clock.time += 280
        registry.log.clear()
        await push(registry, session)
        assert [entry.status for entry in registry.log].count(401) == 0
        assert len(registry.requests("GET", "/token")) == 1


async def test_without_an_expiry_a_token_lives_for_a_minute() -> None:
    clock = FakeClock()
    async with bearer() as registry, session_of(BOB, clock) as session:
        registry.expires_in = None
        await push(registry, session)
        clock.time += 61
        await push(registry, session)
        assert len(registry.requests("GET", "/token")) == 2


@pytest.mark.parametrize("auth", ["basic", "bearer"])
async def test_a_wrong_password_says_where_it_came_from_and_what_to_do(auth: str) -> None:
    wrong = Password(user="bob", secret="hunter2", source=BOB.source)
    async with FakeRegistry(auth=auth, users=USERS) as registry, session_of(wrong) as session:
        with pytest.raises(AuthenticationError) as caught:
            await push(registry, session)
        text = str(caught.value)
        assert f"{registry.host} denies access to `app`" in text
        assert "credentials: `auths` in config.json, user `bob`" in text
        assert f"docker login {registry.host}" in text
        assert "hunter2" not in text
        assert caught.value.exit_code == 4
        assert len(registry.log) <= 4


@pytest.mark.parametrize("auth", ["basic", "bearer"])
async def test_no_credentials_are_said_to_be_none(auth: str) -> None:
    async with FakeRegistry(auth=auth, users=USERS, anonymous=frozenset({"pull"})) as registry:
        registry.add_manifest("app", image().content, OCI_MANIFEST, tag="v1")
        async with session_of(None) as session:
            assert await RegistryStore(Repository(registry.host, "app"), session).get_manifest("v1")
            with pytest.raises(AuthenticationError, match="credentials: none found"):
                await push(registry, session)


async def test_an_identity_token_is_exchanged_by_post() -> None:
    token = IdentityToken(secret="refresh-me", source="`docker-credential-x`")
    async with bearer(identity_tokens=frozenset({"refresh-me"})) as registry, session_of(token) as session:
        await push(registry, session)
        (exchange,) = registry.requests("POST", "/token")
        assert b"grant_type=refresh_token" in exchange.body
        assert "authorization" not in exchange.headers


async def test_a_registry_token_is_sent_as_it_is() -> None:
    token = RegistryToken(secret="given", source="config.json")
    async with bearer() as registry, session_of(token) as session:
        registry.valid_tokens["given"] = frozenset({("repository:app", "push"), ("repository:app", "pull")})
        await push(registry, session)
        assert registry.requests("GET", "/token") == []


@pytest.mark.parametrize("realm", ["ftp://127.0.0.1/token", "http://user@127.0.0.1/token", "/token", ""])
async def test_a_realm_that_is_no_address_is_refused(realm: str) -> None:
    async with bearer() as registry, session_of(BOB) as session:
        registry.realm = realm or "nothing"
        with pytest.raises(RegistryUnavailable, match="realm cannot be used"):
            await push(registry, session)


async def test_a_token_server_that_fails_for_a_moment_is_asked_again() -> None:
    async with bearer() as registry, session_of(BOB) as session:
        registry.faults.append(fake.status(503, path="/token"))
        await push(registry, session)


@pytest.mark.parametrize("content", [b"no json", b"{}", b'{"token": "a\\nb"}'])
async def test_a_token_server_without_a_token_is_an_error(content: bytes) -> None:
    async with bearer() as registry, session_of(BOB) as session:
        registry.faults.append(fake.instead(content, path="/token"))
        with pytest.raises(RegistryUnavailable, match="does not answer as a registry"):
            await push(registry, session)


async def test_a_mount_that_the_token_server_refuses_becomes_an_upload() -> None:
    async with bearer() as registry, session_of(BOB) as session:
        registry.add_blob("base", b"layer")
        registry.faults.append(fake.status(403, path="/token"))
        blob = blob_of_bytes(b"layer", OCI_LAYER_GZIP, origins=(Repository(registry.host, "base"),))
        assert await RegistryStore(Repository(registry.host, "app"), session).put_blob(blob) is Outcome.UPLOADED
