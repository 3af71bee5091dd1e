"""Bad days on the real thing: engines that fail, disks that fill up, runs that are interrupted or killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.disks import growing_disk
from tests.e2e.harness import AMD64, ARM64, BUILDONCE, VARIANTS, Host, Project, Ran, copy_example, new_project
from tests.e2e.images import layout_digests, tag_digest
from tests.e2e.stories import LONG_AGO, Stories

pytestmark = pytest.mark.host

BOTH = f"--platform={AMD64},{ARM64}"


def assert_clear(ran: Ran, *parts: str, code: int) -> None:
    """Fail unless a failure says what a user has to know, without a traceback and without output that pretends."""
    assert ran.code == code, ran.err
    assert "Traceback" not in ran.err
    assert not ran.out
    for part in parts:
        assert part in ran.err, ran.err


# Engines.


def test_a_compile_that_fails_shows_its_last_lines_and_names_stage_and_platform(
    host: Host, repository: str, run_id: str, tmp_path: Path
) -> None:
    project = copy_example(host, tmp_path, time=LONG_AGO)
    project.edit("src/version.h", '"1.0.0"', f'"{run_id}"')
    options = ("build", f"--platform={AMD64}", "--push", repository, "--variant=grok")
    project.edit("src/main.c", "return print_version();", f"return no_such_{run_id}();")
    ran = project.buildonce(*options)
    said = (
        "[builder linux/amd64] #",
        f"no_such_{run_id}",
        "compile builder linux/amd64",
        "stage `builder` of Dockerfile",
    )
    assert_clear(ran, *said, code=1)
    assert "[internal]" not in ran.err, "what the engine does besides its steps is for those who ask for it"
    assert tag_digest(repository, "grok") is None
    alone = host.run("sh", "-c", ran.err.partition("to run it alone: ")[2].partition("\n")[0], folder=project.folder)
    assert alone.code == 1
    assert f"no_such_{run_id}" in alone.err
    project.edit("src/main.c", f"return no_such_{run_id}();", "return print_version();")
    again = project.buildonce(*options)
    assert again.code == 0, again.err
    assert tag_digest(repository, "grok") is not None


def test_a_base_that_fails_names_the_variant_and_the_instruction(host: Host, repository: str, tmp_path: Path) -> None:
    project = copy_example(host, tmp_path, time=LONG_AGO)
    project.edit("Dockerfile", "ENV FAMILY_AGENT=hermes", "RUN echo going down && false")
    ran = project.buildonce("build", f"--platform={AMD64}", "--push", repository, "--variant=hermes")
    assert_clear(ran, "hermes linux/amd64", "going down", "RUN echo going down && false", "exit code: 1", code=1)
    assert tag_digest(repository, "hermes") is None


def test_an_engine_that_is_not_there_any_more(host: Host, repository: str, tmp_path: Path) -> None:
    project = copy_example(host, tmp_path, time=LONG_AGO)
    gone = {"DOCKER_HOST": f"unix://{tmp_path / 'nowhere.sock'}"}
    ran = project.buildonce("build", BOTH, "--push", repository, "--cache", f"{repository}-none", environment=gone)
    assert_clear(ran, "engine does not answer", "DOCKER_HOST", code=4)
    assert all(tag_digest(repository, variant) is None for variant in VARIANTS)


def test_no_engine_is_no_obstacle_when_everything_is_there(stories: Stories, tmp_path: Path) -> None:
    gone = {"DOCKER_HOST": f"unix://{tmp_path / 'nowhere.sock'}", "BUILDONCE_STATE": str(tmp_path / "state")}
    ran = stories.project.buildonce("build", BOTH, "--push", stories.repository, environment=gone)
    assert ran.code == 0, ran.err


# Disks. A file of some size goes through them, that compresses badly.

BIG = """\
FROM busybox:1.36-glibc AS builder
COPY version.txt .
RUN dd if=/dev/urandom of=/big bs=1M count=6
FROM scratch AS app
COPY --from=builder /big /big
"""


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], Path]]:
    """Give what returns a disk of some MiB, and makes it larger when it is asked again."""
    with growing_disk() as sized:
        yield sized


@pytest.fixture
def big(host: Host, run_id: str, tmp_path: Path) -> Project:
    """A project whose image is larger than a small disk."""
    return new_project(host, tmp_path, {"Dockerfile": BIG, "version.txt": f"{tmp_path} {run_id}\n"})


def partial_files(folder: Path) -> list[Path]:
    """Return the files that are not in place yet, or are empty."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".index.lock"]
    return [path for path in files if path.name.startswith((".", "tmp")) or not path.stat().st_size]


def whole_blobs(layout: Path) -> bool:
    """Say whether every blob of a layout is what its name says; what a kill left unfinished has no such name."""
    blobs = [path for path in (layout / "blobs").rglob("*") if path.is_file() and not path.name.startswith(".")]
    return all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in blobs)


