"""A family built by every kind of Buildah: an old one, Podman, a current one of a user of no rights on emulation.

What comes out is what a plain build with BuildKit gives, but for what docs/engines.md lists.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

import pytest

from buildonce.engines.finding import find_engine
from tests.e2e.buildah import Installed, set_up_old, set_up_podman, set_up_rootless, take_down
from tests.e2e.comparison import image_differences
from tests.e2e.harness import AMD64, ARM64, Host, digests_of, engine_nodes, new_project
from tests.e2e.images import Image, layout_blobs, read_image
from tests.e2e.plain import Order, plain_builds

pytestmark = pytest.mark.host

FAMILY = """\
FROM busybox:1.36-glibc AS builder
ARG TARGETARCH
RUN : {run_id}; mkdir /out && printf '#!/bin/sh\\necho %s\\n' $TARGETARCH > /out/tool && chmod 755 /out/tool
FROM busybox:1.36-glibc AS common
RUN mkdir -p /data /etc && cd /data && echo a > a && ln a hard && ln -s a link && chmod 4755 a && mkfifo pipe \\
 && echo user:x:1500:1500::/:/bin/sh >> /etc/passwd && echo user:x:1500: >> /etc/group && rm hard && chown -R user .
FROM common AS assembled
COPY --from=builder /out/tool /usr/bin/tool
ENV KIND=assembled
FROM common AS proved
COPY --from=builder --chown=user /out/tool /opt/tool/
RUN mkdir -p /home/user/.config && chown -R user:user /home/user
USER user
FROM common AS built
COPY --from=builder /out/tool /usr/bin/tool
RUN tool > /said
CMD ["tool"]
"""
VARIANTS = {"assembled": "assembled", "proved": "assembled", "built": "built"}
"""How each is made: as it is, with a tail to be proved, and by the engine."""

NOTED = "config.config.ArgsEscaped: 'nothing', expected True"
EMPTY = {f"/etc/{name}: an entry of kind 0 instead of nothing" for name in ("hosts", "hostname", "resolv.conf")}


_MODE = re.compile(r".*: mode is (\d+), expected (\d+)")


def _is_known(difference: str, *, old: bool) -> bool:
    """Say whether the list has it: an old Buildah leaves empty files, and writes a file's type into its mode."""
    mode = _MODE.fullmatch(difference) if old else None
    in_mode = mode is not None and int(mode[1]) & 0o7777 == int(mode[2])
    return in_mode or difference == NOTED or (old and difference in EMPTY)


def kind(set_up: Callable[[Host, Path], Installed], name: str, *, platform: str = AMD64) -> object:
    return pytest.param(set_up, platform, id=name)


@pytest.fixture(scope="module")
def family(host: Host, run_id: str) -> Iterator[Path]:
    """A folder that everybody may look into, with the family's Dockerfile."""
    with tempfile.TemporaryDirectory(prefix="bo-") as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "Dockerfile").write_text(FAMILY.format(run_id=run_id))
        yield Path(folder)


@pytest.fixture(scope="module")
def expected(
    host: Host, family: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Order, Future[Image]]]:
    """What BuildKit makes."""
    orders = [Order(family, variant, platform) for platform in (AMD64, ARM64) for variant in VARIANTS]
    with plain_builds(host, orders, tmp_path_factory.mktemp("plain")) as builds:
        yield builds


@pytest.mark.parametrize(
    ("install", "platform"),
    [
        kind(set_up_old, "the oldest"),
        kind(set_up_podman, "Podman"),
        kind(set_up_rootless, "a user of no rights, for another machine", platform=ARM64),
    ],
)
async def test_a_family_is_what_a_plain_build_makes(
    host: Host,
    family: Path,
    expected: Mapping[Order, Future[Image]],
    install: Callable[[Host, Path], Installed],
    platform: str,
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="bo-"))
    try:
        installed = install(host, folder)
        project = new_project(host, folder, {"Dockerfile": (family / "Dockerfile").read_text()})
        asked = ("build", "--json", f"--platform={platform}", *VARIANTS, "--output", f"oci:{folder}/images")
        outcome = project.buildonce(*asked, environment=installed.environment).document
        blobs = layout_blobs(folder / "images")
        images = {variant: read_image(blobs, digest) for (variant, _), digest in digests_of(outcome).items()}
        version = (await find_engine(installed.environment, lambda _: None)).name
    finally:
        take_down(folder)
    assert {image["variant"]: image["made"] for image in outcome["images"]} == VARIANTS
    assert engine_nodes(outcome, "compile") == [f"builder {platform}"]
    for variant, ours in images.items():
        theirs = expected[Order(family, variant, platform)].result()
        found = {one for one in image_differences(theirs, ours) if not one.startswith("config.history[")}
        assert {one for one in found if not _is_known(one, old="1.28" in version)} == set()
        assert ours.config["history"][0] == theirs.config["history"][0], "the history of the image below is its own"
        assert ours.manifest["layers"][0]["digest"] == theirs.manifest["layers"][0]["digest"], "and so is its layer"
        empty = [[entry.get("empty_layer", False) for entry in image.config["history"]] for image in (ours, theirs)]
        assert empty[0] == empty[1]
