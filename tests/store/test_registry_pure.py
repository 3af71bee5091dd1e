"""The registry protocol without a network: addresses, challenges, waits, exchanges step by step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildonce.errors import IntegrityError, UsageError
from buildonce.oci import DOCKER_MANIFEST, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, digest_of
from buildonce.reference import Repository, parse_repository
from buildonce.store.documents import identify, referred
from buildonce.store.protocol import Outcome
from buildonce.store.registry import exchanges, uploads
from buildonce.store.registry.challenges import Challenge, Password, basic, parse_scopes, read_challenge, render_scopes
from buildonce.store.registry.endpoints import (
    Endpoint,
    endpoint_of,
    insecure_from_environment,
    mirrors_from_environment,
    redact_url,
    why_unsafe,
)
from buildonce.store.registry.faults import Misbehaved, read_complaints
from buildonce.store.registry.messages import Body, Exchange, Head, Kind, Request, Response
from buildonce.store.registry.retrying import parse_retry_after
from buildonce.store.registry.routes import proxy_for
from buildonce.store.streams import blob_of_bytes
from tests.fakes.sessions import image

HERE = Endpoint("https://r.example", "r.example")
ACCESS = exchanges.pushing(HERE, "org/app")
BLOB = blob_of_bytes(b"layer", OCI_LAYER_GZIP)


@pytest.mark.parametrize(
    ("registry", "origin"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("ghcr.io", "https://ghcr.io"),
        ("localhost", "http://localhost"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("127.9.9.9", "http://127.9.9.9"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000"),
        ("plain.example:5000", "http://plain.example:5000"),
        ("localhost.example", "https://localhost.example"),
    ],
)
def test_plain_http_is_for_loopback_and_for_named_hosts(registry: str, origin: str) -> None:
    insecure = insecure_from_environment({"BUILDONCE_INSECURE_REGISTRIES": "plain.example:5000, other.example"})
    assert endpoint_of(registry, insecure).origin == origin


def test_mirrors_are_read_from_the_environment() -> None:
    value = "docker.io=http://127.0.0.1:5000, docker.io=https://m.example/hub/,ghcr.io=https://m.example/ghcr"
    mirrors = mirrors_from_environment({"BUILDONCE_MIRRORS": value})
    assert [mirror.origin for mirror in mirrors["docker.io"]] == ["http://127.0.0.1:5000", "https://m.example"]
    mirror = mirrors["docker.io"][1]
    name = mirror.name(parse_repository("debian"))
    assert mirror.url(name, "manifests/v1") == "https://m.example/v2/hub/library/debian/manifests/v1"
    assert mirrors_from_environment({}) == {}


@pytest.mark.parametrize(
    "value",
    ["docker.io", "docker.io=m.example", "=http://m", "a=ftp://m", "a=http://u:p@m/", "a=http://[", "a=http://m:99999"],
)
def test_a_mirror_without_a_usable_url_is_a_usage_error(value: str) -> None:
    with pytest.raises(UsageError) as caught:
        mirrors_from_environment({"BUILDONCE_MIRRORS": value})
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "seen_from", "safe"),
    [
        ("https://cdn.example/x", "https://r.example", True),
        ("http://r.example/x", "https://r.example", False),
        ("http://cdn.example/x", "http://r.example", True),
        ("https://127.0.0.1/x", "https://r.example", False),
        ("https://localhost/x", "https://r.example", False),
        ("https://127.1/x", "https://r.example", False),
        ("https://2130706433/x", "https://r.example", False),
        ("https://[::1]/x", "https://r.example", False),
        ("https://[::ffff:127.0.0.1]/x", "https://r.example", False),
        ("http://169.254.169.254/latest", "http://r.example", False),
        ("http://127.0.0.1:9/x", "http://127.0.0.1:5000", True),
        ("http://u@127.0.0.1:9/x", "http://127.0.0.1:5000", False),
        ("file:///etc/passwd", "http://127.0.0.1:5000", False),
        ("https://[bad", "https://r.example", False),
    ],
)
def test_a_server_cannot_send_us_anywhere(url: str, seen_from: str, safe: bool) -> None:
    assert (why_unsafe(url, seen_from=seen_from) is None) is safe


def test_urls_in_messages_hold_no_secret() -> None:
    url = "https://user:pass@cdn.example/blob?X-Amz-Signature=abc&digest=sha256:12&scope=x"
    assert redact_url(url) == "https://cdn.example/blob?X-Amz-Signature=...&digest=sha256:12&scope=x"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("120", 120), ("1.5", 1.5), ("12.5ms", 0.0125), ("3s", 3), ("  7 ", 7),
        ("Sun, 01 Nov 2026 12:01:00 GMT", 60), ("Sun, 01 Nov 2026 11:00:00 GMT", 0),
        ("soon", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_retry_after_is_read_in_every_form(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, datetime(2026, 11, 1, 12, 0, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        (['Basic realm="x"'], Challenge(scheme="basic")),
        (["Basic"], Challenge(scheme="basic")),
        (["Negotiate", 'BASIC realm="x"'], Challenge(scheme="basic")),
        (["Negotiate, Basic realm=x"], Challenge(scheme="basic")),
        (
            ['Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"'],
            Challenge(
                scheme="bearer",
                realm="https://a/t",
                service="s",
                grants=frozenset({("repository:a/b", "pull"), ("repository:a/b", "push")}),
            ),
        ),
        (['Basic realm="x", Bearer realm="https://a/t"'], Challenge(scheme="bearer", realm="https://a/t")),
        (['bearer realm = "https://a/\\"t"'], Challenge(scheme="bearer", realm='https://a/"t')),
        (["Digest nonce=1"], None),
        ([], None),
    ],
)
def test_challenges_are_read(headers: list[str], challenge: Challenge | None) -> None:
    head = Head(status=401, headers=tuple(("www-authenticate", header) for header in headers))
    assert read_challenge(head) == challenge


@given(st.text(max_size=200))
def test_no_challenge_breaks_the_reader(header: str) -> None:
    read_challenge(Head(status=401, headers=(("www-authenticate", header),)))


@given(st.sets(st.tuples(st.sampled_from(["repository:a", "repository:b:c"]), st.sampled_from(["pull", "push"]))))
def test_scopes_come_back(grants: set[tuple[str, str]]) -> None:
    assert parse_scopes(" ".join(render_scopes(grants))) == grants


def test_scopes_to_be_written_come_first() -> None:
    grants = {("repository:a", "pull"), ("repository:b", "pull"), ("repository:b", "push")}
    assert render_scopes(grants) == ("repository:b:pull,push", "repository:a:pull")


def test_a_password_is_shown_by_no_repr() -> None:
    password = Password(user="bob", secret="s3cret", source="x")
    assert "s3cret" not in repr(password)
    assert basic(password) == "Basic Ym9iOnMzY3JldA=="
    request = Request(method="GET", url="https://x", kind=Kind.BLOB, access=ACCESS, headers={"Authorization": "s3cret"})
    assert "s3cret" not in repr(request)


def plain_upload() -> Exchange[Outcome]:
    return uploads.upload(
        ACCESS,
        BLOB.descriptor,
        Body(size=5, open=BLOB.open),
        uploads.Progress(),
        wish=uploads.Wish(),
        choose=lambda _: uploads.Way.PLAIN,
    )


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/v2/x/1", "https://r.example/v2/x/1?digest={digest}"),
        ("/v2/x/1?_state=a%2Fb%3D", "https://r.example/v2/x/1?_state=a%2Fb%3D&digest={digest}"),
        ("https://up.example/1?", "https://up.example/1?digest={digest}"),
        ("1#fragment", "https://r.example/v2/org/app/blobs/uploads/1?digest={digest}"),
    ],
)
def test_an_upload_location_keeps_what_it_has(location: str, url: str) -> None:
    exchange = plain_upload()
    start = next(exchange)
    put = exchange.send(Response(status=202, headers=(("location", location),)))
    assert start.url == "https://r.example/v2/org/app/blobs/uploads/"
    assert put.url == url.format(digest=BLOB.descriptor.digest.replace(":", "%3A"))
    with pytest.raises(StopIteration) as stop:
        exchange.send(Response(status=201))
    assert stop.value.value is Outcome.UPLOADED


def test_an_upload_location_without_tls_is_refused_with_its_likely_cause() -> None:
    exchange = plain_upload()
    next(exchange)
    with pytest.raises(Misbehaved, match="POST") as caught:
        exchange.send(Response(status=202, headers=(("location", "http://r.example/v2/x"),)))
    assert "X-Forwarded-Proto" in caught.value.line


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"errors": null}', b'{"errors": [{"code": 1}]}', b"\xff"])
def test_an_odd_error_body_has_no_complaints(body: bytes) -> None:
    assert read_complaints(Response(status=400, body=body)) == ()


def test_what_a_registry_says_is_made_harmless() -> None:
    body = b'{"errors": [{"code": "X", "message": "a\\u001b[31mb\\nc' + b"y" * 1000 + b'"}]}'
    (complaint,) = read_complaints(Response(status=400, body=body))
    assert complaint.message.startswith("a [31mb c")
    assert len(complaint.message) == 300


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("https://r.example/x", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://r.example/x", {"https_proxy": "p:3128"}, "http://p:3128"),
        ("https://r.example/x", {"ALL_PROXY": "http://p"}, "http://p"),
        ("https://r.example/x", {"HTTP_PROXY": "http://p"}, None),
        ("https://r.example/x", {"HTTPS_PROXY": "http://p", "NO_PROXY": "a.example,.example"}, None),
        ("https://r.example:8443/x", {"HTTPS_PROXY": "http://p", "no_proxy": "r.example"}, None),
        ("https://xr.example/x", {"HTTPS_PROXY": "http://p", "no_proxy": "r.example"}, "http://p"),
        ("https://r.example/x", {"HTTPS_PROXY": "http://p", "no_proxy": "*"}, None),
        ("http://127.0.0.1:5000/x", {"HTTP_PROXY": "http://p"}, None),
    ],
)
def test_proxies_are_those_of_the_environment(url: str, environment: Mapping[str, str], proxy: str | None) -> None:
    assert proxy_for(url, environment) == proxy


def test_documents_are_told_apart_by_their_content() -> None:
    one = image()
    bare = b'{"schemaVersion": 2, "config": {}, "layers": []}'
    assert identify(one.content, "", "x") == OCI_MANIFEST
    assert identify(bare, DOCKER_MANIFEST, "x") == DOCKER_MANIFEST
    assert identify(bare, "application/json", "x") == OCI_MANIFEST
    assert identify(b'{"schemaVersion": 2, "manifests": []}', "", "x") == OCI_INDEX
    assert [part.digest for part in referred(one.content, OCI_MANIFEST)] == [b.descriptor.digest for b in one.blobs]


@pytest.mark.parametrize(
    ("content", "declared"),
    [
        (b"", ""),
        (b"[]", ""),
        (b'{"schemaVersion": 1, "layers": []}', ""),
        (b'{"schemaVersion": 2}', ""),
        (b'{"schemaVersion": 2, "layers": [], "manifests": []}', ""),
        (b'{"schemaVersion": 2, "layers": []}', OCI_INDEX),
        (b'{"schemaVersion": 2, "mediaType": "application/x", "layers": []}', ""),
        (image().content, DOCKER_MANIFEST),
    ],
)
def test_a_document_that_can_be_read_in_two_ways_is_refused(content: bytes, declared: str) -> None:
    with pytest.raises(IntegrityError):
        identify(content, declared, "x")


def test_foreign_layers_are_not_expected_in_a_store() -> None:
    foreign = b'{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":"%s","size":1}'
    config = b'{"mediaType":"x","digest":"%s","size":1}' % digest_of(b"c").encode()
    content = b'{"schemaVersion":2,"config":%s,"layers":[%s]}' % (config, foreign % digest_of(b"l").encode())
    assert [part.digest for part in referred(content, DOCKER_MANIFEST)] == [digest_of(b"c")]


def test_a_repository_of_a_mirror_does_not_change_the_repository() -> None:
    assert Endpoint("https://m", "m", "hub").name(Repository("docker.io", "library/debian")) == "hub/library/debian"
