"""Named contexts of every kind on disk, against plain builds that are given the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.comparison import image_differences, render
from tests.e2e.harness import AMD64, Host, digests_of, new_project
from tests.e2e.images import layout_blobs, read_image
from tests.e2e.plain import plain_build

pytestmark = pytest.mark.host

DOCKERFILE = """\
FROM gcc:does-not-exist AS builder
RUN make
FROM alpine:3.99 AS replaced-image
RUN echo hi > /hi
FROM busybox:1.36-glibc AS from-folder
COPY --from=stuff . /all/
FROM busybox:1.36-glibc AS late
COPY --from=builder /bin/tool /usr/bin/tool
FROM stuff AS rooted
COPY --from=busybox:1.36-glibc /bin/busybox /bin/b
FROM inlayout AS laid
COPY --from=builder /bin/tool /x/tool
RUN echo laid > /laid
FROM busybox:1.36-glibc AS mounting
RUN --mount=from=stuff,source=bin,target=/m cp /m/tool /tool
"""
VARIANTS = ("replaced-image", "from-folder", "late", "rooted", "laid", "mounting")


def test_named_contexts_give_what_a_plain_build_gives(host: Host, run_id: str, tmp_path: Path) -> None:
    files = {"bin/tool": run_id, "junk": "x", ".dockerignore": "junk\n"}
    project = new_project(
        host,
        tmp_path,
        {"Dockerfile": DOCKERFILE, ".dockerignore": "*\n", "inner/Dockerfile": "FROM busybox:1.36-glibc\nENV LAID=1\n"}
        | {f"files/{name}": text for name, text in files.items()},
    )
    layout = tmp_path / "layout"
    argv = ["docker", "buildx", "build", "--provenance=false", f"--platform={AMD64}"]
    host.demand(*argv, f"--output=type=oci,tar=false,dest={layout},name=localhost/x:v1", project.folder / "inner")
    given = [
        f"--build-context={name}={value}"
        for name, value in {
            "builder": project.folder / "files",
            "stuff": project.folder / "files",
            "alpine:3.99": "docker-image://busybox:1.36-glibc",
            "inlayout": f"oci-layout://{layout}:v1",
        }.items()
    ]
    out = tmp_path / "out"
    cache = f"--cache=oci:{tmp_path / 'cache'}"
    outcome = project.build("--output", f"oci:{out}", cache, *given, platforms=(AMD64,))
    for variant in VARIANTS:
        shipped = read_image(layout_blobs(out), digests_of(outcome)[(variant, AMD64)])
        plain = plain_build(
            host, project.folder, tmp_path / "plain", target=variant, platform=AMD64, arguments=tuple(given)
        )
        differences = image_differences(plain, shipped)
        assert not differences, f"{variant}: {render(differences)}"
