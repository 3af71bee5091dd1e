"""`buildonce verify` as it is called: what passes, what is refused, what it costs, and that it writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildonce.assemble.compression import Compression, open_compressor
from tests.cli.conftest import Call
from tests.cli.verifying import codes_of, index_of, remarks_of, verified
from tests.fakes.registry import FakeRegistry
from tests.verify.releases import (
    INDEX,
    LAYER,
    MANIFEST,
    Draft,
    Json,
    LayoutShelf,
    RegistryShelf,
    Shelf,
    compress,
    draft,
    manifest_of,
    ship,
    store_index,
)

REF_NAME = "org.opencontainers.image.ref.name"
DOCKER = "application/vnd.docker."


# What is meant by a reference.


@pytest.mark.parametrize(
    ("asked", "tags"),
    [
        pytest.param([""], ["claude", "codex", "kiro"], id="all"),
        pytest.param([":codex"], ["codex"], id="a tag"),
        pytest.param([":c*"], ["claude", "codex"], id="a pattern"),
        pytest.param([":kiro", ":c[lx]*", ":kiro"], ["kiro", "claude"], id="several"),
        pytest.param([":?????"], ["codex"], id="a pattern by length"),
    ],
)
@pytest.mark.parametrize("kind", ["layout", "repository"])
def test_references(call: Call, request: pytest.FixtureRequest, kind: str, asked: list[str], tags: list[str]) -> None:
    shelf: Shelf = request.getfixturevalue(kind)
    ship(shelf)
    document = verified(call, *(f"{shelf.name}{one}" for one in asked))
    assert list(document.references) == [f"{shelf.name}:{tag}" for tag in tags]
    assert {image.reference for image in document.images} == set(document.references)


@pytest.mark.parametrize("kind", ["layout", "repository"])
def test_a_digest_is_an_index_or_an_image(call: Call, request: pytest.FixtureRequest, kind: str) -> None:
    shelf: Shelf = request.getfixturevalue(kind)
    entries = ship(shelf)
    image = entries["kiro", "arm64"]["digest"]
    index = store_index(shelf, [entries["kiro", one] for one in ("amd64", "arm64")])["digest"]
    assert len(verified(call, f"{shelf.name}@{index}").images) == 2
    assert len(verified(call, f"{shelf.name}:kiro@{index}").images) == 2
    document = verified(call, f"{shelf.name}@{image}")
    assert [(one.platform, one.digest) for one in document.images] == [("linux/arm64", image)]
    moved = verified(call, f"{shelf.name}:codex@{index}", code=1)
    assert codes_of(moved) == ["VERIFY-TAG-MOVED"]


def test_a_release_in_a_repository_for_each_variant(call: Call, registry: FakeRegistry) -> None:
    shelves = [RegistryShelf(registry, f"acme/{variant}") for variant in ("claude", "codex")]
    for shelf in shelves:
        ship(shelf, variants=[shelf.repository.rpartition("/")[2]])
    names = [f"{shelves[0].name}:claude", f"{shelves[1].name}:codex"]
    assert verified(call, *names).compared == 2
    shelves[1].remove(
        manifest_of(shelves[1], json.loads(index_of(shelves[1], "codex"))["manifests"][0])["layers"][0]["digest"]
    )
    document = verified(call, *names, code=1)
    assert codes_of(document) == ["VERIFY-BLOB-MISSING"], "what another repository has does not help this one"
    assert document.findings[0].place.reference == names[1]


def test_a_layout_that_others_wrote_has_images_without_tags(call: Call, layout: LayoutShelf) -> None:
    entries = ship(layout)
    layout.write_index({"schemaVersion": 2, "manifests": [entries["kiro", "amd64"]]})
    document = verified(call, layout.name)
    assert document.references == (f"{layout.name}@{entries['kiro', 'amd64']['digest']}",)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "name what to verify", id="nothing"),
        pytest.param(["oci:"], "names no folder", id="no folder"),
        pytest.param(["oci:nowhere"], "there is no folder `nowhere`", id="a folder that is not there"),
        pytest.param(["./images"], "write oci:./images", id="a folder without oci:"),
        pytest.param(["reg.example/UPPER"], "not an image reference", id="upper case"),
        pytest.param(["reg.example/x:a b"], "is no tag", id="a space"),
        pytest.param(["reg.example/x:"], "is no tag", id="an empty tag"),
        pytest.param(["reg.example/x@sha256:12"], "not a digest", id="a short digest"),
        pytest.param(["reg.example/x", "--platform", "arm64"], "not a platform", id="a platform without a system"),
        pytest.param(["reg.example/x", "--core", "bin/x"], "no absolute path", id="a relative path"),
        pytest.param(["reg.example/x", "--core", "/x", "--quick"], "exclude each other", id="files, but no layers"),
        pytest.param(["reg.example/x", "--rebuild", "--quick"], "exclude each other", id="a build, but no layers"),
        pytest.param(["reg.example/x", "-f", "Dockerfile"], "without --rebuild", id="a Dockerfile, but no build"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Call, arguments: list[str], said: str) -> None:
    ran = call("verify", *arguments)
    assert ran.code in (1, 2)
    assert said in ran.err


# What passes.


def test_an_image_that_stands_alone_passes_with_a_remark(call: Call, layout: LayoutShelf) -> None:
    """As skopeo and plain docker push it."""
    entries = ship(layout, variants=["kiro"])
    layout.tag("kiro", {key: entries["kiro", "amd64"][key] for key in ("mediaType", "digest", "size")})
    document = verified(call, layout.name)
    assert [image.platform for image in document.images] == ["linux/amd64"]
    assert "single image without an index" in remarks_of(document)


def test_attestations_are_remarked_on_and_not_looked_into(call: Call, layout: LayoutShelf) -> None:
    entries = ship(layout, variants=["kiro"])
    both = [entries["kiro", one] for one in ("amd64", "arm64")]
    notes = [
        {
            "mediaType": MANIFEST,
            "digest": f"sha256:{n}" + "0" * 63,
            "size": 566,
            "annotations": {
                "vnd.docker.reference.digest": one["digest"],
                "vnd.docker.reference.type": "attestation-manifest",
            },
            "platform": {"architecture": "unknown", "os": "unknown"},
        }
        for n, one in enumerate(both)
    ]
    layout.tag("kiro", store_index(layout, [*both, *notes]))
    document = verified(call, layout.name)
    assert len(document.images) == 2
    assert "the index has 2" in remarks_of(document)


def test_docker_s_types_pass(call: Call, repository: RegistryShelf) -> None:
    kinds = {
        MANIFEST: f"{DOCKER}distribution.manifest.v2+json",
        LAYER: f"{DOCKER}image.rootfs.diff.tar.gzip",
        "config": f"{DOCKER}container.image.v1+json",
        INDEX: f"{DOCKER}distribution.manifest.list.v2+json",
    }
    one = draft("kiro", "amd64")
    one.copies = None

    def docker(manifest: Json) -> None:
        manifest["mediaType"] = kinds[MANIFEST]
        manifest["config"]["mediaType"] = kinds["config"]
        for layer in manifest["layers"]:
            layer["mediaType"] = kinds[LAYER]

    one.on_manifest = docker
    entry = one.store(repository) | {"mediaType": kinds[MANIFEST]}
    repository.registry.repository(repository.repository).manifests[entry["digest"]] = (
        kinds[MANIFEST],
        repository.content(entry["digest"]),
    )
    index = {"schemaVersion": 2, "mediaType": kinds[INDEX], "manifests": [entry]}
    repository.tag("kiro", repository.put(json.dumps(index).encode(), kinds[INDEX]))
    assert verified(call, repository.name).passed


def change_all(change: Callable[[Draft], None], *variants: str) -> Any:
    """Return the change for every image of these variants."""
    return {(variant, one): change for variant in variants for one in ("amd64", "arm64")}


def test_an_image_without_a_history_passes_with_a_remark(call: Call, layout: LayoutShelf) -> None:
    """As ko, apko, Bazel's rules and others make them."""

    def bare(one: Draft) -> None:
        one.on_config = lambda old: {k: v for k, v in old.items() if k not in ("history", "created")}

    ship(layout, variants=["kiro"], changes=change_all(bare, "kiro"))
    assert "has no history" in remarks_of(verified(call, layout.name))


