"""One family's life on the real thing: what each kind of change costs, and what it leaves alone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.harness import (
    PLATFORMS,
    VARIANTS,
    Document,
    digests_of,
    engine_nodes,
    moved_tags,
    pushed_images,
    tags_of,
)
from tests.e2e.images import Blobs, copy_repository, images_of, read_image, registry_blobs
from tests.e2e.stories import Stories

pytestmark = pytest.mark.host

ALL = sorted((variant, platform) for variant in VARIANTS for platform in PLATFORMS)
COMPILES = [f"builder {platform}" for platform in PLATFORMS]
BASES = sorted(
    f"{name} {platform}" for name in ("runtime", "runtime-small", "cursor", "claude", "kiro") for platform in PLATFORMS
)
PROVED = [node for node in BASES if not node.startswith("runtime")]
HERMES = [f"hermes {platform}" for platform in PLATFORMS]


def test_first_build_compiles_each_platform_once_and_ships_everything(stories: Stories) -> None:
    outcome = stories.first.outcome
    assert engine_nodes(outcome, "compile") == COMPILES
    assert engine_nodes(outcome, "base") == BASES
    assert engine_nodes(outcome, "prove") == PROVED
    assert engine_nodes(outcome, "build") == HERMES
    assert pushed_images(outcome) == ALL
    assert {tag["outcome"] for tag in outcome["tags"]} == {"created"}
    assert stories.first.tags == tags_of(outcome)
    assert sorted(stories.first.tags) == sorted(VARIANTS)


def test_every_index_holds_exactly_the_images_of_both_platforms(stories: Stories) -> None:
    blobs = registry_blobs(stories.repository)
    for outcome in (stories.first.outcome, stories.line_changed.outcome):
        digests = digests_of(outcome)
        for tag, index in tags_of(outcome).items():
            assert images_of(blobs, index) == {platform: digests[(tag, platform)] for platform in PLATFORMS}


def test_every_index_says_which_layer_holds_which_files_of_the_core(stories: Stories) -> None:
    """Also of images that the engine built, and of those with layers above the copy."""
    blobs = registry_blobs(stories.repository)
    for tag, index in tags_of(stories.line_changed.outcome).items():
        for entry in json.loads(blobs(index))["manifests"]:
            image = read_image(blobs, entry["digest"])
            copies = json.loads(entry["annotations"]["buildonce.late-copies"])
            assert len(copies) == (2 if tag == "cursor" else 1)
            for copy in copies:
                assert copy["core"] == "builder"
                files = {f"/{one.path}" for one in image.layers[copy["layer"]].entries if one.kind == "0"}
                into = copy["destination"]
                names = [into + source.rpartition("/")[2] for source in copy["sources"]]
                assert files == (set(names) if into.endswith("/") else {into})
        assert "annotations" not in image.manifest


def test_a_changed_source_line_costs_two_compiles_and_moves_every_tag(stories: Stories) -> None:
    chapter = stories.line_changed
    assert engine_nodes(chapter.outcome, "compile") == COMPILES
    assert engine_nodes(chapter.outcome, "build") == HERMES, "only hermes runs the program while it is built"
    assert len(chapter.outcome["engine_runs"]) == 4
    assert pushed_images(chapter.outcome) == ALL
    assert {tag["outcome"] for tag in chapter.outcome["tags"]} == {"moved"}
    assert chapter.tags == tags_of(chapter.outcome)
    assert not set(chapter.tags.values()) & set(stories.first.tags.values())


def test_a_changed_comment_costs_two_compiles_and_nothing_else(stories: Stories) -> None:
    chapter = stories.comment_changed
    assert engine_nodes(chapter.outcome, "compile") == COMPILES
    assert len(chapter.outcome["engine_runs"]) == 2
    assert pushed_images(chapter.outcome) == []
    assert moved_tags(chapter.outcome) == []
    assert chapter.tags == stories.first.tags


def test_nothing_changed_costs_nothing(stories: Stories) -> None:
    chapter = stories.nothing_changed
    assert chapter.outcome["engine_runs"] == []
    assert pushed_images(chapter.outcome) == []
    assert moved_tags(chapter.outcome) == []
    assert chapter.outcome["bytes_up"] == 0
    assert chapter.tags == stories.first.tags
    assert digests_of(chapter.outcome) == digests_of(stories.first.outcome)


def test_a_changed_run_line_costs_one_base_per_platform_and_moves_one_tag(stories: Stories) -> None:
    chapter = stories.run_changed
    claude = [f"claude {platform}" for platform in PLATFORMS]
    assert engine_nodes(chapter.outcome, "base") == claude
    assert engine_nodes(chapter.outcome, "prove") == claude
    assert len(chapter.outcome["engine_runs"]) == 4
    assert pushed_images(chapter.outcome) == [("claude", platform) for platform in PLATFORMS]
    assert moved_tags(chapter.outcome) == ["claude"]
    changed = {tag for tag in VARIANTS if chapter.tags[tag] != stories.line_changed.tags[tag]}
    assert changed == {"claude"}


def test_every_image_says_how_it_came_about_and_why(stories: Stories) -> None:
    made = {(image["variant"], image["made"], image["verdict"]) for image in stories.first.outcome["images"]}
    assert made == {
        *((variant, "assembled", "assemble") for variant in ("grok", "copilot", "codex")),
        *((variant, "assembled", "prove") for variant in ("cursor", "claude", "kiro")),
        ("hermes", "built", "engine"),
    }
    assert all(image["reason"] for image in stories.first.outcome["images"])


def test_a_changed_source_line_ships_at_the_floor_of_requests(
    stories: Stories, repository: str, run_id: str, tmp_path: Path
) -> None:
    shutil.copytree(stories.project.folder, tmp_path / "family")
    project = replace(stories.project, folder=tmp_path / "family", state=tmp_path / "state")
    copy_repository(f"{stories.repository}-cache", tmp_path / "cache")
    assembled = [f"--variant={variant}" for variant in VARIANTS if variant != "hermes"]
    options = [*assembled, "--push", repository, "--cache", f"oci:{tmp_path / 'cache'}"]
    before = project.build(*options)
    assert before["engine_runs"] == [], "a cache is the same in a layout and in a registry"
    project.edit("src/version.h", f'"{stories.version}"', f'"{run_id}"')
    after = project.build(*options)
    assert engine_nodes(after, "compile") == COMPILES
    assert len(after["engine_runs"]) == 2

    blobs = registry_blobs(repository)
    known, needed = _blobs_of(blobs, before), _blobs_of(blobs, after)
    new_layers, new_configs = needed[0] - known[0], needed[1] - known[1]
    images, tags = len(PLATFORMS) * 6, 6
    assert len(new_configs) == images
    # An upload of a layer or a config is a POST and a PUT, each manifest and each tag another PUT.
    floor = 2 * len(new_layers) + 3 * images + tags
    # Where a base's tag points now is asked once for each of the three in the Dockerfile; the release's own tags are
    # looked at once after they moved (ADR 13).
    assert after["requests"] == floor + 3 + tags
    assert after["bytes_down"] == 0


def _blobs_of(blobs: Blobs, outcome: Document) -> tuple[set[str], set[str]]:
    manifests = [json.loads(blobs(digest)) for digest in digests_of(outcome).values()]
    layers = {layer["digest"] for manifest in manifests for layer in manifest["layers"]}
    return layers, {manifest["config"]["digest"] for manifest in manifests}


def test_the_last_result_explains_why_another_is_built(stories: Stories) -> None:
    """The tree of the first chapter beside the results of the last one."""
    arguments = ("explain", "--json", "--push", stories.repository)
    then = replace(stories.project, folder=stories.first.project)
    found = {
        (node["kind"], node["name"]): node
        for node in then.buildonce(*arguments, "builder", "claude", "hermes").document["nodes"]
    }
    core = found[("core", "builder")]
    assert core["status"] == "changed"
    assert core["cached"], "what was built once is still there"
    assert {one["subject"] for one in core["inputs"]} == {"src/main.c", "src/version.h"}
    assert core["reruns"] == ['RUN make OPTIMIZE="${OPTIMIZE}"']
    base = found[("base", "claude")]
    assert [one["kind"] for one in base["inputs"]] == ["instruction"]
    assert {one["subject"] for one in found[("image", "hermes")]["inputs"]} == {"src/main.c", "src/version.h"}
    now = stories.project.buildonce(*arguments)
    assert {node["status"] for node in now.document["nodes"]} == {"same"}
