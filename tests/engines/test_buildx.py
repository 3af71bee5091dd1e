"""The adapter for buildx: what it runs, what it makes of failures; and that an export is what an image holds."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from buildonce.assemble.archive import scan_layer
from buildonce.assemble.tree import Tree, apply_layers
from buildonce.engines.buildx import Buildx
from buildonce.engines.programs import buildx_command
from buildonce.engines.protocol import BuildJob
from buildonce.errors import EngineFailed, EngineUnavailable
from buildonce.events import Activity, EngineLine, Event
from buildonce.oci import decode_manifest, parse_platform

ODD_FILES = """\
FROM debian:bookworm-slim AS builder
RUN mkdir -p /out/deep/er /out/empty && cd /out && echo a > deep/a && ln deep/a deep/hard \\
 && ln -s ../deep/a deep/er/link && ln -s /nowhere dangling && chmod 4755 deep/a && chown 12:34 deep/er \\
 && mkfifo fifo && mknod zero c 1 5 && chmod 1777 empty \\
 && echo b > 'with space' && echo c > .hidden && chown 70000:70001 .hidden
FROM scratch AS core
COPY --from=builder ["/out", "/out"]
COPY --from=builder ["/out/deep/a", "/else/where/a"]
"""


def job(folder: Path, *, dockerfile: str = "FROM scratch\n", target: str = "") -> BuildJob:
    (folder / "context").mkdir(parents=True, exist_ok=True)
    (folder / "output").mkdir()
    return BuildJob(
        activity=Activity.COMPILE,
        node="builder linux/amd64",
        dockerfile=dockerfile,
        ignore="",
        context=folder / "context",
        target=target,
        platform=parse_platform("linux/amd64"),
        output=folder / "output",
        compress=False,
    )


def stand_in(folder: Path, script: str, events: list[Event]) -> Buildx:
    """A buildx that is a shell script."""
    program = folder / "buildx"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1"}
    return Buildx(command=(str(program),), environment=environment, emit=events.append)


async def test_an_export_asks_for_one_archive(tmp_path: Path) -> None:
    events: list[Event] = []
    engine = stand_in(tmp_path, 'printf "%s\\n" "$@" "${SOURCE_DATE_EPOCH-none}" "$BUILDX_GIT_INFO"', events)
    exported = await engine.export(job(tmp_path, target="core"))
    said = [event.text for event in events if isinstance(event, EngineLine)]
    assert exported.archive == tmp_path / "output" / "files.tar"
    assert f"type=tar,dest={exported.archive}" in said
    assert said[0] == "build"
    assert said[-2:] == ["none", "0"]


async def test_a_failed_build_shows_its_last_lines_and_the_engines_version(tmp_path: Path) -> None:
    script = (
        'case $1 in build) echo "make: *** no rule"; exit 1;; version) echo "github.com/docker/buildx 1.2 abc";; esac'
    )
    with pytest.raises(EngineFailed, match="make: \\*\\*\\* no rule") as caught:
        await stand_in(tmp_path, script, []).export(job(tmp_path))
    assert "docker buildx 1.2 failed (compile builder linux/amd64, exit status 1)" in caught.value.message


async def test_a_failed_build_of_an_engine_that_does_not_answer_is_no_failed_build(tmp_path: Path) -> None:
    script = 'case $1 in version) echo "github.com/docker/buildx 1.2";; *) echo "Cannot connect"; exit 1;; esac'
    with pytest.raises(EngineUnavailable, match="`docker buildx du` ended with status 1") as caught:
        await stand_in(tmp_path, script, []).build(job(tmp_path))
    assert caught.value.notes == ("Cannot connect",)


def inspected(driver: str, label: str = "") -> str:
    """A buildx that fails to build, and says this of its builder."""
    platforms = "echo 'Name: mine'; echo 'Driver: " + driver + "'; echo; echo 'Name: node'; "
    platforms += "echo 'Platforms: linux/arm64*, linux/arm/v7'; echo 'Labels:'; echo ' " + label + ": x'"
    return f'case $1 in build) exit 1;; version) echo "github.com/docker/buildx 1.2";; inspect) {platforms};; esac'


@pytest.mark.parametrize(
    ("driver", "label"), [("docker", "org.mobyproject.buildkit.worker.snapshotter"), ("remote", "other")]
)
async def test_a_platform_that_no_node_lists_is_noted(tmp_path: Path, driver: str, label: str) -> None:
    with pytest.raises(EngineFailed) as caught:
        await stand_in(tmp_path, inspected(driver, label), []).build(job(tmp_path))
    assert caught.value.notes[1:2] == ("no node of `mine` lists linux/amd64",)


@pytest.mark.host
async def test_an_export_has_the_files_of_the_image(tmp_path: Path) -> None:
    command = buildx_command(os.environ)
    assert command
    engine = Buildx(command=command, environment=os.environ, emit=lambda _: None)
    built = await engine.build(job(tmp_path / "image", dockerfile=ODD_FILES, target="core"))
    exported = await engine.export(job(tmp_path / "files", dockerfile=ODD_FILES, target="core"))
    blobs = built.layout / "blobs" / "sha256"
    manifest = decode_manifest((blobs / built.manifest.digest.partition(":")[2]).read_bytes())
    image = tree_of(*(blobs / layer.digest.partition(":")[2] for layer in manifest.layers))
    files = tree_of(exported.archive)
    assert len(image) > 12
    assert without_times(files) == without_times(image)
    assert all(0 <= files[path].mtime - entry.mtime <= 1 for path, entry in image.items()), "times are rounded up"


def tree_of(*archives: Path) -> Tree:
    """The file system in these archives, the lowest first."""
    layers = []
    for path in archives:
        with path.open("rb") as file:
            layers.append(scan_layer(file).entries)
    return apply_layers(layers)


def without_times(tree: Tree) -> dict[str, object]:
    return {path: replace(entry, mtime=0) for path, entry in tree.items()}
