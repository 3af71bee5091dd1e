"""The adapter for Buildah: what it runs, and what it makes of failures."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from buildonce.build_options import BuildOptions
from buildonce.engines.buildah import Buildah, Inputs, build_arguments, push_arguments
from buildonce.engines.traits import Version, buildah_traits
from buildonce.errors import EngineFailed, EngineUnavailable
from buildonce.events import EngineLine, Event
from tests.engines.jobs import make_job, write_program

PUSHES = """
case $1 in
build)
  for word; do case $before in --iidfile) echo "sha256:abc" > "$word";; --file) cat "$word";; esac; before=$word; done
  printf "%s\\n" "$@" "${SOURCE_DATE_EPOCH-none}" ;;
push)
  for word; do :; done; folder=${word#dir:}; mkdir "$folder"
  printf '%s' '{"rootfs": {"diff_ids": []}, "id": "x"}' > "$folder/CONFIG"
  printf '%s' '{"schemaVersion":2,"config":{"mediaType":"c","digest":"sha256:CONFIG","size":2},"layers":[]}' \
    > "$folder/manifest.json"
  echo "pushed $*" ;;
esac
""".replace("CONFIG", "0" * 64)


def stand_in(folder: Path, script: str, events: list[Event], version: Version = (1, 43, 2)) -> Buildah:
    """A Buildah that is a shell script."""
    program = write_program(folder / "buildah", script)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1"}
    return Buildah(command=(str(program),), traits=buildah_traits(version), environment=environment, emit=events.append)


def said(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, EngineLine)]


def test_arguments_of_a_build(tmp_path: Path) -> None:
    job = make_job(tmp_path, target="core")
    inputs = Inputs(folder=Path("/in"))
    assert build_arguments(job, inputs, {"b": "2", "a": "1"}, archive=Path("/out/files.tar"), anew=True) == (
        "build", "--layers", "--force-rm", "--format=docker", "--identity-label=false", "--pull=missing",
        "--platform", "linux/amd64", "--file", "/in/Dockerfile", "--ignorefile", "/in/ignore",
        "--iidfile", "/in/image-id", "--secret", "id=buildonce,src=/in/mark",
        "--no-cache", "--output", "type=tar,dest=/out/files.tar", "--target", "core",
        "--build-context", "a=1", "--build-context", "b=2", str(job.context),
    )  # fmt: skip


def test_podman_pushes_uncompressed_layers_without_being_told() -> None:
    inputs = Inputs(folder=Path("/in"))
    words = push_arguments("abc", inputs, Path("/out"))
    assert words == ("push", "--quiet", "--authfile", "/in/auth.json", "--disable-compression", "abc", "dir:/out")
    assert "--disable-compression" not in push_arguments("abc", inputs, Path("/out"), podman=True)


async def test_a_build_ends_in_a_layout_and_nothing_else(tmp_path: Path) -> None:
    events: list[Event] = []
    job = make_job(tmp_path, dockerfile="FROM scratch\n# all of it\n")
    built = await stand_in(tmp_path, PUSHES, events).build(job)
    assert built.layout == job.output
    assert sorted(path.name for path in job.output.iterdir()) == ["blobs", "index.json", "oci-layout"]
    assert "# all of it" in said(events)
    assert "none" in said(events), "SOURCE_DATE_EPOCH is not passed on"
    assert any(line.startswith("pushed") and " abc dir:" in line for line in said(events))


async def test_an_export_writes_one_archive_and_pushes_nothing(tmp_path: Path) -> None:
    events: list[Event] = []
    job = make_job(tmp_path)
    exported = await stand_in(tmp_path, PUSHES, events).export(job)
    assert exported.archive == job.output / "files.tar"
    assert f"type=tar,dest={exported.archive}" in said(events)
    assert not any(line.startswith("pushed") for line in said(events))


@pytest.mark.parametrize(
    ("version", "line", "anew"),
    [
        ((1, 43, 2), "RUN --mount=target=/m true", True),
        ((1, 44, 0), "RUN --mount=target=/m true", False),
        ((1, 28, 2), "RUN --mount=type=cache,target=/m true", False),
    ],
)
async def test_a_cache_that_overlooks_what_is_mounted_is_not_used(
    tmp_path: Path,
    version: Version,
    line: str,
    anew: bool,
) -> None:
    events: list[Event] = []
    await stand_in(tmp_path, PUSHES, events, version).export(make_job(tmp_path, dockerfile=f"FROM scratch\n{line}\n"))
    assert ("--no-cache" in said(events)) is anew


@pytest.mark.parametrize(
    ("options", "line", "repeats"),
    [
        (BuildOptions(), "RUN true", True),
        (BuildOptions(), "RUN --mount=target=/m true", False),
        (BuildOptions(no_cache=True), "RUN true", False),
        (BuildOptions(no_cache_filter=("run",)), "RUN true", False),
    ],
)
def test_what_is_built_without_the_cache_need_not_wait_for_others(
    tmp_path: Path, options: BuildOptions, line: str, repeats: bool
) -> None:
    job = structs.replace(make_job(tmp_path, dockerfile=f"FROM scratch AS run\n{line}\n"), options=options)
    assert stand_in(tmp_path, PUSHES, []).repeats(job) is repeats


async def test_what_it_cannot_do_is_said_before_it_starts(tmp_path: Path) -> None:
    events: list[Event] = []
    job = make_job(tmp_path, dockerfile="FROM scratch\nCOPY --exclude=a . /\n")
    with pytest.raises(EngineUnavailable, match="`--exclude`"):
        await stand_in(tmp_path, PUSHES, events).build(job)
    assert events == []


@pytest.mark.parametrize("version", [(1, 28, 2), (1, 33, 0)])
async def test_ignore_rules_of_a_named_context_are_followed_or_refused(tmp_path: Path, version: Version) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".dockerignore").write_text("secret")
    engine = stand_in(tmp_path, PUSHES, [], version)
    job = make_job(tmp_path, contexts={"data": str(tmp_path / "data")})
    if version < (1, 33):
        with pytest.raises(EngineUnavailable, match="does not follow the `\\.dockerignore` of"):
            await engine.export(job)
    else:
        await engine.export(job)


async def test_a_failed_build_shows_its_last_lines_and_the_version(tmp_path: Path) -> None:
    script = 'echo "make: *** no rule"; echo "Error: building at STEP \\"RUN make\\": exit status 2" >&2; exit 2'
    with pytest.raises(EngineFailed, match="make: \\*\\*\\* no rule") as caught:
        await stand_in(tmp_path, script, []).export(make_job(tmp_path))
    assert caught.value.message.startswith("buildah 1.43.2 failed (compile builder linux/amd64, exit status 2)")


ENDLESS = """
pipe() { echo "time=$1 level=error msg=\\"write container stdin pipe: broken pipe\\"" >&2; }
echo "STEP 2/2: RUN mknod /zero c 1 5"
for second in 1 2 3 4 5 6 7 8 9 0; do pipe $second; pipe $second; pipe $second; done
echo "subprocess exited with status 1"; pipe 10; echo "subprocess exited with status 1"
echo "Error: building at STEP \\"RUN mknod /zero c 1 5\\": exit status 1"; exit 1
"""
"""What Buildah says where its own standard input never ends: /dev/null is another device on that machine."""


async def test_what_buildah_says_of_its_pipes_hides_no_reason(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed) as caught:
        await stand_in(tmp_path, ENDLESS, []).export(make_job(tmp_path))
    assert caught.value.lines == (
        "STEP 2/2: RUN mknod /zero c 1 5",
        "subprocess exited with status 1 (2 times)",
        'Error: building at STEP "RUN mknod /zero c 1 5": exit status 1',
    )
    assert "where the reason is missing above, it was lost" in caught.value.notes[1]
    assert caught.value.notes[2].startswith("to run it alone: buildah build --layers")


LEAVES = """
case $1 in
build)
  mkdir -p ROOT/vfs-containers/mine/userdata ROOT/vfs-containers/other/userdata
  echo '{"Secrets": ["id=buildonce,src=/elsewhere/mark"]}' > ROOT/vfs-containers/other/userdata/buildah.json
  echo "$@" > ROOT/vfs-containers/mine/userdata/buildah.json
  echo begun; exec sleep 60 ;;
info) printf 'ROOT\\tvfs\\n' ;;
rm) shift; for name; do rm -r "ROOT/vfs-containers/$name"; done ;;
esac
"""


async def test_containers_of_a_cancelled_build_are_removed_and_no_others(tmp_path: Path) -> None:
    begun = asyncio.Event()
    engine = stand_in(tmp_path, LEAVES.replace("ROOT", str(tmp_path / "root")), [])
    engine = replace(engine, emit=lambda _: begun.set())
    running = asyncio.create_task(engine.export(make_job(tmp_path)))
    await asyncio.wait_for(begun.wait(), 20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [path.name for path in sorted((tmp_path / "root/vfs-containers").glob("*"))] == ["other"]


async def test_a_build_that_names_no_image_has_failed(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="names no image"):
        await stand_in(tmp_path, "exit 0", []).build(make_job(tmp_path))


async def test_a_program_that_went_away_is_no_failed_build(tmp_path: Path) -> None:
    engine = replace(stand_in(tmp_path, "exit 0", []), command=(str(tmp_path / "gone"),))
    with pytest.raises(EngineUnavailable, match="cannot be run: No such file or directory"):
        await engine.build(make_job(tmp_path))