def zstandard(content: bytes) -> bytes:
    compressor = open_compressor(Compression.ZSTD)
    return compressor.compress(content) + compressor.flush()


def test_zstandard_and_uncompressed_layers_pass(call: Call, layout: LayoutShelf) -> None:
    kind = LAYER.removesuffix("+gzip")

    def other(one: Draft) -> None:
        one.blobs = [one.archives[0], zstandard(one.archives[1]), compress(one.archives[2])]

        def name(manifest: Json) -> None:
            manifest["layers"][0]["mediaType"] = kind
            manifest["layers"][1]["mediaType"] = f"{kind}+zstd"

        one.on_manifest = name

    ship(layout, variants=["kiro", "codex"], changes=change_all(other, "kiro"))
    assert verified(call, layout.name).compared == 2


def test_layers_that_stores_do_not_keep_are_remarked_on(call: Call, layout: LayoutShelf) -> None:
    def foreign(one: Draft) -> None:
        def name(manifest: Json) -> None:
            kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            manifest["layers"][0] |= {"mediaType": kind, "digest": "sha256:" + "7" * 64, "urls": ["https://x.example"]}

        one.on_manifest = name

    ship(layout, variants=["kiro"], changes=change_all(foreign, "kiro"))
    assert "not kept in stores" in remarks_of(verified(call, layout.name))


