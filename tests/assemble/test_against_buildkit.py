"""The assembly against a real BuildKit: the same layers byte for byte, the same config, the same manifest.

The one thing that may differ is the time of directories that a build creates or puts something into.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

import pytest
from msgspec import structs

from buildonce.assemble.compare import config_differences, tree_differences
from buildonce.assemble.config import decode_config, encode_config
from buildonce.assemble.entries import Entry, EntryType, NotExpressible
from buildonce.assemble.image import BaseImage, LayerStep, assemble_image, layers_before
from buildonce.assemble.tree import Tree, apply_layers
from buildonce.dockerfile.problems import SyntaxProblem
from buildonce.errors import AssemblyError
from buildonce.oci import decode_manifest
from tests.assemble import copy_cases, image_cases, tree_cases
from tests.assemble.buildkit import AMD64, CREATED, BuildKit, Built, Failed, assert_host, split_stage
from tests.assemble.copy_cases import LATE, NEWER
from tests.assemble.equality import NOW, assert_equal, fact_of, with_their_times
from tests.assemble.foundations import Foundation, scratch_foundation, tree_foundation, write_foundation
from tests.assemble.image_cases import BASES, HEALTH
from tests.assemble.replay import Replay, replay
from tests.assemble.rich import base_tar, source_tar

pytestmark = pytest.mark.host

CASES = {**copy_cases.CASES, **tree_cases.CASES, **image_cases.CASES}
FAILING = {**copy_cases.FAILING, **tree_cases.FAILING, **image_cases.FAILING}
STAGES = {**CASES, **HEALTH}
REFUSED = {**copy_cases.REFUSED, **tree_cases.REFUSED, **image_cases.REFUSED}
_BATCH = 24
_BY_CHANCE = 1
"""How many copies of the context may have a folder's time wrong: were it a rule, all of them would."""
_AT_ONCE = 2
_WHITEOUTS = Tree(
    {
        "x": Entry(path="x", type=EntryType.DIRECTORY),
        "x/.wh.gone": Entry(path="x/.wh.gone", type=EntryType.FILE),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """BuildKit, and the trees that it made of the bases, the source and the context."""

    buildkit: BuildKit
    foundations: Mapping[str, Foundation]
    sources: Mapping[str, Tree]
    folder: Path
    pool: ThreadPoolExecutor
    ordered: dict[str, Future[Mapping[str, Built] | Failed]] = field(default_factory=dict)
    by_chance: list[str] = field(default_factory=list)

    def order(self, cases: Mapping[str, str]) -> None:
        """Have cases built in the background, many in a call: one call for each takes most of its time to begin."""
        by_platform = itertools.groupby(sorted(cases, key=self.platform), key=self.platform)
        for platform, found in by_platform:
            names = list(found)
            for start in range(0, len(names), _BATCH):
                batch = names[start : start + _BATCH]
                stages = {name: cases[name] for name in batch}
                built = self.pool.submit(self.buildkit.build_all, f"batch-{batch[0]}", stages, platform=platform)
                self.ordered.update(dict.fromkeys(batch, built))

    def platform(self, name: str) -> str:
        """Return the platform that a case is built for."""
        base, _ = split_stage(STAGES[name])
        return BASES[base].platform if base in BASES else AMD64

    def get(self, name: str) -> Built:
        """Return what BuildKit made of a case."""
        built = self.ordered[name].result() if name in self.ordered else None
        if built is None or isinstance(built, Failed):  # one of many failed; which one, and why?
            built = self.buildkit.build_all(name, {name: STAGES[name]}, platform=self.platform(name))
        assert not isinstance(built, Failed), built.text
        return built[name]

    def replay(self, stage: str) -> tuple[Foundation, Replay]:
        """Return what a stage is built on, and what the assembly makes of it."""
        name, instructions = split_stage(stage)
        foundation = self.foundations[name]
        trees = {**self.sources, **{name: one.tree for name, one in self.foundations.items()}}
        return foundation, replay(
            instructions,
            foundation.tree,
            trees,
            foundation.passwd,
            self.folder,
            epoch=NOW,
            state=foundation.state,
        )


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Oracle]:
    assert_host()
    context, results = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("results")
    (context / "base.tar").write_bytes(base_tar())
    (context / "src.tar").write_bytes(source_tar())
    _make_context(context)
    layout = tmp_path_factory.mktemp("layout")
    foundations = {name: write_foundation(layout, base) for name, base in BASES.items()}
    contexts = {name: f"oci-layout://{layout}@{one.digest}" for name, one in foundations.items()}
    buildkit = BuildKit(context=context, results=results, contexts=contexts)
    trees = buildkit.build_all("trees", {"x-base": "FROM base", "x-src": "FROM src", "files": "FROM scratch\nCOPY . /"})
    assert not isinstance(trees, Failed), trees.text
    src, files = (apply_layers(layer.entries for layer in trees[name].layers) for name in ("x-src", "files"))
    wanted = {item.callspec.params["name"] for item in request.session.items if _is_case(item)}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        oracle = Oracle(
            buildkit=buildkit,
            foundations={"base": tree_foundation(trees["x-base"]), "scratch": scratch_foundation(), **foundations},
            sources={"src": src, "": files, "whiteouts": _WHITEOUTS},
            folder=results,
            pool=pool,
        )
        oracle.order({name: stage for name, stage in STAGES.items() if name in wanted})
        yield oracle
        pool.shutdown(cancel_futures=True)


def _is_case(item: pytest.Item) -> TypeGuard[pytest.Function]:
    return isinstance(item, pytest.Function) and "oracle" in item.fixturenames and hasattr(item, "callspec")


@pytest.mark.parametrize("name", CASES)
def test_layers_config_and_manifest_are_those_of_buildkit(name: str, oracle: Oracle, tmp_path: Path) -> None:
    mine, built = oracle.replay(CASES[name]), oracle.get(name)
    try:
        assert_equal(*mine, built, tmp_path)
    except AssertionError:
        # Under load, BuildKit gives a folder of the context another time now and then: to one case of some thousands.
        if not name.startswith("context-") or len(oracle.by_chance) >= _BY_CHANCE:
            raise
        assert_equal(*mine, built, tmp_path, with_folder_times=False)
        oracle.by_chance.append(name)


@pytest.mark.parametrize("name", NEWER)
def test_newer_rules_where_the_engine_has_them(name: str, oracle: Oracle, tmp_path: Path) -> None:
    built = oracle.buildkit.build(name, NEWER[name])
    if isinstance(built, Failed):
        assert "unknown flag: --parents" in built.text
    else:
        assert_equal(*oracle.replay(NEWER[name]), built, tmp_path)


@pytest.mark.parametrize("name", HEALTH)
def test_health_checks_are_those_of_buildkit(name: str, oracle: Oracle, tmp_path: Path) -> None:
    built = oracle.get(name)
    if b"HEALTHCHECK \\u0026{" not in built.config:
        assert_equal(*oracle.replay(HEALTH[name]), built, tmp_path)
        return
    # An older engine prints the entry of the history in another way; its text is all that differs.
    foundation, mine = oracle.replay(HEALTH[name])
    theirs, ours = (decode_config(one) for one in (built.config, mine.image(foundation.image, CREATED).config))
    for entry in (*theirs["history"], *ours["history"]):
        entry["created_by"] = entry.get("created_by", "").partition("{")[0].removesuffix("&")
    assert ours == theirs


def test_keys_that_no_specification_knows_survive_where_buildkit_drops_them(oracle: Oracle) -> None:
    built = oracle.buildkit.build("unknown", image_cases.UNKNOWN)
    assert isinstance(built, Built), built.text
    foundation, mine = oracle.replay(image_cases.UNKNOWN)
    config = decode_config(mine.image(foundation.image, CREATED).config)
    assert config.pop("x-vendor") == {"b": [1, 2.5, None], "a": "<"}
    assert config["config"].pop("X-Setting") == {"k": True}
    assert config_differences(built.config, encode_config(config)) == ()


@pytest.mark.parametrize("name", LATE)
def test_a_late_layer_goes_where_buildkit_has_it(name: str, oracle: Oracle, tmp_path: Path) -> None:
    stage, words, position = LATE[name]
    copy = f"COPY --from=src {words}"
    stages = {"faithful": stage.replace("LATE", copy), "hoisted": stage.replace("LATE\n", "").replace("\nLATE", "")}
    built = oracle.buildkit.build_all(f"late-{name}", stages)
    assert not isinstance(built, Failed), built.text
    faithful, hoisted = built["faithful"], built["hoisted"]
    base = BaseImage(manifest=hoisted.manifest, config=hoisted.config)
    position += len(decode_config(oracle.foundations["base"].image.config)["history"])
    index = layers_before(base, position)
    below = apply_layers(layer.entries for layer in hoisted.layers[:index])
    mine = replay(copy, below, oracle.sources, oracle.foundations["base"].passwd, tmp_path, epoch=NOW)
    (step,) = mine.steps
    assert isinstance(step, LayerStep)
    image = assemble_image(base, [structs.replace(step, history_position=position)], created=CREATED)
    assert config_differences(faithful.config, image.config) == ()
    layers = decode_manifest(image.manifest).layers
    assert [layer.digest for layer in layers] == [
        *(layer.digest for layer in hoisted.manifest.layers[:index]),
        step.layer.descriptor.digest,
        *(layer.digest for layer in hoisted.manifest.layers[index:]),
    ]
    late = with_their_times(mine.layers[0], faithful.layers[index])
    assert [fact_of(entry) for entry in late] == [fact_of(entry) for entry in faithful.layers[index].entries]
    inserted = (*hoisted.layers[:index], faithful.layers[index], *hoisted.layers[index:])
    assert (
        tree_differences(
            apply_layers(layer.entries for layer in faithful.layers),
            apply_layers(layer.entries for layer in inserted),
        )
        == ()
    )


@pytest.mark.parametrize("name", FAILING)
def test_what_buildkit_refuses_is_refused(name: str, oracle: Oracle) -> None:
    assert oracle.buildkit.refuses(name, FAILING[name])
    with pytest.raises((AssemblyError, SyntaxProblem)) as caught:
        oracle.replay(FAILING[name])
    assert not isinstance(caught.value, NotExpressible)


@pytest.mark.parametrize("name", REFUSED)
def test_what_only_an_engine_can_do_is_left_to_it(name: str, oracle: Oracle) -> None:
    with pytest.raises(NotExpressible):
        oracle.replay(REFUSED[name])


def _make_context(context: Path) -> None:
    (context / "folder" / "inner").mkdir(parents=True)
    for name, mode in (
        ("file.txt", 0o640),
        ("folder/run.sh", 0o755),
        ("folder/x.md", 0o644),
        ("folder/inner/deep.txt", 0o600),
    ):
        path = context / name
        path.write_text(name, encoding="utf-8")
        path.chmod(mode)
    (context / "folder" / "link").symlink_to("inner/deep.txt")
    for path in sorted((path for path in context.rglob("*") if path.suffix != ".tar"), reverse=True):
        os.utime(path, (1_600_000_000, 1_600_000_000), follow_symlinks=False)
