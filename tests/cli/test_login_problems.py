"""What goes wrong with logins and addresses: each message says what to do, and stands in the docs as it is printed."""

from __future__ import annotations

import base64
import json
import re
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from buildonce.errors import RegistryUnavailable
from buildonce.store.registry.endpoints import Endpoint
from buildonce.store.registry.exchanges import head_manifest, pulling
from tests.cli.conftest import Call
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import new_session

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text()
PLAIN = "FROM busybox:1 AS app\nCOPY file /file\n"
USERS = {"ci": "right"}


@pytest.fixture(autouse=True)
def written(project: Path) -> None:
    (project / "Dockerfile").write_text(PLAIN)
    (project / "file").write_text("content\n")


def log_in(environment: dict[str, str], registry: FakeRegistry, password: str) -> None:
    """Write what `docker login` writes."""
    folder = Path(environment["DOCKER_CONFIG"])
    folder.mkdir()
    auth = base64.b64encode(f"ci:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))


def use_helper(environment: dict[str, str], script: str) -> None:
    """Have a credential helper answer for every registry."""
    folder = Path(environment["DOCKER_CONFIG"])
    folder.mkdir()
    (folder / "config.json").write_text('{"credsStore": "cloud"}')
    program = Path(environment["PATH"]) / "docker-credential-cloud"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def shown(text: str, registry: str, environment: dict[str, str]) -> str:
    """Return a message with the names that the docs have."""
    text = text.replace(registry, "registry.example").replace("http://registry", "https://registry")
    text = text.replace(environment["DOCKER_CONFIG"], "/home/me/.docker")
    text = re.sub(r"\n  = note: tried \d+ times", "", re.sub(r"_ssl\.c:\d+", "_ssl.c:...", text))
    return re.sub(r"/manifests/base-\S+-[0-9a-f]{32}", "/manifests/base-app-linux-amd64-...", text)


def check(err: str, registry: str, environment: dict[str, str]) -> None:
    """Compare the error with the page."""
    error = shown(err[err.index("error[") :].rstrip("\n"), registry, environment)
    block = "\n".join(f"    {line}" for line in error.split("\n"))
    assert block in PAGE, f"docs/troubleshooting.md lacks:\n{block}"


def ship(call: Call, registry: str) -> str:
    ran = call("build", "--platform=linux/amd64", "--push", f"{registry}/acme/family")
    assert ran.code == 4
    return ran.err


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_a_wrong_password(
    call: Call, new_registry: Callable[..., FakeRegistry], environment: dict[str, str], auth: str
) -> None:
    registry = new_registry(auth, USERS)
    log_in(environment, registry, "wrong")
    err = ship(call, registry.host)
    if auth == "basic":
        check(err, registry.host, environment)
    assert "docker login" in err


def test_no_login_at_all(call: Call, new_registry: Callable[..., FakeRegistry], environment: dict[str, str]) -> None:
    registry = new_registry("basic", USERS)
    check(ship(call, registry.host), registry.host, environment)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("echo 'token has expired' >&2; exit 1", id="failed"),
        pytest.param('echo \'{"Username": "ci", "Secret": "expired"}\'', id="expired"),
    ],
)
def test_an_expired_helper(
    call: Call, new_registry: Callable[..., FakeRegistry], environment: dict[str, str], script: str
) -> None:
    registry = new_registry("basic", USERS)
    use_helper(environment, script)
    check(ship(call, registry.host), registry.host, environment)


def test_no_right_on_one_of_several_repositories(
    call: Call, new_registry: Callable[..., FakeRegistry], environment: dict[str, str]
) -> None:
    registry = new_registry("basic", USERS)
    log_in(environment, registry, "right")
    registry.forbidden = {("acme/family", "push")}
    check(ship(call, registry.host), registry.host, environment)
    assert registry.repository("acme/family").tags == {}


def test_an_unknown_host(call: Call, environment: dict[str, str]) -> None:
    check(ship(call, "no-such-registry.invalid"), "no-such-registry.invalid", environment)


def test_a_port_where_nobody_listens(call: Call, environment: dict[str, str]) -> None:
    check(ship(call, "127.0.0.1:1"), "127.0.0.1:1", environment)


async def test_a_certificate_of_an_unknown_authority(environment: dict[str, str]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with FakeRegistry(tls=context) as registry, new_session() as session:
        host = f"localhost:{registry.port}"
        # A name that is not this machine's would have to be resolved; this one is spoken to in plain HTTP otherwise.
        access = pulling(Endpoint(f"https://{host}", host), "acme/family")
        with pytest.raises(RegistryUnavailable) as caught:
            await session.run(lambda: head_manifest(access, "latest"))
    check(f"error[{caught.value.code}]: {caught.value}", host, environment)
