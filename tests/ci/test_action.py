"""The composite action: what others' checks say of it, and what it makes of its inputs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action.yml"
PROGRAMS = Path(sys.executable).parent


def run(step: int, folder: Path, program: str, **variables: str) -> list[str]:
    """Run a step's script with a program that notes its arguments down; return these."""
    noted = folder / "noted"
    (folder / program).write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" > {noted}\n")
    (folder / program).chmod(0o755)
    action: dict[str, Any] = yaml.safe_load(ACTION.read_text())
    script = action["runs"]["steps"][step]["run"]
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        env={"PATH": path, **variables},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return noted.read_text().split("\0")[:-1]


def test_it_is_an_action_by_the_published_schema() -> None:
    done = subprocess.run(
        [PROGRAMS / "check-jsonschema", "--builtin-schema", "vendor.github-actions", ACTION],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_zizmor_finds_nothing() -> None:
    done = subprocess.run(
        [PROGRAMS / "zizmor", "--offline", "--no-config", "--persona=auditor", "--strict-collection", ACTION],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_the_version_is_one_word(tmp_path: Path) -> None:
    assert run(0, tmp_path, "pipx", VERSION="1.0 --pip-args=x; id") == [
        "install",
        "--force",
        "buildonce==1.0 --pip-args=x; id",
    ]


@pytest.mark.parametrize("hostile", ["$(touch injected)", "`touch injected`", "a b", "'", '"', "*", "a;touch injected"])
def test_each_line_is_one_argument(tmp_path: Path, hostile: str) -> None:
    assert run(1, tmp_path, "buildonce", ARGUMENTS=f"build\n--tag\n\n{hostile}\n") == ["build", "--tag", hostile]
    assert not (tmp_path / "injected").exists()
