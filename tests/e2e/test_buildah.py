"""A real Buildah as the engine: what it builds is what BuildKit builds, but for what docs/engines.md lists."""

from __future__ import annotations

import asyncio
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from buildonce.assemble.tree import Tree
from buildonce.engines.buildx import Buildx
from buildonce.engines.finding import find_engine
from buildonce.engines.programs import buildx_command
from buildonce.engines.protocol import BuildJob, Built, Engine
from buildonce.errors import EngineFailed
from tests.e2e.buildah import Installed, set_up, take_down
from tests.e2e.comparison import image_differences
from tests.e2e.harness import Host
from tests.e2e.images import Image, layout_blobs, read_image
from tests.engines.jobs import make_job
from tests.engines.test_buildx import ODD_FILES, tree_of, without_times

pytestmark = pytest.mark.host

BUSYBOX = "busybox:1.36-glibc"
CONTEXTS = {BUSYBOX: f"docker-image://docker.io/library/{BUSYBOX}"}
"""As in every run: Buildah itself does not know where an image without a registry's name is."""


@pytest.fixture(scope="module")
def buildah(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("buildah")
    yield set_up(host, folder)
    take_down(folder)


@pytest.fixture
async def engine(buildah: Installed) -> Engine:
    return await find_engine(buildah.environment, lambda _: None)


@pytest.fixture
def buildkit(host: Host) -> Engine:
    command = buildx_command(host.environment)
    assert command
    return Buildx(command=command, environment=host.environment, emit=lambda _: None)


def image_of(built: Built) -> Image:
    return read_image(layout_blobs(built.layout), built.manifest.digest)


async def exported_tree(engine: Engine, job: BuildJob) -> Tree:
    return tree_of((await engine.export(job)).archive)


async def test_odd_files_are_those_that_buildkit_makes(engine: Engine, buildkit: Engine, tmp_path: Path) -> None:
    text = ODD_FILES.replace("debian:bookworm-slim", BUSYBOX).replace(" && mknod zero c 1 5", "")

    def job(name: str) -> BuildJob:
        return make_job(tmp_path / name, dockerfile=text, target="core", contexts=CONTEXTS)

    built = await engine.build(job("image"))
    blobs = built.layout / "blobs" / "sha256"
    image = tree_of(*(blobs / layer["digest"][7:] for layer in image_of(built).manifest["layers"]))
    exported = await exported_tree(engine, job("files"))
    expected = await exported_tree(buildkit, job("expected"))
    assert len(expected) > 12
    assert without_times(exported) == without_times(expected)
    assert without_times(image) == without_times(expected)
    files = [path for path, entry in image.items() if not entry.is_directory]
    assert [exported[path].mtime for path in files] == [image[path].mtime for path in files]


EVERYTHING = f"""\
FROM {BUSYBOX} AS Below
RUN mkdir /out && echo a > /out/a
FROM {BUSYBOX}
ARG WHAT=this
ENV A=$WHAT B="b c"
LABEL l=m
COPY --from=BELOW --chown=12:34 --chmod=0750 /out/a /deep/er/a
SHELL ["/bin/sh", "-ec"]
RUN (false; true) || echo "$WHAT" > /said
EXPOSE 80 443/udp
VOLUME /data
HEALTHCHECK --interval=30s --start-interval=2s CMD true
STOPSIGNAL SIGINT
ONBUILD RUN true
USER 12:34
ENTRYPOINT ["/bin/sh"]
CMD echo b
WORKDIR /made/by/workdir
"""


DIFFERENCES = [
    "/deep: mode is 493, expected 488",
    "/deep/er: mode is 493, expected 488",
    "/made: nothing instead of an entry of kind 5",
    "/made/by: nothing instead of an entry of kind 5",
    "/made/by/workdir: nothing instead of an entry of kind 5",
    "config.config.ArgsEscaped: 'nothing', expected True",
    "config.config.Cmd[1]: '-c', expected '-ec'",
    "config.number of layers: 3, expected 4",
]
"""In the order of docs/engines.md: parents under --chmod, a last WORKDIR, what only BuildKit notes, SHELL and CMD."""


async def test_the_differences_are_those_that_are_documented(engine: Engine, buildkit: Engine, tmp_path: Path) -> None:
    def job(name: str) -> BuildJob:
        job = make_job(tmp_path / name, dockerfile=EVERYTHING, contexts=CONTEXTS, compress=True)
        return replace(job, known_history=1)

    ours, theirs = image_of(await engine.build(job("ours"))), image_of(await buildkit.build(job("theirs")))
    differences = [
        one for one in image_differences(theirs, ours) if not one.startswith(("config.history", "manifest."))
    ]
    assert differences == DIFFERENCES
    assert [entry["created_by"] for entry in ours.config["history"][-2:]] == [
        "/bin/sh -c #(nop) CMD echo b",
        "/bin/sh -c #(nop) WORKDIR /made/by/workdir",
    ]
    assert len(ours.config["history"]) == len(theirs.config["history"])
    assert {"# buildkit" in entry["created_by"] for entry in theirs.config["history"][1:]} == {True, False}
    assert not any("# buildkit" in entry["created_by"] for entry in ours.config["history"][1:])
    assert any(f"FROM docker.io/library/{BUSYBOX}" in entry.get("comment", "") for entry in ours.config["history"])


async def test_buildkit_allows_device_nodes_and_buildah_does_not(
    engine: Engine, buildkit: Engine, tmp_path: Path
) -> None:
    # What a command says last may be lost on its way through Buildah: this one writes it into a file.
    text = f"FROM {BUSYBOX} AS run\nRUN mknod /zero c 1 5 2> /said || true\n"
    text += "FROM scratch\nCOPY --from=run /said /zer[o] /\n"
    theirs = await exported_tree(buildkit, make_job(tmp_path / "theirs", dockerfile=text, contexts=CONTEXTS))
    assert (theirs["zero"].device, theirs["said"].size) == ((1, 5), 0)
    ours = await engine.export(make_job(tmp_path / "ours", dockerfile=text, contexts=CONTEXTS))
    with tarfile.open(ours.archive) as archive:
        assert "zero" not in archive.getnames()
        said = archive.extractfile("said")
        assert said
        assert said.read() == b"mknod: /zero: Operation not permitted\n"


def leftovers(host: Host, buildah: Installed) -> str:
    return host.demand(*("env", *(f"{k}={v}" for k, v in buildah.environment.items())), buildah.program, "ps", "--all")


async def test_nothing_is_left_of_a_build_that_fails_or_is_cancelled(
    host: Host, buildah: Installed, engine: Engine, tmp_path: Path
) -> None:
    before = leftovers(host, buildah)
    with pytest.raises(EngineFailed, match="exit status 7"):
        await engine.build(make_job(tmp_path / "a", dockerfile=f"FROM {BUSYBOX}\nRUN exit 7\n", contexts=CONTEXTS))
    begun = asyncio.Event()
    watched = await find_engine(buildah.environment, lambda event: begun.set() if "RUN" in str(event) else None)
    job = make_job(tmp_path / "b", dockerfile=f"FROM {BUSYBOX}\nRUN sleep 77\n", contexts=CONTEXTS)
    running = asyncio.create_task(watched.build(job))
    await asyncio.wait_for(begun.wait(), 120)
    await asyncio.sleep(0.5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert leftovers(host, buildah) == before
    assert not list(job.output.iterdir())
