"""What tags say of the commit that is checked out, in real clones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from buildonce.errors import UsageError
from buildonce.run.tag_fields import TagFields


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--initial-branch", "topic/One")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    command = ("git", *identity, "-C", str(folder), *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path) -> None:
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "x")


def test_the_fields_of_a_branch(clone: Path) -> None:
    git(clone, "tag", "v1.2.3")
    fields = TagFields(clone, {})
    assert fields.look_up("branch") == "topic-One"
    assert fields.look_up("version") == "1.2.3"
    assert git(clone, "rev-parse", "HEAD").startswith(fields.look_up("sha"))
    assert fields.moves_latest("branch topic/One")
    assert not fields.moves_latest("branch main")
    assert not fields.moves_latest("never")


def test_a_commit_by_itself_has_no_branch(clone: Path) -> None:
    git(clone, "checkout", "--quiet", "--detach")
    with pytest.raises(UsageError) as caught:
        TagFields(clone, {}).look_up("branch")
    assert str(caught.value) == (
        "`{branch}` is the branch that is built, and no branch is checked out here\n"
        "  = note: a commit by itself, or a tag, belongs to no branch\n"
        "help: check out a branch, or use {sha} or {version} in the template for tags"
    )
    assert not TagFields(clone, {}).moves_latest("branch topic/One")


def test_a_ci_service_says_the_branch_of_the_commit_that_it_checked_out(clone: Path) -> None:
    git(clone, "checkout", "--quiet", "--detach")
    environment = {
        "GITHUB_REF_NAME": "main",
        "GITHUB_REF_TYPE": "branch",
        "GITHUB_SHA": git(clone, "rev-parse", "HEAD"),
    }
    fields = TagFields(clone, environment)
    assert fields.look_up("branch") == "main"
    assert fields.moves_latest("branch main")
    commit(clone)
    assert not TagFields(clone, environment).moves_latest("branch main"), "another commit was checked out since"


def test_the_pull_request_of_a_branch_that_is_called_main_moves_nothing(clone: Path) -> None:
    fields = TagFields(clone, {"GITHUB_HEAD_REF": "main", "GITHUB_REF_NAME": "7/merge"})
    assert fields.look_up("branch") == "main"
    assert not fields.moves_latest("branch main")


def test_a_patch_of_an_older_release_does_not_move_latest_back(clone: Path) -> None:
    git(clone, "tag", "v1.10.0")
    commit(clone)
    assert not TagFields(clone, {}).moves_latest("release"), "the commit has no tag"
    git(clone, "tag", "v1.9.5")
    assert not TagFields(clone, {}).moves_latest("release")
    commit(clone)
    git(clone, "tag", "v1.11.0-rc.1")
    assert not TagFields(clone, {}).moves_latest("release")
    commit(clone)
    git(clone, "tag", "v1.11.0")
    assert TagFields(clone, {}).moves_latest("release")


def test_outside_of_a_clone_there_is_nothing(tmp_path: Path) -> None:
    fields = TagFields(tmp_path, {})
    for name in ("sha", "version", "branch"):
        with pytest.raises(UsageError, match="help: "):
            fields.look_up(name)
    assert not fields.moves_latest("release")
    assert fields.moves_latest("always")
