"""Every driver of buildx that needs no cluster, with a real BuildKit behind it; docs/engines.md has them all.

One family is built with Docker's own driver first, as other tests do everywhere; then with others, which have to make
the same of it.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from buildonce.engines.finding import find_engine
from buildonce.errors import EngineFailed
from buildonce.events import EngineLine, Event
from tests.e2e.buildkitd import Buildkitd, buildkitd
from tests.e2e.comparison import archive_differences, image_differences, render
from tests.e2e.dockerds import classic_dockerd, dockerd
from tests.e2e.harness import AMD64, ARM64, Document, Host, Project, digests_of, engine_nodes, new_project
from tests.e2e.images import layout_blobs, read_image
from tests.e2e.trees import build_tree
from tests.engines.jobs import make_job

pytestmark = pytest.mark.host

DOCKERFILE = """\
FROM busybox:1.36-glibc AS builder
COPY version.txt /version
RUN mkdir /out && cp /version /out/app && chmod 755 /out/app

FROM busybox:1.36-glibc AS base
RUN mkdir -p /srv/made && chmod 1777 /srv/made && chown 5:6 /srv/made

FROM base AS assembled
COPY --from=builder --chown=12:34 /out/app /usr/bin/app

FROM base AS built
COPY --from=builder /out/app /usr/bin/app
RUN wc -c /usr/bin/app > /size

FROM busybox:1.36-glibc AS plain
COPY --from=builder /out/app /usr/bin/app