def test_an_index_in_an_index_passes(call: Call, layout: LayoutShelf) -> None:
    entries = ship(layout, variants=["kiro"])
    inner = store_index(layout, [entries["kiro", "arm64"]])
    layout.tag("kiro", store_index(layout, [entries["kiro", "amd64"], inner]))
    assert len(verified(call, layout.name).images) == 2


def test_windows_has_several_images_for_one_platform(call: Call, layout: LayoutShelf) -> None:
    def windows(one: Draft) -> None:
        one.on_config = lambda old: old | {"os": "windows"}

    entries = ship(layout, variants=["kiro"], architectures=["amd64"], changes={("kiro", "amd64"): windows})
    platforms = [{"os": "windows", "architecture": "amd64", "os.version": version} for version in ("10.0.1", "10.0.2")]
    layout.tag("kiro", store_index(layout, [entries["kiro", "amd64"] | {"platform": one} for one in platforms]))
    assert verified(call, layout.name).passed


def test_artifacts_among_all_tags_are_remarked_on(call: Call, repository: RegistryShelf) -> None:
    """Signatures, charts and the like stand beside images."""
    ship(repository)
    blob = repository.put(b"signature", "application/vnd.example.layer")
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": blob, "layers": [blob]}
    repository.tag("sha256-1.sig", repository.put(json.dumps(manifest).encode(), MANIFEST))
    document = verified(call, repository.name)
    assert "no image but an artifact of the type `application/vnd.example.layer`" in remarks_of(document)
    named = verified(call, f"{repository.name}:sha256-1.sig", code=1)
    assert codes_of(named) == ["VERIFY-NOT-AN-IMAGE"]


def test_artifacts_in_an_index_are_remarked_on(call: Call, repository: RegistryShelf) -> None:
    """Where a registry does not list referrers, they hang on a tag of their own (distribution-spec)."""
    ship(repository)
    empty = repository.put(b"{}", "application/vnd.oci.empty.config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": empty, "layers": [empty], "artifactType": "x/sbom"}
    entry = repository.put(json.dumps(manifest).encode(), MANIFEST) | {"artifactType": "x/sbom"}
    repository.tag(f"sha256-{'1' * 64}", store_index(repository, [entry]))
    assert "the index has an artifact of the type `x/sbom`" in remarks_of(verified(call, repository.name))


def test_one_image_under_two_tags_is_read_once(call: Call, repository: RegistryShelf) -> None:
    entries = ship(repository, variants=["kiro"])
    index = store_index(repository, [entries["kiro", one] for one in ("amd64", "arm64")])
    repository.tag("latest", index)
    document = verified(call, repository.name)
    assert len(document.images) == 4
    blobs = [one.path for one in repository.registry.requests("GET", "/blobs/")]
    assert len(blobs) == len(set(blobs)) == 8, "three layers and a config for each platform"


# Cores.


def unsaid(one: Draft) -> None:
    one.copies = None


def test_without_a_word_of_cores_differences_are_remarked_on(call: Call, layout: LayoutShelf) -> None:
    """As bake and others ship: two variants may well have different files in one place."""

    def other(one: Draft) -> None:
        newer = draft("codex", one.architecture, program=b"\x7fprogram 2")
        one.archives, one.copies = newer.archives, None

    ship(layout, changes={**change_all(unsaid, "claude", "kiro"), **change_all(other, "codex")})
    document = verified(call, layout.name)
    assert document.passed
    assert "`/usr/local/bin/family`: name with --core" in remarks_of(document)
    named = verified(call, layout.name, "--core", "/usr/local/bin/family", code=1)
    assert codes_of(named) == ["VERIFY-CORE-DIFFERS"] * 2
    assert [one.place.platform for one in named.findings] == ["linux/amd64", "linux/arm64"]
    assert "is not in" in remarks_of(named), "kiro has it somewhere else"


def test_a_core_of_its_own_is_another_core(call: Call, layout: LayoutShelf) -> None:
    def other(one: Draft) -> None:
        newer = draft("codex", one.architecture, program=b"\x7fprogram 2")
        one.archives, one.copies = newer.archives, newer.copies
        assert one.copies is not None
        one.copies[0]["core"] = "other-builder"

    ship(layout, changes=change_all(other, "codex"))
    assert verified(call, layout.name).passed