@pytest.mark.parametrize("place", ["output", "cache", "state"])
def test_a_full_disk_is_said_and_a_larger_one_is_enough(
    big: Project, small_disk: Callable[[int], Path], tmp_path: Path, place: str
) -> None:
    disk = small_disk(3)
    folders = {name: tmp_path / name for name in ("output", "cache", "state")} | {place: disk / place}
    options = ("--output", f"oci:{folders['output']}", "--cache", f"oci:{folders['cache']}")
    environment = {"BUILDONCE_STATE": str(folders["state"])}
    arguments = ("build", f"--platform={AMD64}", *options)
    ran = big.buildonce(*arguments, environment=environment)
    assert_clear(ran, "full", "help: ", code=1)
    assert str(disk) in ran.err, "where it is full is said"
    assert not (folders["output"] / "index.json").exists() or not layout_digests(folders["output"])
    assert all(not folder.exists() or whole_blobs(folder) for folder in (folders["output"], folders["cache"]))
    for folder in folders.values():
        assert partial_files(folder) == []
    small_disk(60)
    again = big.buildonce(*arguments, environment=environment)
    assert again.code == 0, again.err
    assert list(layout_digests(folders["output"])) == ["app"]


def test_a_full_disk_leaves_the_release_that_was_there(
    big: Project, small_disk: Callable[[int], Path], tmp_path: Path
) -> None:
    disk = small_disk(10)
    options = (f"--platform={AMD64}", "--output", f"oci:{disk / 'out'}", "--cache", f"oci:{tmp_path / 'cache'}")
    assert big.buildonce("build", *options).code == 0
    before = (disk / "out" / "index.json").read_bytes()
    big.write("version.txt", "another\n")
    assert_clear(big.buildonce("build", *options), "full", code=1)
    assert (disk / "out" / "index.json").read_bytes() == before
    assert whole_blobs(disk / "out")
    small_disk(60)
    assert big.buildonce("build", *options).code == 0
    assert (disk / "out" / "index.json").read_bytes() != before


# Interruptions.

SLOW = """\
FROM busybox:1.36-glibc AS builder
COPY version.txt .
RUN cp version.txt /tool && sleep 3
FROM busybox:1.36-glibc AS app
COPY --from=builder /tool /bin/own-tool
"""


def processes_of(marker: str) -> list[int]:
    """Return the processes that carry a word among their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in arguments and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_build_that_is_struck_down_while_it_compiles(
    host: Host, repository: str, run_id: str, tmp_path: Path, number: signal.Signals
) -> None:
    project = new_project(host, tmp_path, {"Dockerfile": SLOW, "version.txt": f"{number} {run_id}\n"})
    arguments = ("build", f"--platform={AMD64}", "--push", repository)
    environment = {**host.environment, "BUILDONCE_STATE": str(project.state)}
    with subprocess.Popen(
        [*BUILDONCE, *arguments],
        cwd=project.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = ""
        while "compiling" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        time.sleep(1)
        process.send_signal(number)
        out, rest = process.communicate(timeout=30)
    assert process.returncode == (-signal.SIGKILL if number is signal.SIGKILL else 130)
    assert (out, "Traceback" in rest) == ("", False)
    assert tag_digest(repository, "app") is None
    if number is not signal.SIGKILL:
        assert "interrupted" in rest
        assert processes_of(str(project.state)) == [], "the engine's client is gone, too"
        assert list((project.state / "work").iterdir()) == []
    again = project.buildonce(*arguments)
    assert again.code == 0, again.err
    assert tag_digest(repository, "app") is not None


def test_a_family_that_is_struck_down_again_and_again_is_never_half_shipped(stories: Stories, tmp_path: Path) -> None:
    """Kill at many moments of a run that ships everything to a new repository; what has a tag is complete."""
    layout = tmp_path / "out"
    cache = f"{stories.repository}-cache"
    arguments = [*BUILDONCE, "build", BOTH, "--output", f"oci:{layout}", "--cache", cache]
    environment = {**stories.project.host.environment, "BUILDONCE_STATE": str(tmp_path / "state")}
    delays = [0.4 + 0.25 * step for step in range(8)]
    for delay in delays:
        with subprocess.Popen(
            arguments,
            cwd=stories.project.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            time.sleep(delay)
            process.kill()
        if (layout / "index.json").exists():
            index = json.loads((layout / "index.json").read_bytes())
            for entry in index["manifests"]:
                assert_complete(layout, entry["digest"])
    ran = stories.project.host.run(*arguments, folder=stories.project.folder, environment=environment)
    assert ran.code == 0, ran.err
    assert layout_digests(layout) == stories.run_changed.tags
    assert whole_blobs(layout)


def assert_complete(layout: Path, digest: str) -> None:
    """Fail unless everything that an index, an image or a blob refers to is there."""
    path = layout / "blobs" / digest.replace(":", "/")
    document = json.loads(path.read_bytes())
    for child in document.get("manifests", ()):
        assert_complete(layout, child["digest"])
    for part in (*document.get("layers", ()), *([document["config"]] if "config" in document else ())):
        assert (layout / "blobs" / part["digest"].replace(":", "/")).stat().st_size == part["size"]
