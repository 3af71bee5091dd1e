"""The generated workflow's stories, run job by job on this machine: jobs, compiles, starts of engines, and bytes.

`scripts/host run -- .venv/bin/python -m benchmarks.workflow [small|large]`. Every job has a checkout, a home and a
memory of its own; all share the test host's engine and registry. Bytes are those that buildonce itself moved.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.e2e.ci_stories import (
    LARGE_PLATFORMS,
    Counted,
    World,
    large_dockerfile,
    large_project,
    push_base,
    small_family,
    tell_toml,
)
from tests.e2e.harness import PLATFORMS, VARIANTS, Host, load_host
from tests.e2e.stories import FIRST_LINE, RUN_LINE

Stories = Iterator[tuple[str, Counted]]


def small(host: Host, folder: Path, push: str, run_id: str) -> Stories:
    """Tell the stories of the example family."""
    base = f"{push}-base:1"
    push_base(host, base, folder / "base", 1)
    world = small_family(host, folder, push, base)
    project = world.project
    version = f'FAMILY_VERSION "5.0.{int(run_id, 16)}"'
    project.edit("src/version.h", FIRST_LINE, version)
    yield "first build", world.story()
    yield "nothing changed", world.story()
    project.edit("src/version.h", version, f'{version[:-1]}1"')
    yield "one core line changed", world.story()
    project.edit("Dockerfile", RUN_LINE, f"{RUN_LINE} && mkdir /home/agent/.claude/{run_id}")
    yield "one base changed", world.story()
    text = (project.folder / "Dockerfile").read_text()
    added = "FROM runtime AS added\nRUN mkdir /added\nCOPY --from=builder /src/build/family /usr/local/bin/family\n"
    project.write("Dockerfile", f"{text}\n{added}")
    tell_toml(project, push, (*VARIANTS, "added"), PLATFORMS)
    yield from _last(world, host, base, folder)


def large(host: Host, folder: Path, push: str, run_id: str) -> Stories:
    """Tell the stories of 60 variants for 3 platforms."""
    base = f"{push}-base:1"
    push_base(host, base, folder / "base", 1)
    world = large_project(host, folder, push, large_dockerfile(base, 60), run_id)
    project = world.project
    yield "first build", world.story()
    yield "nothing changed", world.story()
    project.write("source.txt", f"{run_id} 2\n")
    yield "one core line changed", world.story()
    text = large_dockerfile(base, 60).replace("echo 7 ", "echo seven ")
    project.write("Dockerfile", text)
    yield "one base changed", world.story()
    project.write(
        "Dockerfile", f"{text}\nFROM busybox:1.36-glibc AS v60\nRUN mkdir /v60\nCOPY --from=builder /out/app /a\n"
    )
    tell_toml(project, push, [f"v{number}" for number in range(61)], LARGE_PLATFORMS)
    yield from _last(world, host, base, folder)


def _last(world: World, host: Host, base: str, folder: Path) -> Stories:
    yield "one variant added", world.story()
    push_base(host, base, folder / "base", 2)
    yield "a base image moved", world.story()
    yield "a fork's pull request", world.story("pull_request", is_fork=True)


PROJECTS: dict[str, Callable[[Host, Path, str, str], Stories]] = {"small": small, "large": large}


def main() -> None:
    """Print a table in Markdown."""
    host, run_id = load_host(), secrets.token_hex(4)
    print("| project | story | jobs | compiles | engines started | up | down | seconds, one after the other |")
    print("|---|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or PROJECTS:
        with tempfile.TemporaryDirectory(prefix="buildonce-stories-") as folder:
            for story, one in PROJECTS[name](host, Path(folder), host.repository(f"stories-{run_id}/{name}"), run_id):
                assert not one.failed, one.failed
                jobs = ", ".join(f"{count} {job}" for job, count in one.jobs.items())
                megabytes = (f"{size / 1e6:.2f} MB" for size in (one.bytes_up, one.bytes_down))
                row = (name, story, jobs, one.compiles, one.engine_starts, *megabytes, f"{one.seconds:.0f}")
                print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
