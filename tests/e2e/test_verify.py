"""`buildonce verify` on the real thing: what was shipped, copied, pushed by others, damaged in a registry."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from scripts.testhost.folders import locate
from tests.e2e.harness import (
    AMD64,
    BUILDONCE,
    PLATFORMS,
    VARIANTS,
    Document,
    Host,
    Project,
    digests_of,
    new_project,
    tags_of,
)
from tests.e2e.images import Blobs, Json, registry_blobs
from tests.e2e.stories import Stories
from tests.e2e.tools import find_tool

pytestmark = pytest.mark.host


def verified(host: Host, *arguments: str, code: int = 0) -> Document:
    """Run the command; return what it prints."""
    ran = host.run(*BUILDONCE, "verify", "--json", *arguments)
    assert ran.code == code, ran.out + ran.err
    found: Document = json.loads(ran.out)
    return found


def codes_of(document: Document) -> set[str]:
    return {finding["code"] for finding in document["findings"]}


def test_what_was_shipped_is_whole(host: Host, stories: Stories) -> None:
    document = verified(host, stories.repository, f"--platform={','.join(PLATFORMS)}")
    assert document["references"] == [f"{stories.repository}:{variant}" for variant in sorted(VARIANTS)]
    assert document["findings"] == document["remarks"] == []
    shipped = {
        (image["reference"].rpartition(":")[2], image["platform"]): image["digest"] for image in document["images"]
    }
    assert shipped == digests_of(stories.run_changed.outcome)
    # The program and cursor's list of agents, and kiro's manual page, of which there is only one.
    assert document["compared"] == len(PLATFORMS)
    blobs = registry_blobs(stories.repository)
    layers = {
        layer["digest"]: layer["size"] for digest in shipped.values() for layer in json.loads(blobs(digest))["layers"]
    }
    assert document["layers"] == len(layers)
    assert document["bytes_read"] == sum(layers.values())
    # The list of tags, an index for each, a manifest and a config for each image, and every layer once.
    assert document["requests"] == 1 + len(VARIANTS) + 2 * len(shipped) + len(layers)


def test_a_quick_look_reads_no_layer(host: Host, stories: Stories) -> None:
    document = verified(host, stories.repository, "--quick")
    assert document["bytes_read"] == 0
    assert document["bytes_down"] < 500_000
    assert document["findings"] == []


def test_a_variant_of_an_older_release_is_told_apart(host: Host, stories: Stories) -> None:
    old, new = tags_of(stories.first.outcome), tags_of(stories.line_changed.outcome)
    mixed = [f"{stories.repository}@{(old if variant == 'kiro' else new)[variant]}" for variant in VARIANTS]
    document = verified(host, *mixed, code=1)
    assert codes_of(document) == {"VERIFY-CORE-DIFFERS"}
    found = {
        (one["place"]["platform"], one["place"]["path"], one["place"]["reference"]) for one in document["findings"]
    }
    assert found == {(platform, "/opt/family/family", f"{stories.repository}@{old['kiro']}") for platform in PLATFORMS}
    assert verified(host, *mixed[:-2])["passed"], "without kiro and hermes"


def test_what_skopeo_copied_is_as_whole_as_what_was_shipped(host: Host, stories: Stories, tmp_path: Path) -> None:
    options = ("--insecure-policy", "copy", "--all", "--preserve-digests", "--src-tls-verify=false")
    for variant in ("claude", "kiro"):
        source = f"docker://{stories.repository}:{variant}"
        host.demand(*find_tool("skopeo"), *options, source, f"oci:{tmp_path / 'copy'}:{variant}")
    document = verified(host, f"oci:{tmp_path / 'copy'}")
    assert document["passed"]
    assert document["compared"] == len(PLATFORMS)
    assert document["requests"] == 0


def test_what_plain_buildx_pushed_passes(host: Host, stories: Stories, repository: str) -> None:
    """With provenance, and without a word on cores."""
    for variant in ("codex", "grok"):
        argv = ["docker", "buildx", "build", "--quiet", f"--platform={AMD64}", "--provenance=mode=min", "--push"]
        host.demand(*argv, f"--target={variant}", f"--tag={repository}:{variant}", stories.run_changed.project)
    document = verified(host, repository)
    assert document["passed"]
    assert {image["copies"] for image in document["images"]} == {None}
    assert document["compared"] >= 1, "the program is in one place"
    mixed = verified(host, repository, f"{stories.repository}:claude", f"--platform={AMD64}", code=1)
    assert codes_of(mixed) == {"VERIFY-PLATFORM-MISSING"}, "an engine compiles to the same program"


# What was shipped held against builds of the same Dockerfile.


def rebuilt(stories: Stories, project: Path, *arguments: str, code: int = 0) -> Document:
    """Verify what a project's Dockerfile should have made."""
    asked = ("verify", "--json", "--rebuild", stories.repository, f"--platform={AMD64}", *arguments)
    ran = replace(stories.project, folder=project).buildonce(*asked, timeout=500)
    assert ran.code == code, ran.out + ran.err
    found: Document = json.loads(ran.out)
    return found


def test_what_was_shipped_is_what_the_dockerfile_makes(stories: Stories) -> None:
    """Every verdict is among them; an engine compiles and runs everything as the Dockerfile says."""
    document = rebuilt(stories, stories.run_changed.project)
    assert document["findings"] == []
    assert document["rebuilt"] == len(VARIANTS)


