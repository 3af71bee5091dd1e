"""Hostile and broken bases and cores: each is refused with its reason or taken as containerd takes it.

All of them are tried in one process, which may take little memory and is watched for what it writes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.assemble.archives import read_tar
from tests.hostile.archives import GOOD
from tests.hostile.kinds import BASE, KINDS, Kind

ROOT = Path(__file__).parents[2]
MEMORY = 250
"""Megabytes: the program itself takes about 90."""

IN_GOOD = {entry.path for entry in read_tar(GOOD)}

Results = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What became of each kind, by its name."""
    folder = tmp_path_factory.mktemp("hostile")
    # Each thread's arena would count with all the address space that it might ever use.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("BUILDONCE_MIRRORS", None)
    command = [sys.executable, "-m", "tests.hostile.trial", str(folder)]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return {one["kind"]: one for one in map(json.loads, ran.stdout.splitlines())}


def test_there_are_many_kinds_and_no_name_twice() -> None:
    assert len({kind.id for kind in KINDS}) == len(KINDS) > 200
    assert len({kind.name for kind in KINDS}) > 100


@pytest.mark.parametrize("kind", KINDS, ids=[kind.id for kind in KINDS])
def test_a_kind_is_refused_with_its_reason_or_handled(kind: Kind, results: Results) -> None:
    result = results[kind.id]
    if kind.refused:
        assert re.search(kind.refused, result["said"])
        assert "error[BUG]" not in result["said"]
        assert not result["shipped"]
    else:
        assert result["said"] == ""
        there = IN_GOOD if kind.entry == BASE else set()
        assert set(result["paths"]) == there | set(kind.paths)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.id for kind in KINDS])
def test_a_kind_writes_nothing_elsewhere_and_takes_little_memory(kind: Kind, results: Results) -> None:
    assert results[kind.id]["elsewhere"] == []
    assert results[kind.id]["memory"] < MEMORY
