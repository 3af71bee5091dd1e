"""What is shown of addresses: not who is logged in there."""

from __future__ import annotations

import pytest

from buildonce.errors import UsageError
from buildonce.plan.secrecy import hide_credentials
from buildonce.project.declaration import Declaration
from buildonce.project.listing import list_settings
from buildonce.project.places import build_context, dockerfile_path
from buildonce.project.toml import Configuration
from buildonce.run.named_contexts import load_named_contexts

TOKEN = "ghp-s3cr3t"


@pytest.mark.parametrize(
    "address",
    [
        f"https://{TOKEN}@git.example/a.git",
        f"http://{TOKEN}@git.example/a.git#main:x",
        f"https://me:{TOKEN}@git.example/a.git",
        f"ssh://me:{TOKEN}@git.example/a.git",
        f"htps://{TOKEN}@git.example/a.git",
        f"one https://a.example and https://{TOKEN}@b.example",
    ],
)
def test_a_user_with_a_password_and_a_token_are_hidden(address: str) -> None:
    assert TOKEN not in hide_credentials(address)
    assert ".example" in hide_credentials(address)


@pytest.mark.parametrize(
    "address",
    [
        "ssh://git@github.example/a.git",
        "git@github.example:a/b.git",
        "https://git.example/a.git#v1@x",
        "docker-image://busybox:1@sha256:0123",
        "oci-layout://layout@sha256:0123",
    ],
)
def test_what_is_nobodys_secret_is_shown(address: str) -> None:
    assert hide_credentials(address) == address


def test_the_configuration_does_not_show_a_token() -> None:
    declaration = Declaration(contexts={"a": f"https://{TOKEN}@git.example/a.git"})
    shown = list_settings(Configuration(declaration=declaration))
    assert not [one for one in shown if TOKEN in str(one.value)]


@pytest.mark.parametrize("address", [f"https://{TOKEN}@git.example/a.git", f"https://{TOKEN}@x"])
def test_no_message_shows_a_token(address: str) -> None:
    for refuse in (
        lambda: build_context(address),
        lambda: dockerfile_path(address, "."),
        lambda: load_named_contexts([f"UPPER={address}"]),
        lambda: load_named_contexts([f"a::linux/amd64={address}"]),
        lambda: load_named_contexts([f"a=ht{address}"]),
    ):
        with pytest.raises(UsageError) as caught:
            refuse()
        assert TOKEN not in str(caught.value)
