"""`buildonce verify --rebuild` with an engine of the test's own: what is built, what is compared, and what is said."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from buildonce.report.wire import VerificationDocument
from tests.cli.conftest import Call
from tests.cli.test_bad_days import write_engine
from tests.fakes.registry import FakeRegistry
from tests.verify.releases import Draft, Json, LayoutShelf, RegistryShelf, draft, make_layer, ship, store_index

DOCKERFILE = """\
FROM busybox:1 AS builder
RUN make
FROM busybox:1 AS claude
COPY --from=builder /src/build/family /usr/local/bin/family
RUN mkdir /home
FROM busybox:1 AS codex
COPY --from=builder /src/build/family /usr/local/bin/family
RUN mkdir /home
"""
VARIANTS = ("claude", "codex")


@pytest.fixture
def layout(tmp_path: Path) -> LayoutShelf:
    """A release of two variants for two platforms."""
    shelf = LayoutShelf(tmp_path / "layout")
    ship(shelf, variants=VARIANTS)
    return shelf


@pytest.fixture
def built(project: Path, environment: dict[str, str], tmp_path: Path) -> Path:
    """A project, and an engine that makes of a target whatever lies under its name in this folder."""
    (project / "Dockerfile").write_text(DOCKERFILE)
    folder = tmp_path / "built"
    script = (
        f'for word in "$@"; do case "$word" in claude|codex) target=$word;; linux/*) platform=${{word#linux/}};; '
        f"type=oci*) dest=${{word##*dest=}}; dest=${{dest%%,*}};; esac; done; "
        f'test -d {folder}/$target-$platform || {{ echo "ERROR: no $target" >&2; exit 1; }}; '
        f'mkdir -p "$dest" && cp -r {folder}/$target-$platform/. "$dest"'
    )
    log = write_engine(environment, script)
    for variant in VARIANTS:
        for architecture in ("amd64", "arm64"):
            makes(folder, variant, architecture, draft(variant, architecture))
    return log


def makes(folder: Path, variant: str, architecture: str, one: Draft) -> None:
    """Have the engine make an image."""
    import shutil

    shutil.rmtree(folder / f"{variant}-{architecture}", ignore_errors=True)
    shelf = LayoutShelf(folder / f"{variant}-{architecture}")
    entry: Json = one.store(shelf)
    shelf.write_index({"schemaVersion": 2, "manifests": [{k: entry[k] for k in ("mediaType", "digest", "size")}]})


def verified(call: Call, *arguments: str, code: int = 0) -> VerificationDocument:
    ran = call("verify", "--json", "--rebuild", *arguments)
    assert ran.code == code, ran.out + ran.err
    return msgspec.json.decode(ran.out, type=VerificationDocument)


def builds(log: Path) -> list[tuple[str, str]]:
    """Return the builds that the engine was asked for: target and platform."""
    found = []
    for line in log.read_text().split("\n"):
        words = line.split()
        if words[:2] == ["buildx", "build"]:
            found.append((words[words.index("--target") + 1], words[words.index("--platform") + 1]))
    return sorted(found)


def test_what_the_engine_makes_again_passes(call: Call, layout: LayoutShelf, built: Path) -> None:
    document = verified(call, layout.name)
    assert document.rebuilt == 4
    assert builds(built) == [(v, f"linux/{a}") for v in VARIANTS for a in ("amd64", "arm64")]
    text = call("verify", "--rebuild", layout.name)
    assert "compared 4 images with a build" in text.out


def test_nothing_of_buildonce_s_helps_the_engine(call: Call, layout: LayoutShelf, built: Path) -> None:
    """No core stands in for a stage: only base images are pinned."""
    verified(call, layout.name)
    lines = [line for line in built.read_text().split("\n") if line.startswith("buildx build")]
    contexts = {word for line in lines for word in line.split() if "docker-image://" in word or "oci-layout://" in word}
    assert contexts
    assert all(word.startswith("busybox:1=docker-image://docker.io/library/busybox@sha256:") for word in contexts)


def test_only_what_was_asked_for_is_built(call: Call, layout: LayoutShelf, built: Path) -> None:
    document = verified(call, f"{layout.name}:codex", "--platform", "linux/arm64")
    assert document.rebuilt == 1
    assert builds(built) == [("codex", "linux/arm64")]
    assert not document.remarks


def test_a_difference_is_named(call: Call, layout: LayoutShelf, built: Path, tmp_path: Path) -> None:
    other = draft("codex", "arm64", program=b"\x7fprogram 3")
    other.on_config = lambda old: old | {"config": {"Env": ["PATH=/bin"], "User": "app"}}
    other.makers[2] = "RUN mkdir /house # buildkit"
    makes(tmp_path / "built", "codex", "arm64", other)
    (finding,) = verified(call, layout.name, code=1).findings
    assert finding.code == "VERIFY-REBUILD-DIFFERS"
    assert (finding.place.reference, finding.place.platform) == (f"{layout.name}:codex", "linux/arm64")
    said = "\n".join(finding.notes)
    assert "/usr/local/bin/family: content is sha256:" in said
    assert "config.User: value is nothing, expected app" in said
    assert "history[3].created_by: value is RUN mkdir /home # buildkit, expected RUN mkdir /house # buildkit" in said
    assert "its base image `docker.io/library/busybox:1` has other layers now" in said


def test_another_number_of_layers_is_named(call: Call, layout: LayoutShelf, built: Path, tmp_path: Path) -> None:
    fewer = draft("codex", "arm64")
    del fewer.archives[2], fewer.makers[2]
    makes(tmp_path / "built", "codex", "arm64", fewer)
    (finding,) = verified(call, layout.name, code=1).findings
    assert "manifest: number of layers is 3, expected 2" in finding.notes
    assert "/home: entry is directory, expected nothing" in finding.notes


def test_many_differences_are_cut_short(call: Call, layout: LayoutShelf, built: Path, tmp_path: Path) -> None:
    other = draft("codex", "arm64")
    other.archives[2] = make_layer({f"home/{number}": b"x" for number in range(99)})
    other.on_config = lambda old: old | {"config": {"Labels": {str(n): "x" for n in range(999)}}}
    makes(tmp_path / "built", "codex", "arm64", other)
    (finding,) = verified(call, layout.name, code=1).findings
    assert any(note.startswith("and ") and note.endswith("differences more") for note in finding.notes)
    assert len(finding.notes) < 30
    assert max(map(len, finding.notes)) < 500


def test_times_are_no_difference(call: Call, layout: LayoutShelf, built: Path, tmp_path: Path) -> None:
    later = draft("codex", "arm64")
    later.on_config = lambda old: (
        old
        | {
            "created": "2026-01-01T00:00:00Z",
            "history": [one | {"created": "2026-01-01T00:00:00Z"} for one in old["history"]],
        }
    )
    makes(tmp_path / "built", "codex", "arm64", later)
    assert verified(call, layout.name).passed


def test_a_build_that_fails_is_a_finding(call: Call, layout: LayoutShelf, built: Path, tmp_path: Path) -> None:
    import shutil

    shutil.rmtree(tmp_path / "built" / "codex-arm64")
    document = verified(call, layout.name, code=1)
    assert [one.code for one in document.findings] == ["VERIFY-REBUILD-FAILED"]
    assert any("ERROR: no codex" in note for note in document.findings[0].notes)
    assert document.rebuilt == 3


def test_a_variant_that_is_not_there_is_a_finding(call: Call, layout: LayoutShelf, built: Path) -> None:
    index = layout.read_index()
    ref = "org.opencontainers.image.ref.name"
    index["manifests"] = [one for one in index["manifests"] if one["annotations"][ref] == "claude"]
    layout.write_index(index)
    document = verified(call, layout.name, code=1)
    assert [(one.code, one.place.reference) for one in document.findings] == [("VERIFY-TAG-MISSING", layout.name)]
    assert "`codex`" in document.findings[0].message
    assert verified(call, layout.name, "--variant", "claude").rebuilt == 2


def test_a_tag_that_is_no_variant_is_remarked_on(call: Call, layout: LayoutShelf, built: Path, project: Path) -> None:
    (project / "Dockerfile").write_text(DOCKERFILE.partition("FROM busybox:1 AS codex")[0])
    document = verified(call, layout.name)
    assert document.rebuilt == 2
    assert {one.place.reference for one in document.remarks} == {f"{layout.name}:codex"}


def test_tags_are_found_by_their_template(call: Call, layout: LayoutShelf, built: Path) -> None:
    index = layout.read_index()
    for one in index["manifests"]:
        one["annotations"]["org.opencontainers.image.ref.name"] += "-v1"
    layout.write_index(index)
    ran = call("verify", "--rebuild", layout.name)
    assert ran.code == 2
    assert "none of what was asked for is a variant" in ran.err
    assert "claude, codex" in ran.err
    assert verified(call, layout.name, "--tag", "{variant}-v1").rebuilt == 4


def test_variants_in_repositories_of_their_own_share_a_tag(call: Call, registry: FakeRegistry, built: Path) -> None:
    names = []
    for variant in VARIANTS:
        shelf = RegistryShelf(registry, f"acme/{variant}")
        entries = ship(shelf, variants=[variant])
        shelf.tag("v1", store_index(shelf, [entries[variant, one] for one in ("amd64", "arm64")]))
        names.append(f"{shelf.name}:v1")
    assert verified(call, *names, "--tag", "v1").rebuilt == 4


def test_what_is_damaged_is_not_compared(call: Call, layout: LayoutShelf, built: Path) -> None:
    index = json.loads(layout.content(layout.read_index()["manifests"][1]["digest"]))
    manifest = json.loads(layout.content(index["manifests"][1]["digest"]))
    layout.remove(manifest["layers"][2]["digest"])
    document = verified(call, layout.name, code=1)
    assert [one.code for one in document.findings] == ["VERIFY-BLOB-MISSING"]
    assert document.rebuilt == 3


def test_without_an_engine_there_is_no_verdict(call: Call, layout: LayoutShelf, project: Path) -> None:
    (project / "Dockerfile").write_text(DOCKERFILE)
    ran = call("verify", "--rebuild", layout.name)
    assert (ran.code, ran.out) == (4, "")
    assert "Docker" in ran.err


def test_nothing_is_kept_beside_the_project(call: Call, layout: LayoutShelf, built: Path, project: Path) -> None:
    verified(call, layout.name)
    assert [path.name for path in project.iterdir()] == ["Dockerfile"]