FROM laid AS folders
COPY --from=builder /out/app /usr/bin/app
COPY --from=stuff tool /usr/bin/tool
RUN cat /usr/bin/tool > /heard
"""
VARIANTS = ("assembled", "built", "plain", "folders")


def new_family(host: Host, folder: Path, version: str) -> Project:
    """A family whose variants share a compile stage; a folder and an OCI layout are named contexts of it."""
    files = {"Dockerfile": DOCKERFILE, "version.txt": version, "stuff/tool": f"tool {version}"}
    project = new_project(host, folder, {**files, "laid/Dockerfile": "FROM busybox:1.36-glibc\nENV LAID=1\n"})
    output = f"--output=type=oci,tar=false,dest={folder}/layout,name=localhost/x:v1"
    host.demand("docker", "buildx", "build", "--provenance=false", output, project.folder / "laid")
    return project


def build_family(project: Project, name: str, environment: Mapping[str, str] | None = None) -> Document:
    """Build with a memory and a cache of their own, as on another machine; return the outcome."""
    folder = project.folder.parent
    other = replace(project, state=folder / name / "state")
    contexts = (f"stuff={project.folder / 'stuff'}", f"laid=oci-layout://{folder}/layout:v1")
    argv = ["build", "--json", f"--platform={AMD64}", *(f"--build-context={context}" for context in contexts)]
    argv += [f"--cache=oci:{folder / name}/cache", f"--output=oci:{folder / name}/images"]
    argv += [word for variant in VARIANTS for word in ("--variant", variant)]
    return other.buildonce(*argv, environment=environment).document


def cached_names(project: Project, name: str) -> list[str]:
    """Return what a build put into its cache: kinds, stages, platforms and keys."""
    index = json.loads((project.folder.parent / name / "cache" / "index.json").read_bytes())
    return sorted(one["annotations"]["org.opencontainers.image.ref.name"] for one in index["manifests"])


def assert_same(project: Project, first: Document, second: Document, names: tuple[str, str]) -> None:
    assert len(digests_of(first)) == len(VARIANTS)
    assert digests_of(second) == digests_of(first)
    assert {image["variant"]: image["made"] for image in second["images"]} == {
        "assembled": "assembled",
        "built": "built",
        "plain": "assembled",
        "folders": "assembled",
    }
    assert engine_nodes(second, "compile") == engine_nodes(first, "compile") != []
    assert cached_names(project, names[1]) == cached_names(project, names[0]) != []


@pytest.fixture
def own(host: Host, tmp_path: Path) -> Host:
    """The host, with a folder of its own for what Docker and buildx are told and note down."""
    folder = tmp_path / "docker"
    shutil.copytree(Path(host.environment["DOCKER_CONFIG"]) / "cli-plugins", folder / "cli-plugins", symlinks=True)
    return replace(host, environment={**host.environment, "DOCKER_CONFIG": str(folder)})


@pytest.fixture
def node(host: Host) -> Iterator[Buildkitd]:
    with buildkitd(host.environment["DOCKER_HOST"]) as listening:
        yield listening


def test_a_remote_builder_makes_the_same_images_under_the_same_keys(
    own: Host, node: Buildkitd, run_id: str, tmp_path: Path
) -> None:
    project = new_family(own, tmp_path, run_id)
    first = build_family(project, "docker")
    own.demand("docker", "buildx", "create", "--driver=remote", "--name=far", node.address)
    counted = node.connections
    second = build_family(project, "remote", {"BUILDX_BUILDER": "far"})
    assert node.connections > counted
    assert_same(project, first, second, ("docker", "remote"))
    own.demand("docker", "buildx", "use", "far")
    counted = node.connections
    third = build_family(project, "used")
    assert node.connections > counted
    assert_same(project, first, third, ("docker", "used"))


IN_CONTAINER = """\
FROM busybox:1.36-glibc
COPY --chmod=755 buildctl /usr/bin/buildctl
ENTRYPOINT ["sh", "-c", "exec sleep 3600"]
"""
BUILDCTL = """\
#!/bin/sh
# No image of buildkitd can be had without its registry: what listens is elsewhere, and this leads to it.
[ "$*" = "dial-stdio" ] && exec nc 127.0.0.1 {port}
[ "$*" = "debug workers" ]
"""


@pytest.fixture(scope="module")
def second(host: Host) -> Iterator[str]:
    """The address of a second Docker engine."""
    with dockerd(host, keeps_in_containerd=True) as address:
        yield address


@pytest.fixture
def container_builder(own: Host, second: str, node: Buildkitd, run_id: str, tmp_path: Path) -> str:
    """A builder of the driver docker-container, by its name; what its container leads to is ``node``."""
    folder = tmp_path / "in-container"
    folder.mkdir()
    (folder / "Dockerfile").write_text(IN_CONTAINER)
    (folder / "buildctl").write_text(BUILDCTL.format(port=node.port))
    name = f"bo-{run_id}"
    output = f"--output=type=docker,name={name},dest={folder}/image.tar"
    own.demand("docker", "buildx", "build", "--provenance=false", output, folder)
    own.demand("docker", "--host", second, "load", "--input", folder / "image.tar")
    options = (f"--driver-opt=image={name}", "--driver-opt=network=host")
    own.demand("docker", "buildx", "create", "--driver=docker-container", f"--name={name}", *options, second)
    return name


def test_a_builder_in_a_container_makes_the_same_images_under_the_same_keys(
    own: Host, node: Buildkitd, container_builder: str, run_id: str, tmp_path: Path
) -> None:
    project = new_family(own, tmp_path, run_id)
    first = build_family(project, "docker")
    assert node.connections == 0
    second = build_family(project, "container", {"BUILDX_BUILDER": container_builder})
    assert node.connections > 0
    assert_same(project, first, second, ("docker", "container"))


BY_ARCHITECTURE = """\
FROM busybox:1.36-glibc AS for-amd64
RUN uname -m > /machine && : {run_id}-amd64
FROM busybox:1.36-glibc AS for-arm64
RUN uname -m > /machine && : {run_id}-arm64
FROM for-$TARGETARCH AS builder
RUN cp /machine /app
FROM busybox:1.36-glibc AS final
COPY --from=builder /app /app
FROM for-$TARGETARCH AS made
RUN cp /machine /app
"""


def test_each_platform_is_built_on_the_node_that_is_for_it(
    own: Host, second: str, node: Buildkitd, run_id: str, tmp_path: Path
) -> None:
    project = new_project(own, tmp_path, {"Dockerfile": BY_ARCHITECTURE.format(run_id=run_id)})
    builder = {"BUILDX_BUILDER": "two"}
    asked = ("build", "--variant=final,made", f"--cache=oci:{tmp_path}/cache", f"--output=oci:{tmp_path}/out")
    with buildkitd(second) as other:
        create = ("docker", "buildx", "create", "--driver=remote", "--name=two")
        own.demand(*create, f"--platform={AMD64}", node.address)
        own.demand(*create, "--append", f"--platform={ARM64}", other.address)
        outcome = project.buildonce(*asked, "--json", f"--platform={AMD64},{ARM64}", environment=builder).document
    assert len(engine_nodes(outcome, "compile")) == 2
    assert len(engine_nodes(outcome, "base")) == 2
    for (_, platform), digest in digests_of(outcome).items():
        tree = build_tree(read_image(layout_blobs(tmp_path / "out"), digest).layers)
        assert tree["app"].size == len("x86_64\n" if platform == AMD64 else "aarch64\n")
    built = {
        address: own.demand("docker", "--host", address, "buildx", "du", "--verbose")
        for address in (own.environment["DOCKER_HOST"], second)
    }
    ran = [[name for name in ("amd64", "arm64") if f"{run_id}-{name}" in said] for said in built.values()]
    assert ran == [["amd64"], ["arm64"]]


def test_a_platform_that_no_node_runs_is_refused_before_anything_is_built(
    own: Host, node: Buildkitd, run_id: str, tmp_path: Path
) -> None:
    text = f'FROM scratch AS made\nCOPY Dockerfile /{run_id}\nRUN ["/{run_id}"]\n'
    project = new_project(own, tmp_path, {"Dockerfile": text})
    own.demand("docker", "buildx", "create", "--driver=remote", "--name=far", "--use", node.address)
    ran = project.buildonce("build", "--platform=linux/s390x")
    assert ran.code == 4
    assert "the builder `far` has no node that runs linux/s390x, and Dockerfile:3 is a RUN there" in ran.err
    assert f"`far0` runs {AMD64}" in ran.err


@pytest.fixture(scope="module")
def classic(host: Host) -> Iterator[str]:
    """The address of a Docker engine that keeps images in its own way."""
    with classic_dockerd(host) as (_, address):
        yield address


def stored(host: Host, address: str) -> str:
    """Return what images a Docker engine has, also nameless ones."""
    return host.demand("docker", "--host", address, "image", "ls", "--all", "--quiet")


def test_dockers_own_image_store_makes_the_same_images_and_keeps_none(
    host: Host, classic: str, run_id: str, tmp_path: Path
) -> None:
    project = new_family(host, tmp_path, run_id)
    first = build_family(project, "docker")
    second = build_family(project, "classic", {"DOCKER_HOST": classic})
    assert cached_names(project, "classic") == cached_names(project, "docker")
    ours, theirs = digests_of(second), digests_of(first)
    assert ours["plain", AMD64] == theirs["plain", AMD64], "only assembled, from the same core"
    for variant in VARIANTS:
        image = read_image(layout_blobs(tmp_path / "classic" / "images"), ours[variant, AMD64])
        expected = read_image(layout_blobs(tmp_path / "docker" / "images"), theirs[variant, AMD64])
        differences = image_differences(expected, image)
        assert not differences, f"{variant}: {render(differences)}"
        made = [entry["created_by"] for entry in image.config["history"] if not entry.get("empty_layer")]
        ran = {f"layer {number}" for number, maker in enumerate(made) if maker.startswith("RUN ")}
        assert ran.issuperset(archive_differences(expected, image)), "but for RUN the same archives"
        assert image.manifest["layers"][0] == expected.manifest["layers"][0], "that of the external image"
    assert stored(host, classic) == ""


def test_dockers_own_image_store_builds_for_another_machine(
    host: Host, classic: str, run_id: str, tmp_path: Path
) -> None:
    text = f"FROM busybox:1.36-glibc AS base\nRUN uname -m > /machine && : {run_id}\n"
    project = new_project(host, tmp_path, {"Dockerfile": text})
    places = (f"--output=oci:{tmp_path}/out", f"--cache=oci:{tmp_path}/cache")
    asked = ("build", "--json", f"--platform={ARM64}", *places)
    outcome = project.buildonce(*asked, environment={"DOCKER_HOST": classic}).document
    image = read_image(layout_blobs(tmp_path / "out"), digests_of(outcome)["base", ARM64])
    assert image.config["architecture"] == "arm64"
    assert build_tree(image.layers)["machine"].size == len("aarch64\n")
    assert stored(host, classic) == ""


def test_dockers_own_image_store_is_that_of_the_docker_context(
    own: Host, classic: str, run_id: str, tmp_path: Path
) -> None:
    text = f"FROM busybox:1.36-glibc AS base\nRUN : {run_id} && echo a > /a\n"
    project = new_project(own, tmp_path, {"Dockerfile": text})
    own.demand("docker", "context", "create", "other", f"--docker=host={classic}")
    environment = {"DOCKER_HOST": "", "DOCKER_CONTEXT": "other"}
    places = (f"--output=oci:{tmp_path}/out", f"--cache=oci:{tmp_path}/cache")
    outcome = project.buildonce("build", "--json", f"--platform={AMD64}", *places, environment=environment).document
    assert engine_nodes(outcome, "base") == ["base linux/amd64"]
    assert run_id in own.demand("docker", "--host", classic, "buildx", "du", "--verbose")
    assert stored(own, classic) == ""


def laid_contexts(folder: Path) -> Mapping[str, str]:
    """Return the named context of the family that is a layout."""
    (manifest,) = json.loads((folder / "layout" / "index.json").read_bytes())["manifests"]
    return {"laid": f"oci-layout://{folder}/layout@{manifest['digest']}"}


WAITING = """\
FROM busybox:1.36-glibc
COPY --from=laid /etc/passwd /there
RUN sleep 77
"""


@pytest.mark.parametrize("said", ["RUN sleep 77", "naming to"])
async def test_dockers_own_image_store_keeps_nothing_of_a_build_that_is_cancelled(
    host: Host, classic: str, run_id: str, tmp_path: Path, said: str
) -> None:
    new_family(host, tmp_path, run_id)
    begun = asyncio.Event()
    environment = {**host.environment, "DOCKER_HOST": classic}
    engine = await find_engine(environment, lambda event: begun.set() if said in str(event) else None)
    text = WAITING if "sleep" in said else WAITING.replace("sleep 77", run_id.join((": ", "")))
    job = make_job(tmp_path / "job", dockerfile=text, contexts=laid_contexts(tmp_path))
    running = asyncio.create_task(engine.build(job))
    await asyncio.wait_for(begun.wait(), 120)
    assert stored(host, classic) != "", "the named context is there as long as it is needed"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert stored(host, classic) == ""


async def test_dockers_own_image_store_finds_a_named_context_in_its_cache_whatever_its_name(
    host: Host, classic: str, run_id: str, tmp_path: Path
) -> None:
    new_family(host, tmp_path, run_id)
    said: list[Event] = []
    engine = await find_engine({**host.environment, "DOCKER_HOST": classic}, said.append)
    text = f"FROM busybox:1.36-glibc\nCOPY --from=laid /etc/passwd /there\nRUN : {run_id} cached\n"
    for name in ("a", "b"):
        said.clear()
        await engine.build(make_job(tmp_path / name, dockerfile=text, contexts=laid_contexts(tmp_path)))
    lines = [event.text for event in said if isinstance(event, EngineLine)]
    steps = {line.split()[0]: line for line in lines if " 2/3] COPY" in line or " 3/3] RUN" in line}
    assert [f"{number} CACHED" in lines for number in steps] == [True, True]


async def test_dockers_own_image_store_keeps_nothing_of_a_build_that_fails(
    host: Host, classic: str, tmp_path: Path
) -> None:
    engine = await find_engine({**host.environment, "DOCKER_HOST": classic}, lambda _: None)
    job = make_job(tmp_path / "job", dockerfile="FROM busybox:1.36-glibc\nRUN exit 7\n")
    with pytest.raises(EngineFailed, match="did not complete successfully: exit code: 7"):
        await engine.build(job)
    assert stored(host, classic) == ""
