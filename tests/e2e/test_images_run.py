"""Shipped images in the hands of others: engines run them, and independent readers accept them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.e2e.harness import AMD64, PLATFORMS, VARIANTS, Host, digests_of, tags_of
from tests.e2e.images import layout_blobs, layout_digests, read_image, registry_blobs
from tests.e2e.stories import Stories
from tests.e2e.tools import find_tool
from tests.e2e.trees import build_tree

pytestmark = pytest.mark.host

MACHINES = dict(zip(PLATFORMS, ("x86_64", "aarch64"), strict=True))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_image_runs_the_program_of_the_changed_source(
    host: Host, stories: Stories, variant: str, platform: str
) -> None:
    image = f"{stories.repository}@{tags_of(stories.line_changed.outcome)[variant]}"
    # copilot's own entry point greets, and then runs what it is given: by default the program, for its version.
    arguments = () if variant == "copilot" else ("--version",)
    said = host.demand("docker", "run", "--rm", "--quiet", f"--platform={platform}", image, *arguments)
    assert said.splitlines()[-1] == f"family {stories.version} ({MACHINES[platform]})"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_hermes_recorded_the_changed_version_while_it_was_built(host: Host, stories: Stories, platform: str) -> None:
    image = f"{stories.repository}@{tags_of(stories.line_changed.outcome)['hermes']}"
    options = ("--rm", "--quiet", f"--platform={platform}", "--entrypoint=cat")
    said = host.demand("docker", "run", *options, image, "/etc/family-release")
    assert said == f"family {stories.version} ({MACHINES[platform]})\n"


@pytest.mark.parametrize("variant", VARIANTS)
def test_image_greets_as_its_config_says(host: Host, stories: Stories, variant: str) -> None:
    image = f"{stories.repository}:{variant}"
    said = host.demand("docker", "run", "--rm", "--quiet", "--pull=always", f"--platform={AMD64}", image)
    assert said.startswith(f"{variant}: ")


@pytest.mark.parametrize("variant", VARIANTS)
def test_skopeo_copies_index_and_images(host: Host, stories: Stories, tmp_path: Path, variant: str) -> None:
    source = f"docker://{stories.repository}:{variant}"
    options = ("--insecure-policy", "copy", "--all", "--preserve-digests", "--src-tls-verify=false")
    host.demand(*find_tool("skopeo"), *options, source, f"oci:{tmp_path}:{variant}")
    assert layout_digests(tmp_path) == {variant: stories.run_changed.tags[variant]}
    for (name, _), digest in digests_of(stories.run_changed.outcome).items():
        assert name != variant or read_image(layout_blobs(tmp_path), digest).layers


@pytest.mark.parametrize("variant", VARIANTS)
def test_crane_finds_index_and_images_valid(host: Host, stories: Stories, variant: str) -> None:
    # Every byte of every layer for one variant of each base; the others share all but their last layers with those.
    options = () if variant in ("claude", "kiro") else ("--fast",)
    said = host.demand(
        *find_tool("crane"), "validate", "--insecure", *options, "--remote", f"{stories.repository}:{variant}"
    )
    assert said.startswith("PASS")


def test_umoci_unpacks_the_tree_that_these_tests_read(host: Host, stories: Stories, tmp_path: Path) -> None:
    digest = digests_of(stories.run_changed.outcome)[("kiro", AMD64)]
    options = ("--insecure-policy", "copy", "--src-tls-verify=false")
    layout = tmp_path / "layout"
    host.demand(*find_tool("skopeo"), *options, f"docker://{stories.repository}@{digest}", f"oci:{layout}:kiro")
    rootless = ("--rootless",) if os.geteuid() else ()
    host.demand(*find_tool("umoci"), "unpack", *rootless, "--image", f"{layout}:kiro", tmp_path / "bundle")
    root = tmp_path / "bundle" / "rootfs"
    expected = build_tree(read_image(registry_blobs(stories.repository), digest).layers)
    unpacked = {str(path.relative_to(root)) for path in root.rglob("*")}
    assert unpacked == set(expected)
    for path, node in expected.items():
        found = (root / path).lstat()
        assert stat.S_ISLNK(found.st_mode) or stat.S_IMODE(found.st_mode) == node.mode, path
        assert os.geteuid() or (found.st_uid, found.st_gid) == (node.uid, node.gid), path
        assert not stat.S_ISREG(found.st_mode) or found.st_size == node.size, path
        if stat.S_ISLNK(found.st_mode):
            assert str((root / path).readlink()) == node.link