def test_what_was_shipped_is_not_what_another_dockerfile_makes(stories: Stories) -> None:
    """The sources of an older release: another program everywhere, and another RUN in one variant."""
    document = rebuilt(stories, stories.first.project, "--variant=claude,kiro", code=1)
    assert codes_of(document) == {"VERIFY-REBUILD-DIFFERS"}
    notes = {one["place"]["reference"].rpartition(":")[2]: "\n".join(one["notes"]) for one in document["findings"]}
    assert sorted(notes) == ["claude", "kiro"]
    assert "/usr/local/bin/family: content is sha256:" in notes["claude"]
    assert "history" in notes["claude"]
    assert "/opt/family/family: content is sha256:" in notes["kiro"]
    assert "history" not in notes["kiro"]


def test_a_dockerfile_that_cannot_be_built_is_told(stories: Stories, tmp_path: Path) -> None:
    shutil.copytree(stories.run_changed.project, tmp_path / "family")
    broken = replace(stories.project, folder=tmp_path / "family")
    broken.edit("Dockerfile", "RUN mkdir -p /home/agent/.cursor", "RUN false && mkdir -p /home/agent/.cursor")
    document = rebuilt(stories, broken.folder, "--variant=cursor", code=1)
    assert codes_of(document) == {"VERIFY-REBUILD-FAILED"}


# Damage in the storage of a registry: to the files of a release that nobody else has.


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A small release with contents of its own, and where the registry keeps them."""

    project: Project
    repository: str
    storage: Path
    blobs: Blobs
    outcome: Document

    def manifest(self, variant: str) -> Json:
        """Return a variant's manifest."""
        found: Json = json.loads(self.blobs(digests_of(self.outcome)[(variant, AMD64)]))
        return found

    def data(self, digest: str) -> Path:
        """Return the file that the registry keeps a blob or manifest in."""
        encoded = digest.partition(":")[2]
        return self.storage / "blobs" / "sha256" / encoded[:2] / encoded / "data"

    def folder(self, *names: str) -> Path:
        """Return a folder of what the registry knows of the repository."""
        return self.storage.joinpath("repositories", *self.repository.partition("/")[2].split("/"), *names)


DOCKERFILE = """\
FROM scratch AS builder
COPY app lib.txt /out/

FROM scratch AS one
COPY --from=builder /out/ /opt/
COPY one.txt /
LABEL name=one

FROM scratch AS two
COPY --from=builder /out/app /bin/app
LABEL name=two
"""


@pytest.fixture
def own(host: Host, repository: str, tmp_path: Path) -> Own:
    """A release that was just shipped."""
    random = os.urandom(64).hex()
    files = {"Dockerfile": DOCKERFILE, "app": f"app {random}", "lib.txt": f"lib {random}", "one.txt": f"one {random}"}
    project = new_project(host, tmp_path, files)
    outcome = project.build("--push", repository, platforms=(AMD64,))
    storage = locate(os.environ, Path.home()).registry / "docker" / "registry" / "v2"
    assert storage.is_dir()
    return Own(
        project=project, repository=repository, storage=storage, blobs=registry_blobs(repository), outcome=outcome
    )


def flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def layer_of(own: Own) -> Path:
    """Return the file with the core's layer of the variant `two`."""
    return own.data(own.manifest("two")["layers"][0]["digest"])


def config_of(own: Own) -> Path:
    return own.data(own.manifest("two")["config"]["digest"])


def manifest_of(own: Own) -> Path:
    return own.data(digests_of(own.outcome)[("two", AMD64)])


def index_of(own: Own) -> Path:
    return own.data(tags_of(own.outcome)["two"])


def links(own: Own, kind: str, digest: str) -> Path:
    """Return what makes a blob or manifest one of the repository."""
    return own.folder(kind, *digest.partition(":")[::2])


GONE = {"VERIFY-BLOB-MISSING", "VERIFY-BLOB-SIZE"}
"""The registry remembers sizes, so it may promise what it cannot open any more."""

REFUSED = {"VERIFY-UNREADABLE"}
"""The registry looks at manifests itself, and fails."""

DAMAGES: dict[str, tuple[Callable[[Own], object], set[str]]] = {
    "a layer's bytes are changed": (lambda own: flip(layer_of(own)), {"VERIFY-BLOB-DIGEST"}),
    "a layer is cut short": (lambda own: cut(layer_of(own)), {"VERIFY-BLOB-SIZE"}),
    "a layer is gone": (lambda own: layer_of(own).unlink(), GONE),
    "a config's bytes are changed": (lambda own: flip(config_of(own)), {"VERIFY-BLOB-DIGEST"}),
    "a config is gone": (lambda own: config_of(own).unlink(), GONE),
    "a manifest's bytes are changed": (lambda own: flip(manifest_of(own)), REFUSED),
    "a manifest is not the repository's any more": (
        lambda own: shutil.rmtree(
            links(own, "_manifests/revisions", digests_of(own.outcome)[("two", AMD64)])
        ),
        {"VERIFY-MANIFEST-MISSING"},
    ),
    "a tag is gone": (
        lambda own: shutil.rmtree(own.folder("_manifests", "tags", "two")), {"VERIFY-TAG-MISSING"},
    ),
    "an index's bytes are changed": (lambda own: flip(index_of(own)), REFUSED),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_in_the_storage_of_a_registry(host: Host, own: Own, name: str) -> None:
    references = [f"{own.repository}:{variant}" for variant in ("one", "two")]
    assert verified(host, *references)["passed"]
    damage, codes = DAMAGES[name]
    damage(own)
    document = verified(host, *references, code=1)
    assert codes_of(document) <= codes
    assert document["findings"][0]["place"]["reference"] == references[1]
