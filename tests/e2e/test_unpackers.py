"""Containerd, Docker's own store and Buildah unpack an assembled image to the tree that BuildKit's image gives them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.dockerds import classic_dockerd
from tests.e2e.harness import AMD64, Document, Host, digests_of, new_project
from tests.e2e.images import registry_blobs
from tests.e2e.unpackers import Unpacked, by_buildah, by_docker

pytestmark = pytest.mark.host

VARIANTS = ("copies", "tail", "onto")

DOCKERFILE = """\
FROM busybox:1.36-glibc AS builder
COPY version.txt /out/version
RUN mkdir -p /out/dir/sub /out/empty && cp /out/version /out/app && chmod 4755 /out/app && ln /out/app /out/same \\
 && ln -s app /out/link && echo a > /out/dir/a && chmod 711 /out/dir && chown 5:6 /out/dir/a && mkfifo /out/dir/pipe \\
 && chmod 1777 /out/empty

FROM busybox:1.36-glibc AS base
RUN mkdir -p /srv/real /opt/keep/below /usr/share/bug && echo x > /usr/share/bug/y \
 && echo games:x:5:60::/:/bin/sh >> /etc/passwd && echo staff:x:50: >> /etc/group \
 && ln -s /srv/real /srv/alias && echo old > /opt/keep/old \\
 && chmod 2770 /opt/keep && chown 33:33 /opt/keep/old

FROM base AS copies
COPY --from=builder --chown=12:34 /out/app /app/deep/er/app
COPY --from=builder --chown=7:8 --chmod=750 /out/dir /srv/alias/dir
COPY --from=builder /out/app /out/same /out/link /tools/
COPY --from=builder --chown=games:staff /out/empty /var/empty
LABEL kind="copies"

FROM base AS tail
COPY --from=builder /out/app /opt/keep/below/app
COPY --from=builder /out/dir/a /usr/share/family/a
RUN rm -rf /opt/keep/old /usr/share/bug && echo 'someone:x:77:77::/:/bin/sh' >> /etc/passwd \
 && mkdir -m 700 /home/someone
WORKDIR /srv/deep
USER someone

FROM base AS onto
COPY --from=builder /out/version /opt/keep/old
COPY --from=builder /out/ /opt/keep/
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """The repositories with what buildonce shipped (with gzip, and with zstd) and with what BuildKit pushed."""

    ours: str
    theirs: str
    zstd: str
    zstd_outcome: Document


@pytest.fixture(scope="module")
def shipped(host: Host, run_id: str, tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """The project, built and pushed by both."""
    folder = tmp_path_factory.mktemp("unpacking")
    project = new_project(host, folder, {"Dockerfile": DOCKERFILE, "version.txt": f"{run_id}\n"})
    name = host.repository(f"e2e-{run_id}/unpacked")
    outcome = project.build("--push", name, platforms=(AMD64,))
    again = project.build("--push", f"{name}-zstd", "--compression=zstd", platforms=(AMD64,))
    assert {image["made"] for image in (*outcome["images"], *again["images"])} == {"assembled"}
    found = Shipped(ours=name, theirs=f"{name}-plain", zstd=f"{name}-zstd", zstd_outcome=again)
    for variant in VARIANTS:
        plain = ("--provenance=false", f"--platform={AMD64}", f"--target={variant}", f"--tag={found.theirs}:{variant}")
        host.demand("docker", "buildx", "build", "--quiet", "--push", *plain, project.folder)
    return found


Unpack = Callable[[str], Unpacked]


@pytest.fixture(scope="module", params=["containerd", "dockerd", "buildah"])
def unpack(host: Host, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unpack]:
    """Give what unpacks an image with one of the tools."""
    if request.param == "buildah":
        folder: Path = tmp_path_factory.mktemp("buildah")
        yield lambda reference: by_buildah(host, reference, folder)
    elif request.param == "dockerd":
        with classic_dockerd(host) as options:
            yield lambda reference: by_docker(host, reference, *options)
    else:
        assert "io.containerd.snapshotter" in host.demand("docker", "info", "--format", "{{.DriverStatus}}")
        yield lambda reference: by_docker(host, reference)


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_images_unpack_to_one_tree(shipped: Shipped, unpack: Unpack, variant: str) -> None:
    ours, theirs = unpack(f"{shipped.ours}:{variant}"), unpack(f"{shipped.theirs}:{variant}")
    paths = ours.keys() | theirs.keys()
    differ = {path: (ours.get(path), theirs.get(path)) for path in paths if ours.get(path) != theirs.get(path)}
    assert not differ
    assert SEEN[variant](ours)


def test_layers_of_zstd_unpack_to_the_same_tree(host: Host, shipped: Shipped, unpack: Unpack) -> None:
    assert unpack(f"{shipped.zstd}:copies") == unpack(f"{shipped.ours}:copies")
    manifest = json.loads(registry_blobs(shipped.zstd)(digests_of(shipped.zstd_outcome)["copies", AMD64]))
    kinds = [layer["mediaType"].rpartition("+")[2] for layer in manifest["layers"]]
    assert set(kinds[-4:]) == {"zstd"}
    assert set(kinds[:-4]) == {"gzip"}


SEEN: dict[str, Callable[[Unpacked], bool]] = {
    "copies": lambda tree: (
        (tree["app/deep"].owner, tree["app/deep/er/app"].mode) == ((12, 34), 0o4755)
        and tree["srv/real/dir/sub"].mode == 0o750
        and tree["srv/alias"].kind == "link"
        and tree["tools/link"].kind == "file"
    ),
    "tail": lambda tree: (
        "opt/keep/old" not in tree and "opt/keep/below/app" in tree and tree["opt/keep"].mode == 0o2770
    ),
    "onto": lambda tree: tree["opt/keep/dir/pipe"].kind == "pipe" and tree["opt/keep/empty"].mode == 0o1777,
}
"""That what was unpacked is what this test is about, so that two empty trees are not enough."""
