"""A second clone: another folder, another user, other file times, another memory; the same keys, the same digests."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import PLATFORMS, Document, Host, Ran, digests_of, moved_tags, pushed_images, set_times, tags_of
from tests.e2e.stories import Stories

pytestmark = pytest.mark.host

OTHER_USER = 65534


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """The clone and its user."""

    host: Host
    folder: Path
    home: Path

    def buildonce(self, *arguments: str) -> Ran:
        """Run buildonce as the clone's user, who has no engine."""
        return self.host.run(
            "env", "--ignore-environment", f"HOME={self.home}", f"BUILDONCE_STATE={self.home / 'memory'}",
            f"PYTHONPATH={self.host.environment['PYTHONPATH']}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C",
            *(f"{name}={value}" for name, value in self.host.environment.items() if name == "BUILDONCE_MIRRORS"),
            *_as_other_user(), sys.executable, "-m", "buildonce", *arguments,
            folder=self.folder,
        )  # fmt: skip


def _as_other_user() -> tuple[str, ...]:
    """Return what runs a command as another user, who may read what this one may: Python can be in this one's home."""
    if os.geteuid() != 0:
        return ()  # the machine's own user cannot become another; folder, times and memory still differ
    reading = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return ("setpriv", f"--reuid={OTHER_USER}", f"--regid={OTHER_USER}", "--clear-groups", *reading)


@pytest.fixture
def clone(host: Host, stories: Stories, tmp_path: Path) -> Clone:
    folder, home = tmp_path / "elsewhere" / "second clone", tmp_path / "home"
    shutil.copytree(stories.project.folder, folder)
    home.mkdir()
    set_times(folder, int(time.time()))
    if os.geteuid() == 0:
        for path in (*folder.rglob("*"), folder, home):
            os.chown(path, OTHER_USER, OTHER_USER)
        for parent in folder.relative_to(tmp_path.anchor).parents:
            (Path(tmp_path.anchor) / parent).chmod((Path(tmp_path.anchor) / parent).stat().st_mode | 0o011)
    return Clone(host=host, folder=folder, home=home)


PLATFORM = f"--platform={','.join(PLATFORMS)}"


def keys(plan: Document) -> dict[str, Any]:
    """Return what of a plan must not depend on who plans it."""
    return {
        **{f"{node['name']} {node['platform']}": node["key"] for node in (*plan["cores"], *plan["bases"])},
        **{f"image {node['variant']} {node['platform']}": (node["base"], node["cores"]) for node in plan["images"]},
    }


def test_second_clone_has_the_same_keys(stories: Stories, clone: Clone) -> None:
    first = stories.project.buildonce("plan", "--json", PLATFORM, "--push", stories.repository).document
    second = clone.buildonce("plan", "--json", PLATFORM, "--push", stories.repository).document
    assert keys(second) == keys(first)
    assert len(keys(second)) == 2 + 10 + 14
    assert (second["engine_runs"], second["compiles"]) == (0, 0)


def test_keys_do_not_depend_on_where_buildonce_runs(stories: Stories, clone: Clone, tmp_path: Path) -> None:
    inside = clone.buildonce("plan", "--json", PLATFORM).document
    outside = stories.project.host.run(
        sys.executable, "-m", "buildonce", "plan", "--json", PLATFORM, "--context", clone.folder,
        folder=tmp_path, environment={"BUILDONCE_STATE": str(tmp_path / "third")},
    ).document  # fmt: skip
    assert keys(outside) == keys(inside)


def test_second_clone_makes_the_same_digests_without_an_engine(stories: Stories, clone: Clone) -> None:
    again = clone.buildonce("build", "--json", PLATFORM, "--push", stories.repository).document
    assert digests_of(again) == digests_of(stories.run_changed.outcome)
    assert tags_of(again) == tags_of(stories.run_changed.outcome)
    assert again["engine_runs"] == []
    assert pushed_images(again) == []
    assert moved_tags(again) == []
    assert all(
        image["made"] == ("reused" if image["variant"] == "hermes" else "assembled") for image in again["images"]
    )
    if os.geteuid() == 0:
        assert (clone.home / "memory").stat().st_uid == OTHER_USER


def test_second_clone_ships_the_same_release_elsewhere(stories: Stories, clone: Clone, repository: str) -> None:
    cache = f"{stories.repository}-cache"
    again = clone.buildonce("build", "--json", PLATFORM, "--push", repository, "--cache", cache).document
    assert tags_of(again) == tags_of(stories.run_changed.outcome)
    assert again["engine_runs"] == []


def test_second_clone_ships_the_same_release_to_a_layout(stories: Stories, clone: Clone) -> None:
    options = ("--output", "oci:out", "--cache", f"{stories.repository}-cache")
    again = clone.buildonce("build", "--json", PLATFORM, *options).document
    assert tags_of(again) == tags_of(stories.run_changed.outcome)
