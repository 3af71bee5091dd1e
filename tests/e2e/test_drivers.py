"""Every driver of buildx that needs no cluster, with a real BuildKit behind it; docs/engines.md has them all.

One family is built with Docker's own driver first, as other tests do everywhere; then with others, which have to make
the same of it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.buildkitd import Buildkitd, buildkitd
from tests.e2e.dockerds import classic_dockerd, dockerd
from tests.e2e.harness import AMD64, Document, Host, Project, digests_of, engine_nodes, new_project

pytestmark = pytest.mark.host

DOCKERFILE = """\
FROM busybox:1.36-glibc AS builder
COPY version.txt /version
RUN mkdir /out && cp /version /out/app && chmod 755 /out/app

FROM busybox:1.36-glibc AS base
RUN mkdir -p /srv/made && cat /proc/sys/kernel/random/uuid > /srv/made/anew

FROM base AS assembled
COPY --from=builder --chown=12:34 /out/app /usr/bin/app

FROM base AS built
COPY --from=builder /out/app /usr/bin/app
RUN wc -c /usr/bin/app > /size

FROM laid AS folders
COPY --from=builder /out/app /usr/bin/app
COPY --from=stuff tool /usr/bin/tool
RUN cat /usr/bin/tool > /heard
"""
VARIANTS = ("assembled", "built", "folders")


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


def test_dockers_own_image_store_is_refused_by_name(host: Host, tmp_path: Path) -> None:
    project = new_project(host, tmp_path, {"Dockerfile": "FROM busybox:1.36-glibc AS assembled\nRUN true\n"})
    with classic_dockerd(host) as (_, address):
        ran = project.buildonce("build", "--variant=assembled", environment={"DOCKER_HOST": address})
    assert ran.code == 4, ran.err
    assert "the driver `docker` writes OCI layouts with containerd's image store alone" in ran.err
    assert "docker buildx create --use" in ran.err
