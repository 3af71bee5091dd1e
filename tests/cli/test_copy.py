"""`buildonce copy` as it is called: the same bytes elsewhere, tags last and together, nothing sent twice."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from buildonce.report.wire import CopyDocument
from tests.cli.conftest import Call, Ran
from tests.fakes.registry import FakeRegistry, status
from tests.verify.releases import (
    VARIANTS,
    LayoutShelf,
    RegistryShelf,
    Shelf,
    draft,
    manifest_of,
    ship,
    store_index,
)

TARGET = "acme/target"


@pytest.fixture
def layout(tmp_path: Path) -> LayoutShelf:
    """An empty layout."""
    return LayoutShelf(tmp_path / "layout")


@pytest.fixture
def repository(registry: FakeRegistry) -> RegistryShelf:
    """An empty repository."""
    return RegistryShelf(registry)


@pytest.fixture(params=["layout", "registry"])
def shelf(request: pytest.FixtureRequest) -> Shelf:
    """An empty store of each kind."""
    found: Shelf = request.getfixturevalue("layout" if request.param == "layout" else "repository")
    return found


def copied(call: Call, *arguments: str) -> CopyDocument:
    """Copy; return what the command prints, which has the published form."""
    ran = call("copy", "--json", *arguments)
    assert ran.code == 0, ran.out + ran.err
    return msgspec.json.decode(ran.out, type=CopyDocument)


def refused(call: Call, *arguments: str) -> Ran:
    ran = call("copy", *arguments)
    assert ran.code in (1, 2, 4), ran.out + ran.err
    assert "Traceback" not in ran.err
    return ran


def tags_of(folder: Path) -> dict[str, str]:
    index = json.loads((folder / "index.json").read_bytes())
    name = "org.opencontainers.image.ref.name"
    return {one["annotations"][name]: one["digest"] for one in index["manifests"]}


def all_blobs(shelf: Shelf) -> set[str]:
    """Return the digests of all configs and layers of the family."""
    found = set()
    for entry in ship(shelf).values():
        manifest = manifest_of(shelf, entry)
        found |= {manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])}
    return found


def test_a_family_goes_to_a_layout_and_verifies_there(call: Call, shelf: Shelf, tmp_path: Path) -> None:
    blobs = all_blobs(shelf)
    out = tmp_path / "out"
    done = copied(call, shelf.name, f"oci:{out}")
    assert {(one.tag, one.outcome) for one in done.images} == {(variant, "created") for variant in VARIANTS}
    assert (done.uploaded, done.mounted, done.existed) == (len(blobs), 0, 0)
    assert {one.tag: one.digest for one in done.images} == tags_of(out)
    assert call("verify", f"oci:{out}").code == 0


def test_a_family_goes_to_a_registry_with_its_tags_last(
    call: Call, layout: LayoutShelf, registry: FakeRegistry
) -> None:
    blobs = all_blobs(layout)
    done = copied(call, layout.name, f"{registry.host}/{TARGET}")
    there = registry.repository(TARGET)
    assert there.tags == tags_of(layout.folder)
    assert blobs <= set(there.blobs)
    puts = [one.path for one in registry.requests("PUT", "/manifests/")]
    assert len(puts) == len(set(puts)) == 6 + 3
    assert [path.rpartition("/")[2] in VARIANTS for path in puts] == [False] * 6 + [True] * 3
    assert done.uploaded == len(blobs)
    assert call("verify", f"{registry.host}/{TARGET}").code == 0


def test_nothing_is_sent_again(call: Call, layout: LayoutShelf, registry: FakeRegistry) -> None:
    ship(layout)
    copied(call, layout.name, f"{registry.host}/{TARGET}")
    registry.log.clear()
    done = copied(call, layout.name, f"{registry.host}/{TARGET}")
    assert {one.outcome for one in done.images} == {"unchanged"}
    assert (done.uploaded, done.mounted, done.existed, done.bytes_up) == (0, 0, 0, 0)
    assert [one.method for one in registry.log if one.path != "/v2/"] == ["HEAD"] * 3


def test_within_a_registry_blobs_are_mounted(call: Call, repository: RegistryShelf, registry: FakeRegistry) -> None:
    blobs = all_blobs(repository)
    done = copied(call, repository.name, f"{registry.host}/{TARGET}")
    assert (done.uploaded, done.mounted, done.existed) == (0, len(blobs), 0)
    assert registry.repository(TARGET).tags == registry.repository("acme/family").tags


def test_a_new_tag_in_the_same_repository_costs_no_blob(
    call: Call, repository: RegistryShelf, registry: FakeRegistry
) -> None:
    ship(repository)
    done = copied(call, f"{repository.name}:claude", f"{repository.name}:latest")
    assert [(one.tag, one.outcome) for one in done.images] == [("latest", "created")]
    assert (done.uploaded, done.mounted, done.existed) == (0, 0, 0)
    tags = registry.repository("acme/family").tags
    assert tags["latest"] == tags["claude"]


def test_an_image_by_digest_gets_the_tag_of_the_target(call: Call, shelf: Shelf, tmp_path: Path) -> None:
    entry = ship(shelf)["codex", "arm64"]
    done = copied(call, f"{shelf.name}@{entry['digest']}", f"oci:{tmp_path / 'out'}:one")
    assert tags_of(tmp_path / "out") == {"one": entry["digest"]}
    assert done.uploaded == 4


def test_an_index_within_an_index_is_copied_before_what_refers_to_it(
    call: Call, layout: LayoutShelf, registry: FakeRegistry
) -> None:
    entry = draft("claude", "amd64").store(layout)
    inner = store_index(layout, [entry])
    layout.tag("deep", store_index(layout, [inner, {**inner}]))
    copied(call, f"{layout.name}:deep", f"{registry.host}/{TARGET}")
    there = registry.repository(TARGET)
    assert set(there.manifests) == {entry["digest"], inner["digest"], there.tags["deep"]}


def test_indexes_without_end_are_refused(call: Call, layout: LayoutShelf, tmp_path: Path) -> None:
    entry = draft("claude", "amd64").store(layout)
    for _ in range(50):
        entry = store_index(layout, [entry])
    layout.tag("deep", entry)
    assert "more than 8 indexes within each other" in refused(call, layout.name, f"oci:{tmp_path / 'out'}").err
    assert not (tmp_path / "out" / "index.json").exists()


@pytest.mark.parametrize(
    "damage", ["missing layer", "other layer", "short layer", "missing manifest", "other manifest"]
)
def test_what_is_not_whole_moves_no_tag(call: Call, shelf: Shelf, tmp_path: Path, damage: str) -> None:
    entries = ship(shelf)
    entry = entries["codex", "arm64"]
    layer = manifest_of(shelf, entry)["layers"][2]["digest"]
    digest = layer if "layer" in damage else entry["digest"]
    content = shelf.content(digest)[:-1] if "short" in damage else b"x" * len(shelf.content(digest))
    out = tmp_path / "out"
    copied(call, f"{shelf.name}:kiro", f"oci:{out}")
    shelf.remove(digest) if "missing" in damage else shelf.damage(digest, content)
    ran = refused(call, shelf.name, f"oci:{out}")
    assert digest[7:19] in ran.err
    assert set(tags_of(out)) == {"kiro"}


def test_a_failing_tag_is_named_and_the_rest_continues(call: Call, layout: LayoutShelf, registry: FakeRegistry) -> None:
    ship(layout)
    registry.faults.append(status(403, method="PUT", path="/manifests/codex"))
    ran = refused(call, layout.name, f"{registry.host}/{TARGET}")
    assert "not moved: codex" in ran.err
    done = copied(call, layout.name, f"{registry.host}/{TARGET}")
    assert {one.tag: one.outcome for one in done.images} == {
        "claude": "unchanged",
        "codex": "created",
        "kiro": "unchanged",
    }


@pytest.mark.parametrize(
    ("sources", "target", "said"),
    [
        ([], "{out}", "nothing is named that is to be copied"),
        (["{layout}:nosuch"], "{out}", "the tag `nosuch`"),
        (["{layout}:no*"], "{out}", "the tag `no*`"),
        (["oci:nosuch"], "{out}", "there is no folder"),
        (["{layout}"], "{out}:one", "3 images cannot all be tagged `one`"),
        (["{layout}:codex", "{other}:codex"], "{out}", "would both be tagged `codex`"),
        (["{layout}@{digest}"], "{out}", "has no tag to copy"),
        (["{layout}:codex"], "{out}:*", "is no place to copy to"),
        (["{layout}:codex"], "{out}@{digest}", "is no place to copy to"),
        (["{layout}:codex"], "/out", "for an OCI layout on disk"),
    ],
)
def test_typical_mistakes_are_told(
    call: Call, layout: LayoutShelf, tmp_path: Path, sources: list[str], target: str, said: str
) -> None:
    digest = ship(layout)["codex", "arm64"]["digest"]
    other = LayoutShelf(tmp_path / "other")
    ship(other)
    names = {"layout": layout.name, "other": other.name, "out": f"oci:{tmp_path / 'out'}", "digest": digest}
    ran = refused(call, *(one.format(**names) for one in (*sources, target)))
    assert said in ran.err
    assert not (tmp_path / "out").exists()
