"""Credentials as Docker, Podman and CI systems keep them."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from buildonce.store.registry.challenges import IdentityToken, Password, RegistryToken
from buildonce.store.registry.credentials import ConfigurationFile, DockerCredentials, Entry, find_entry


def auth(user: str, secret: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home/.docker").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    return tmp_path / "home"


def environment(home: Path, **more: str) -> dict[str, str]:
    return {"HOME": str(home), "PATH": f"{home.parent / 'bin'}:{os.environ['PATH']}", **more}


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def helper(home: Path, name: str, script: str) -> None:
    program = home.parent / "bin" / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


async def test_docker_s_file_is_read(home: Path) -> None:
    path = write(home / ".docker/config.json", {"auths": {"r.example": auth("bob", "s3:cret")}})
    finding = await DockerCredentials(environment(home)).find("r.example", "app")
    assert finding.credential == Password(user="bob", secret="s3:cret", source=finding.source)
    assert finding.source == f"{path} (`r.example`), user `bob`"


async def test_nothing_is_found_where_nothing_is(home: Path) -> None:
    finding = await DockerCredentials(environment(home)).find("r.example", "app")
    assert (finding.credential, finding.source) == (None, "none found")
    assert (await DockerCredentials({}).find("r.example", "app")).credential is None


@pytest.mark.parametrize(
    "key", ["r.example", "https://r.example", "http://r.example/", "https://r.example/v1/", "https://r.example/v2/"]
)
async def test_every_spelling_of_a_registry_is_found(home: Path, key: str) -> None:
    write(home / ".docker/config.json", {"auths": {key: auth("bob", "x")}})
    assert (await DockerCredentials(environment(home)).find("r.example", "app")).credential


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io"])
async def test_docker_hub_is_found_under_its_names(home: Path, key: str) -> None:
    write(home / ".docker/config.json", {"auths": {key: auth("bob", "x")}})
    assert (await DockerCredentials(environment(home)).find("docker.io", "library/debian")).credential


def test_the_longest_path_wins() -> None:
    file = ConfigurationFile(
        auths={"r.example": Entry(), "r.example/a": Entry(username="a"), "r.example/a/b": Entry(username="b")}
    )
    found = [find_entry(file, "r.example", name) for name in ("a/b", "a/c", "x", "ab")]
    assert [entry and entry[0] for entry in found] == ["r.example/a/b", "r.example/a", "r.example", "r.example"]
    assert find_entry(file, "r.example.org", "a") is None


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"username": "bob", "password": "x"}, Password),
        ({**auth("bob", "x"), "identitytoken": "id"}, IdentityToken),
        ({"registrytoken": "t"}, RegistryToken),
    ],
)
async def test_every_kind_of_entry_is_read(home: Path, entry: dict[str, str], kind: type) -> None:
    write(home / ".docker/config.json", {"auths": {"r.example": entry}})
    assert isinstance((await DockerCredentials(environment(home)).find("r.example", "app")).credential, kind)


@pytest.mark.parametrize("entry", [{"auth": "%%%"}, {"auth": "Ym9i"}, {}])
async def test_a_broken_entry_is_named(home: Path, entry: dict[str, str]) -> None:
    write(home / ".docker/config.json", {"auths": {"r.example": entry}})
    finding = await DockerCredentials(environment(home)).find("r.example", "app")
    assert finding.credential is None
    assert "holds no usable credential" in finding.source


async def test_a_broken_file_is_named_and_the_next_one_read(home: Path) -> None:
    broken = write(home / "auth.json", "{")
    write(home / ".docker/config.json", {"auths": {"r.example": auth("bob", "x")}})
    source = DockerCredentials(environment(home, REGISTRY_AUTH_FILE=str(broken)))
    assert (await source.find("r.example", "app")).credential
    assert f"{broken} is not a Docker configuration file" in (await source.find("other.example", "app")).source


async def test_the_places_are_asked_in_order(home: Path) -> None:
    def content(user: str) -> dict[str, Any]:
        return {"auths": {"r.example": auth(user, "x")}}

    places = {
        "BUILDONCE_AUTH_HOST": "r.example",
        "BUILDONCE_AUTH_USERNAME": "1",
        "BUILDONCE_AUTH_PASSWORD": "x",
        "REGISTRY_AUTH_FILE": str(write(home / "auth.json", content("2"))),
        "DOCKER_AUTH_CONFIG": json.dumps(content("3")),
        "DOCKER_CONFIG": str(write(home / "docker/config.json", content("4")).parent),
        "XDG_RUNTIME_DIR": str(write(home / "run/containers/auth.json", content("5")).parent.parent),
    }
    users = []
    for gone in ("", "BUILDONCE_AUTH_HOST", *list(places)[3:]):
        places.pop(gone, None)
        credential = (await DockerCredentials(environment(home, **places)).find("r.example", "app")).credential
        users.append(credential.user if isinstance(credential, Password) else None)
    assert users == ["1", "2", "3", "4", "5", None]


async def test_variables_are_for_their_host_only(home: Path) -> None:
    variables = {
        "BUILDONCE_AUTH_HOST": "r.example",
        "BUILDONCE_AUTH_USERNAME": "bob",
        "BUILDONCE_AUTH_PASSWORD": "x",
    }
    assert (await DockerCredentials(environment(home, **variables)).find("other.example", "app")).credential is None


@pytest.mark.parametrize("setting", [{"credHelpers": {"r.example": "test"}}, {"credsStore": "test"}])
async def test_a_helper_is_asked_once(home: Path, setting: dict[str, Any]) -> None:
    write(home / ".docker/config.json", setting)
    helper(home, "test", 'read key; echo "$key" >> "$HOME/asked"; echo \'{"Username":"bob","Secret":"s3cret"}\'')
    source = DockerCredentials(environment(home))
    for name in ("app", "other"):
        finding = await source.find("r.example", name)
        assert finding.credential == Password(user="bob", secret="s3cret", source=finding.source)
        assert finding.source == "`docker-credential-test`, user `bob`"
    assert (home / "asked").read_text() == "r.example\n"


async def test_a_helper_knows_docker_hub_under_its_old_name(home: Path) -> None:
    write(home / ".docker/config.json", {"credsStore": "test"})
    helper(home, "test", 'read key; echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"$key\\"}"')
    finding = await DockerCredentials(environment(home)).find("docker.io", "library/debian")
    assert finding.credential == IdentityToken(secret="https://index.docker.io/v1/", source=finding.source)


async def test_a_helper_that_knows_nothing_leaves_the_file(home: Path) -> None:
    write(home / ".docker/config.json", {"credsStore": "test", "auths": {"r.example": auth("bob", "x")}})
    helper(home, "test", "echo credentials not found in native keychain; exit 1")
    source = DockerCredentials(environment(home))
    assert (await source.find("r.example", "app")).credential
    assert (await source.find("other.example", "app")).source == "none found"


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo s3cret; exit 3", "failed with exit code 3"),
        ("echo s3cret", "answered with something else than credentials"),
        ("exec sleep 30", "did not answer in 0.2 seconds"),
        (None, "cannot be run"),
    ],
)
async def test_a_helper_that_fails_is_named_without_what_it_said(home: Path, script: str | None, problem: str) -> None:
    write(home / ".docker/config.json", {"credsStore": "test"})
    if script:
        helper(home, "test", script)
    finding = await DockerCredentials(environment(home), helper_timeout=0.2).find("r.example", "app")
    assert finding.credential is None
    assert problem in finding.source
    assert "docker-credential-test" in finding.source
    assert "s3cret" not in finding.source


async def test_a_helper_with_an_impossible_name_is_not_run(home: Path) -> None:
    write(home / ".docker/config.json", {"credsStore": "x/../../bin/sh"})
    finding = await DockerCredentials(environment(home)).find("r.example", "app")
    assert "impossible name" in finding.source
