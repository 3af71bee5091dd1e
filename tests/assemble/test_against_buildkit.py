"""The assembly against a real BuildKit: the same layers byte for byte, the same config, the same manifest.

The one thing that may differ is the time of directories that a build creates or puts something into.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeGuard

import pytest
from msgspec import structs

from buildonce.assemble.archive import Layer
from buildonce.assemble.compare import config_differences, tree_differences
from buildonce.assemble.compression import Compression
from buildonce.assemble.config import decode_config
from buildonce.assemble.entries import Entry, NotExpressible
from buildonce.assemble.image import BaseImage, LayerStep, MetadataStep, Step, assemble_image, layers_before
from buildonce.assemble.tarball import LayerBlob, write_layer
from buildonce.assemble.tree import Tree, apply_layers
from buildonce.dockerfile.problems import SyntaxProblem
from buildonce.errors import AssemblyError
from buildonce.oci import OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST, decode_manifest
from tests.assemble import copy_cases, image_cases, tree_cases
from tests.assemble.buildkit import AMD64, CREATED, BuildKit, Built, Failed, assert_host, split_stage
from tests.assemble.copy_cases import LATE, NEWER
from tests.assemble.foundations import Foundation, scratch_foundation, tree_foundation, write_foundation
from tests.assemble.image_cases import BASES, HEALTH
from tests.assemble.replay import Replay, replay
from tests.assemble.rich import base_tar, source_tar

pytestmark = pytest.mark.host

CASES = {**copy_cases.CASES, **tree_cases.CASES, **image_cases.CASES}
FAILING = {**copy_cases.FAILING, **tree_cases.FAILING, **image_cases.FAILING}
REFUSED = {**copy_cases.REFUSED, **tree_cases.REFUSED, **image_cases.REFUSED}
_BATCH = 24
_AT_ONCE = 2
_NOW = 7
_DOCKER_TERMS = {
    "application/vnd.docker.distribution.manifest.v2+json": OCI_MANIFEST,
    "application/vnd.docker.container.image.v1+json": OCI_CONFIG,
    "application/vnd.docker.image.rootfs.diff.tar": OCI_LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": OCI_LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": OCI_LAYER_ZSTD,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """BuildKit, and the trees that it made of the bases, the source and the context."""

    buildkit: BuildKit
    foundations: Mapping[str, Foundation]
    sources: Mapping[str, Tree]
    folder: Path
    pool: ThreadPoolExecutor
    ordered: dict[str, Future[Mapping[str, Built] | Failed]] = field(default_factory=dict)

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
        base, _ = split_stage(CASES[name])
        return BASES[base].platform if base in BASES else AMD64

    def get(self, name: str) -> Built:
        """Return what BuildKit made of a case."""
        built = self.ordered[name].result()
        if isinstance(built, Failed):  # one of many did; which one, and why?
            built = self.buildkit.build_all(name, {name: CASES[name]}, platform=self.platform(name))
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
            epoch=_NOW,
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
            sources={"src": src, "": files},
            folder=results,
            pool=pool,
        )
        oracle.order({name: stage for name, stage in CASES.items() if name in wanted})
        yield oracle
        pool.shutdown(cancel_futures=True)


def _is_case(item: pytest.Item) -> TypeGuard[pytest.Function]:
    return isinstance(item, pytest.Function) and item.function is test_layers_config_and_manifest_are_those_of_buildkit


@pytest.mark.parametrize("name", CASES)
def test_layers_config_and_manifest_are_those_of_buildkit(name: str, oracle: Oracle, tmp_path: Path) -> None:
    _compare(oracle, CASES[name], oracle.get(name), tmp_path)


@pytest.mark.parametrize("name", NEWER)
def test_newer_rules_where_the_engine_has_them(name: str, oracle: Oracle, tmp_path: Path) -> None:
    built = oracle.buildkit.build(name, NEWER[name])
    if isinstance(built, Failed):
        assert "unknown flag: --parents" in built.text
    else:
        _compare(oracle, NEWER[name], built, tmp_path)


@pytest.mark.parametrize("name", HEALTH)
def test_health_checks_are_those_of_buildkit(name: str, oracle: Oracle, tmp_path: Path) -> None:
    built = oracle.buildkit.build(name, HEALTH[name])
    assert isinstance(built, Built), built.text
    if b"HEALTHCHECK \\u0026{" not in built.config:
        _compare(oracle, HEALTH[name], built, tmp_path)
        return
    # An older engine prints the entry of the history in another way; its text is all that differs.
    foundation, mine = oracle.replay(HEALTH[name])
    theirs, ours = (decode_config(one) for one in (built.config, mine.image(foundation.image, CREATED).config))
    for entry in (*theirs["history"], *ours["history"]):
        entry["created_by"] = entry.get("created_by", "").partition("{")[0].removesuffix("&")
    assert ours == theirs


def _compare(oracle: Oracle, stage: str, built: Built, tmp_path: Path) -> None:
    foundation, mine = oracle.replay(stage)
    theirs = built.layers[len(foundation.image.manifest.layers) :]
    assert len(mine.layers) == len(theirs)
    for entries, layer in zip(mine.layers, theirs, strict=True):
        timed = _with_their_times(entries, layer)
        assert [_fact(entry) for entry in timed] == [_fact(entry) for entry in layer.entries]
        blob = write_layer(timed, tmp_path / "timed", compression=Compression.UNCOMPRESSED)
        assert blob.diff_id == layer.diff_id, "the bytes of the archive differ"
    tree = apply_layers([layer.entries for layer in theirs], onto=foundation.tree)
    assert tree_differences(tree, apply_layers(mine.layers, onto=foundation.tree)) == ()
    image = assemble_image(foundation.image, _with_their_layers(mine.steps, built), created=CREATED)
    assert config_differences(built.config, image.config) == ()
    assert image.config.decode() == built.config.decode()
    assert _in_oci_terms(image.manifest) == built.manifest_bytes.decode()


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
    mine = replay(copy, below, oracle.sources, oracle.foundations["base"].passwd, tmp_path, epoch=_NOW)
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
    late = _with_their_times(mine.layers[0], faithful.layers[index])
    assert [_fact(entry) for entry in late] == [_fact(entry) for entry in faithful.layers[index].entries]
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
    (context / "whiteouts").mkdir()
    (context / "whiteouts" / ".wh.gone").touch()
    for path in sorted(context.rglob("*"), reverse=True):
        os.utime(path, (1_600_000_000, 1_600_000_000), follow_symlinks=False)


def _in_oci_terms(manifest: bytes) -> str:
    """Return a manifest in OCI's terms, which are all that an export to a layout knows."""
    text = manifest.decode()
    for theirs, ours in _DOCKER_TERMS.items():
        text = text.replace(f'"{theirs}"', f'"{ours}"')
    return text


