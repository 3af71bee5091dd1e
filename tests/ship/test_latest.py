"""When `latest` moves, and which branch is built."""

from __future__ import annotations

import pytest

from buildonce.ship.latest import Branch, find_branch, moves_latest, release_number

SHA, OTHER = "a" * 40, "b" * 40
GITHUB = {"GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch", "GITHUB_SHA": SHA}
GITLAB = {"CI_COMMIT_REF_NAME": "main", "CI_COMMIT_SHA": SHA}


@pytest.mark.parametrize(
    ("environment", "checked_out", "branch"),
    [
        ({}, "topic", Branch("topic")),
        ({}, "", None),
        (GITHUB, "", Branch("main")),
        (GITHUB, "topic", Branch("main")),
        ({**GITHUB, "GITHUB_SHA": OTHER}, "", None),
        ({**GITHUB, "GITHUB_SHA": OTHER}, "topic", Branch("topic")),
        ({**GITHUB, "GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": "v1.0"}, "", None),
        ({**GITHUB, "GITHUB_REF_NAME": "12/merge", "GITHUB_HEAD_REF": "fix"}, "", Branch("fix", is_proposed=True)),
        ({**GITHUB, "GITHUB_HEAD_REF": "main", "GITHUB_SHA": OTHER}, "main", Branch("main", is_proposed=True)),
        ({**GITHUB, "GITHUB_HEAD_REF": ""}, "", Branch("main")),
        (GITLAB, "", Branch("main")),
        ({**GITLAB, "CI_COMMIT_TAG": "v1", "CI_COMMIT_REF_NAME": "v1"}, "", None),
        ({**GITLAB, "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "fix"}, "", Branch("fix", is_proposed=True)),
        ({**GITLAB, "CI_COMMIT_SHA": OTHER}, "", None),
    ],
)
def test_the_branch_is_that_of_the_commit_that_is_built(
    environment: dict[str, str], checked_out: str, branch: Branch | None
) -> None:
    assert find_branch(environment, commit=SHA, checked_out=checked_out) == branch


def test_what_the_environment_says_counts_where_git_says_nothing() -> None:
    assert find_branch(GITHUB, commit="", checked_out="") == Branch("main")


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("main", "main"),
        ("feature/New Thing", "feature-New-Thing"),
        ("dependabot/npm_and_yarn/@types/node-22.1", "dependabot-npm_and_yarn-types-node-22.1"),
        ("-x.", "x"),
        ("ümlaut", "mlaut"),
        ("日本", ""),
    ],
)
def test_a_branch_is_made_safe(name: str, tag: str) -> None:
    assert Branch(name).tag == tag


@pytest.mark.parametrize(
    ("rule", "branch", "moves"),
    [
        ("never", Branch("main"), False),
        ("always", None, True),
        ("branch main", Branch("main"), True),
        ("branch main", Branch("main", is_proposed=True), False),
        ("branch main", Branch("topic"), False),
        ("branch main", None, False),
        ("branch release/1.x", Branch("release/1.x"), True),
    ],
)
def test_a_branch_moves_latest(rule: str, branch: Branch | None, *, moves: bool) -> None:
    assert moves_latest(rule, branch=branch, version=None) is moves


@pytest.mark.parametrize(
    ("version", "known", "moves"),
    [
        ("1.2.3", (), True),
        ("1.2.3", ("v1.2.3", "v1.2.2", "v2.0.0-rc.1", "app-9.9"), True),
        ("1.2.3", ("v1.2.3", "v1.10.0"), False),
        ("1.2.3-rc.1", (), False),
        ("nightly", (), False),
        ("", (), False),
        (None, (), False),
        ("2026.11", ("2026.9",), True),
    ],
)
def test_a_release_moves_latest_unless_there_is_a_higher_one(
    version: str | None, known: tuple[str, ...], *, moves: bool
) -> None:
    assert moves_latest("release", branch=Branch("main"), version=version, known=known) is moves


def test_the_numbers_of_a_release() -> None:
    assert release_number("v1.10") == (1, 10)
    assert release_number("1.2+build") is None
