"""The assembly against a real BuildKit: the same layers byte for byte, the same config, the same manifest.

The one thing that may differ is the time of directories that a build creates or puts something into.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from msgspec import structs

from buildonce.assemble.archive import Layer
from buildonce.assemble.compare import config_differences, tree_differences
from buildonce.assemble.compression import Compression
from buildonce.assemble.config import decode_config
from buildonce.assemble.entries import Entry, NotExpressible
from buildonce.assemble.facts import read_users
from buildonce.assemble.image import BaseImage, LayerStep, MetadataStep, Step, assemble_image, layers_before
from buildonce.assemble.owners import Passwd
from buildonce.assemble.tarball import LayerBlob, write_layer
from buildonce.assemble.tree import Tree, apply_layers
from buildonce.errors import AssemblyError
from buildonce.oci import decode_manifest
from tests.assemble.buildkit import CREATED, BuildKit, Built, Failed, assert_host
from tests.assemble.copy_cases import CASES, FAILING, LATE, NEWER, REFUSED
from tests.assemble.replay import replay
from tests.assemble.rich import base_tar, source_tar

pytestmark = pytest.mark.host

_NOW = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """BuildKit, and the trees that it made of the base, the source and the context."""

    buildkit: BuildKit
    image: BaseImage
    base: Tree
    passwd: Passwd
    sources: Mapping[str, Tree]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    assert_host()
    context, results = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("results")
    (context / "base.tar").write_bytes(base_tar())
    (context / "src.tar").write_bytes(source_tar())
    _make_context(context)
    buildkit = BuildKit(context=context, results=results)
    base = _built(buildkit, "base", "", target="base")
    source = _built(buildkit, "src", "", target="src")
    files = _built(buildkit, "files", "FROM scratch AS files\nCOPY . /\n", target="files")
    base_tree = apply_layers(layer.entries for layer in base.layers)
    return Oracle(
        buildkit=buildkit,
        image=BaseImage(manifest=base.manifest, config=base.config),
        base=base_tree,
        passwd=read_users(base_tree, base.layers[0].kept),
        sources={
            "src": apply_layers(layer.entries for layer in source.layers),
            "base": base_tree,
            "": apply_layers(layer.entries for layer in files.layers),
        },
    )


@pytest.mark.parametrize("name", CASES)
def test_layers_config_and_manifest_are_those_of_buildkit(name: str, oracle: Oracle, tmp_path: Path) -> None:
    _compare(oracle, CASES[name], _built(oracle.buildkit, name, CASES[name]), tmp_path)


@pytest.mark.parametrize("name", NEWER)
def test_newer_rules_where_the_engine_has_them(name: str, oracle: Oracle, tmp_path: Path) -> None:
    built = oracle.buildkit.build(name, NEWER[name])
    if isinstance(built, Failed):
        assert "unknown flag: --parents" in built.text
    elif b"HEALTHCHECK \\u0026{" in built.config:
        mine = replay(NEWER[name], oracle.base, oracle.sources, oracle.passwd, tmp_path, epoch=_NOW)
        image = assemble_image(oracle.image, mine.steps, created=CREATED)
        assert decode_config(image.config)["config"] == decode_config(built.config)["config"]
    else:
        _compare(oracle, NEWER[name], built, tmp_path)


def _compare(oracle: Oracle, instructions: str, built: Built, tmp_path: Path) -> None:
    mine = replay(instructions, oracle.base, oracle.sources, oracle.passwd, tmp_path, epoch=_NOW)
    theirs = built.layers[len(oracle.image.manifest.layers) :]
    assert len(mine.layers) == len(theirs)
    for entries, layer in zip(mine.layers, theirs, strict=True):
        timed = _with_their_times(entries, layer)
        assert [_fact(entry) for entry in timed] == [_fact(entry) for entry in layer.entries]
        blob = write_layer(timed, tmp_path / "timed", compression=Compression.UNCOMPRESSED)
        assert blob.diff_id == layer.diff_id, "the bytes of the archive differ"
    tree = apply_layers([layer.entries for layer in theirs], onto=oracle.base)
    assert tree_differences(tree, apply_layers(mine.layers, onto=oracle.base)) == ()
    image = assemble_image(oracle.image, _with_their_layers(mine.steps, built), created=CREATED)
    assert config_differences(built.config, image.config) == ()
    assert image.config.decode() == built.config.decode()
    assert image.manifest.decode() == built.manifest_bytes.decode()


@pytest.mark.parametrize("name", LATE)
def test_a_late_layer_goes_where_buildkit_has_it(name: str, oracle: Oracle, tmp_path: Path) -> None:
    stage, words, position = LATE[name]
    copy = f"COPY --from=src {words}"
    faithful = _built(oracle.buildkit, f"faithful-{name}", stage.replace("LATE", copy))
    hoisted = _built(oracle.buildkit, f"hoisted-{name}", stage.replace("LATE\n", "").replace("\nLATE", ""))
    base = BaseImage(manifest=hoisted.manifest, config=hoisted.config)
    position += len(decode_config(oracle.image.config)["history"])
    index = layers_before(base, position)
    below = apply_layers(layer.entries for layer in hoisted.layers[:index])
    mine = replay(copy, below, oracle.sources, oracle.passwd, tmp_path, epoch=_NOW)
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
def test_what_buildkit_refuses_is_refused(name: str, oracle: Oracle, tmp_path: Path) -> None:
    assert isinstance(oracle.buildkit.build(name, FAILING[name]), Failed)
    with pytest.raises(AssemblyError) as caught:
        replay(FAILING[name], oracle.base, oracle.sources, oracle.passwd, tmp_path, epoch=_NOW)
    assert not isinstance(caught.value, NotExpressible)


@pytest.mark.parametrize("name", REFUSED)
def test_what_only_an_engine_can_do_is_left_to_it(name: str, oracle: Oracle, tmp_path: Path) -> None:
    with pytest.raises(NotExpressible):
        replay(REFUSED[name], oracle.base, oracle.sources, oracle.passwd, tmp_path, epoch=_NOW)


def _built(buildkit: BuildKit, name: str, instructions: str, *, target: str = "it") -> Built:
    built = buildkit.build(name, instructions, target=target)
    assert isinstance(built, Built), built.text
    return built


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
    for path in sorted(context.rglob("*"), reverse=True):
        os.utime(path, (1_600_000_000, 1_600_000_000), follow_symlinks=False)


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