def _with_their_times(entries: tuple[Entry, ...], layer: Layer) -> tuple[Entry, ...]:
    """Return our entries with the times of the build, which no two builds share, in place of ours."""
    times = {entry.path: entry.mtime for entry in layer.entries}
    return tuple(
        replace(entry, mtime=times.get(entry.path, _NOW)) if entry.is_directory and entry.mtime == _NOW else entry
        for entry in entries
    )


def _fact(entry: Entry) -> dict[str, object]:
    return {
        "path": entry.path,
        "type": entry.type.name,
        "mode": oct(entry.mode),
        "owner": (entry.uid, entry.gid),
        "mtime": entry.mtime,
        "size": 0 if entry.hardlink else entry.size,
        "digest": None if entry.hardlink else entry.digest,
        "link": entry.link,
        "hardlink": entry.hardlink,
        "capability": entry.capability,
        "device": entry.device,
    }


def _with_their_layers(steps: tuple[Step, ...], built: Built) -> tuple[Step, ...]:
    """Return the steps with BuildKit's own layers, whose gzip bytes are its own."""
    count = sum(step.layer is not None for step in steps)
    blobs = iter(
        LayerBlob(descriptor=descriptor, diff_id=layer.diff_id, path=Path())
        for descriptor, layer in list(zip(built.manifest.layers, built.layers, strict=True))[
            len(built.layers) - count :
        ]
    )
    replaced: list[Step] = []
    for step in steps:
        match step:
            case LayerStep():
                replaced.append(structs.replace(step, layer=next(blobs)))
            case MetadataStep():
                replaced.append(structs.replace(step, layer=next(blobs)) if step.layer else step)
    return tuple(replaced)
