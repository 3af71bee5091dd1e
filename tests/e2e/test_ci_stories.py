"""The generated workflow, run job by job in clean environments: what each story costs in jobs, compiles and engines."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.e2e.ci_stories import (
    KINDS,
    LARGE_PLATFORMS,
    Counted,
    large_project,
    push_base,
    shared_dockerfile,
    small_family,
    tell_toml,
)
from tests.e2e.harness import PLATFORMS, VARIANTS, Host
from tests.e2e.stories import FIRST_LINE, RUN_LINE

pytestmark = pytest.mark.host

LITTLE = 4_000_000
"""Bytes that the last job may read: records, and the core once for each platform."""


def brief(counted: Counted) -> tuple[dict[str, int], int, int]:
    """Return jobs, compiles and starts of engines; fails if a job did."""
    assert not counted.failed
    assert counted.ship_bytes_down < LITTLE
    return counted.jobs, counted.compiles, counted.engine_starts


def tags_there(host: Host, repository: str) -> set[str]:
    name = repository.removeprefix(f"{host.registry}/")
    with urlopen(f"http://{host.registry}/v2/{name}/tags/list") as answer:
        return set(json.load(answer)["tags"] or ())


def test_the_stories_of_a_small_family(host: Host, repository: str, run_id: str, tmp_path: Path) -> None:
    base = f"{repository}-base:1"
    push_base(host, base, tmp_path / "base", 1)
    world = small_family(host, tmp_path, repository, base)
    project = world.project
    version = f'FAMILY_VERSION "4.0.{int(run_id, 16)}"'
    project.edit("src/version.h", FIRST_LINE, version)

    first = world.story()
    assert brief(first) == ({"plan": 1, "compile": 2, "bases": 4, "ship": 1}, 2, 6)
    assert first.moved == sorted(VARIANTS)

    assert brief(world.story()) == ({"plan": 1}, 0, 0), "nothing changed"

    project.edit("src/version.h", version, f'{version[:-1]}1"')
    line = world.story()
    assert brief(line) == ({"plan": 1, "compile": 2, "ship": 1}, 2, 2)
    assert line.moved == sorted(VARIANTS)

    project.edit("Dockerfile", RUN_LINE, f"{RUN_LINE} && mkdir /home/agent/.claude/{run_id}")
    run = world.story()
    assert brief(run) == ({"plan": 1, "bases": 2, "ship": 1}, 0, 2)
    assert run.moved == ["claude"]

    text = (project.folder / "Dockerfile").read_text()
    added = "FROM runtime AS added\nRUN mkdir /added\nCOPY --from=builder /src/build/family /usr/local/bin/family\n"
    project.write("Dockerfile", f"{text}\n{added}")
    tell_toml(project, repository, (*VARIANTS, "added"), PLATFORMS)
    variant = world.story()
    assert brief(variant) == ({"plan": 1, "bases": 2, "ship": 1}, 0, 2)
    assert variant.moved == ["added"]

    push_base(host, base, tmp_path / "base", 2)
    moved = world.story()
    assert brief(moved) == ({"plan": 1, "bases": 2, "ship": 1}, 0, 2)
    assert moved.moved == ["grok", "kiro"]

    project.edit("src/version.h", f'{version[:-1]}1"', f'{version[:-1]}2"')
    before = tags_there(host, f"{repository}-cache")
    fork = world.story("pull_request", is_fork=True)
    assert brief(fork) == ({"fork": 2}, 0, 2)
    assert not fork.moved
    assert tags_there(host, f"{repository}-cache") == before, "it writes to no registry"


def test_the_stories_of_sixty_variants_for_three_platforms(
    host: Host, repository: str, run_id: str, tmp_path: Path
) -> None:
    base = f"{repository}-base:1"
    push_base(host, base, tmp_path / "base", 1)
    world = large_project(host, tmp_path, repository, shared_dockerfile(base, 60), run_id)
    project = world.project

    def names(*kinds: int, variants: int = 60) -> list[str]:
        return sorted(f"v{number}" for number in range(variants) if number % KINDS in kinds)

    first = world.story()
    jobs, compiles, starts = brief(first)
    assert (jobs["compile"], jobs["ship"], compiles) == (3, 1, 3)
    assert starts == jobs["compile"] + jobs["bases"] <= 18
    assert first.moved == names(*range(KINDS))

    assert brief(world.story()) == ({"plan": 1}, 0, 0), "nothing changed"

    project.write("source.txt", f"{run_id} 2\n")
    line = world.story()
    assert brief(line) == ({"plan": 1, "compile": 3, "ship": 1}, 3, 3)
    assert line.moved == names(*range(KINDS))

    text = shared_dockerfile(base, 60).replace("echo kind3 ", "echo another ")
    project.write("Dockerfile", text)
    run = world.story()
    assert brief(run) == ({"plan": 1, "bases": 3, "ship": 1}, 0, 3)
    assert run.moved == names(3)

    project.write("Dockerfile", f"{text}\nFROM kind1 AS v60\nRUN mkdir /v60\nCOPY --from=builder /out/app /app\n")
    tell_toml(project, repository, [f"v{number}" for number in range(61)], LARGE_PLATFORMS)
    added = world.story()
    assert brief(added) == ({"plan": 1, "bases": 3, "ship": 1}, 0, 3)
    assert added.moved == ["v60"]

    push_base(host, base, tmp_path / "base", 2)
    moved = world.story()
    assert brief(moved) == ({"plan": 1, "bases": 3, "ship": 1}, 0, 3)
    assert moved.moved == names(0)

    project.write("source.txt", f"{run_id} 3\n")
    before = tags_there(host, f"{repository}-cache")
    fork = world.story("pull_request", is_fork=True)
    assert brief(fork) == ({"fork": 2}, 0, 2)
    assert tags_there(host, f"{repository}-cache") == before, "it writes to no registry"