def test_an_image_without_a_core_may_have_a_file_of_its_own(call: Call, layout: LayoutShelf) -> None:
    def own(one: Draft) -> None:
        one.archives = draft("codex", one.architecture, program=b"#!/bin/sh\n").archives
        one.copies = []

    ship(layout, changes=change_all(own, "codex"))
    assert verified(call, layout.name).passed


@pytest.mark.parametrize("path", ["/bin/sh", "/sbin/sh", "/bin", "/usr/local"])
def test_paths_that_are_the_same_everywhere(call: Call, layout: LayoutShelf, path: str) -> None:
    ship(layout, variants=["claude", "codex"])
    assert verified(call, layout.name, "--core", path).compared == 4


# Before the tags move.


PLAIN = "FROM busybox:1 AS one\nCOPY file /one\nFROM busybox:1 AS two\nCOPY file /two\n"


def test_a_staged_release_is_verified_before_its_tags_move(call: Call, project: Path, registry: FakeRegistry) -> None:
    (project / "Dockerfile").write_text(PLAIN)
    (project / "file").write_text("content")
    target = f"{registry.host}/acme/app"
    staged = call("build", "--push", target, "--platform=linux/amd64,linux/arm64", "--stage")
    assert staged.code == 0, staged.err
    record = project / "record.json"
    record.write_text(staged.out)
    assert registry.repository("acme/app").tags == {}
    registry.log.clear()
    document = verified(call, "--release", str(record))
    assert len(document.images) == 4
    assert all(one.startswith(f"{target}@sha256:") for one in document.references)
    assert {one.method for one in registry.log} <= {"GET", "HEAD"}
    shelf = RegistryShelf(registry, "acme/app")
    shelf.remove(manifest_of(shelf, {"digest": document.images[0].digest})["layers"][-1]["digest"])
    assert codes_of(verified(call, "--release", str(record), code=1)) == ["VERIFY-BLOB-MISSING"]


@pytest.mark.parametrize("arguments", [("--release", "record.json"), ("--release", "record.json", "reg.example/x")])
def test_a_record_that_is_none_is_refused(call: Call, project: Path, arguments: tuple[str, ...]) -> None:
    (project / "record.json").write_text("{}")
    ran = call("verify", *arguments)
    assert ran.code == 2
    assert ran.err.startswith("error[USAGE]")


# How it is told.


def test_the_report_says_what_where_why_and_what_next(call: Call, repository: RegistryShelf) -> None:
    entries = ship(repository)
    layer = manifest_of(repository, entries["codex", "arm64"])["layers"][2]["digest"]
    repository.remove(layer)
    ran = call("verify", repository.name)
    assert ran.code == 1
    assert (
        "error[VERIFY-BLOB-MISSING]: the layer is not there\n"
        f"  --> {repository.name}:codex  linux/arm64  layer 3 of 3, {layer}\n"
    ) in ran.out
    assert "  = note: the image cannot be pulled\nhelp: ship the release again" in ran.out
    assert "3 references, 6 images for 2 platforms: 1 finding" in ran.out
    assert "28 requests" in ran.out


def test_names_from_a_store_command_no_terminal(call: Call, layout: LayoutShelf) -> None:
    def hostile(one: Draft) -> None:
        one.on_manifest = lambda old: old | {"layers": [old["layers"][0] | {"mediaType": "\x1b[31mred"}]}

    ship(layout, changes={("codex", "arm64"): hostile})
    ran = call("verify", layout.name)
    assert ran.code == 1
    assert "\x1b" not in ran.out
    assert r"\x1b[31mred" in ran.out


def test_of_very_many_images_those_with_findings_are_shown(call: Call, layout: LayoutShelf) -> None:
    def wrong(one: Draft) -> None:
        one.on_config = lambda old: old | {"architecture": "s390x"}

    names = [f"v{number:02}" for number in range(40)]
    ship(layout, variants=names, changes={("v07", "arm64"): wrong})
    text = call("verify", layout.name).out
    assert f"{layout.name}:v07" in text
    assert f"{layout.name}:v08" not in text
    assert "... and 79 images more" in text


def test_many_findings_are_cut_short_for_people_only(call: Call, layout: LayoutShelf) -> None:
    def broken(one: Draft) -> None:
        one.on_manifest = lambda old: old | {"layers": [old["layers"][0] | {"mediaType": f"x/{n}"} for n in range(90)]}

    ship(layout, variants=["kiro"], changes={("kiro", "arm64"): broken})
    document = verified(call, layout.name, code=1)
    assert len(document.findings) > 90
    text = call("verify", layout.name).out
    assert text.count("error[") == 50
    assert f"and {len(document.findings) - 50} findings more" in text
