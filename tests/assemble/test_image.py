from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from buildonce.assemble.compare import config_differences, tree_differences
from buildonce.assemble.config import encode_config
from buildonce.assemble.core import normalise_core, pack_core
from buildonce.assemble.entries import Entry, EntryType, NotExpressible
from buildonce.assemble.image import (
    BaseImage,
    LayerStep,
    MetadataStep,
    Step,
    assemble_image,
    copy_history,
    layers_before,
)
from buildonce.assemble.tarball import LayerBlob
from buildonce.assemble.tree import apply_layers
from buildonce.errors import AssemblyError
from buildonce.oci import (
    DOCKER_CONFIG,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Manifest,
    MediaType,
    decode_manifest,
    digest_of,
)
from tests.assemble.replay import evaluate

CREATED = "2026-01-02T03:04:05Z"


def layer(name: str, media_type: MediaType = OCI_LAYER_GZIP, annotations: dict[str, str] | None = None) -> Descriptor:
    return Descriptor(media_type=media_type, digest=digest_of(name.encode()), size=len(name), annotations=annotations)


def blob(name: str) -> LayerBlob:
    return LayerBlob(descriptor=layer(name), diff_id=diff_id(name), path=Path(name))


def diff_id(name: str) -> Digest:
    return digest_of(f"diff {name}".encode())


def base(*history: str, layers: tuple[Descriptor, ...] | None = None, family: MediaType = OCI_MANIFEST) -> BaseImage:
    """An image whose history has these entries; those in capitals have no layer."""
    named = [name for name in history if not name.isupper()]
    config = {
        "os": "linux",
        "created": "2020-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id(name) for name in named]},
        "history": [{"created_by": name} | ({"empty_layer": True} if name.isupper() else {}) for name in history],
        "moby.unknown": 1,
    }
    content = encode_config(config)
    descriptor = Descriptor(media_type=OCI_CONFIG, digest=digest_of(content), size=len(content))
    layers = tuple(layer(name) for name in named) if layers is None else layers
    return BaseImage(manifest=Manifest(media_type=family, config=descriptor, layers=layers), config=content)


def late(name: str, position: int | None = None) -> LayerStep:
    if position is None:
        return LayerStep(layer=blob(name), created_by=name)
    return LayerStep(layer=blob(name), created_by=name, history_position=position)


def metadata(instructions: str) -> list[Step]:
    return [MetadataStep(instruction=step.expanded) for step in evaluate(instructions)]  # type: ignore[arg-type]


def assembled(image: BaseImage, *steps: Step, cmd_is_set: bool = False) -> tuple[dict[str, Any], Manifest]:
    done = assemble_image(image, steps, created=CREATED, cmd_is_set=cmd_is_set)
    assert done.config_descriptor.digest == digest_of(done.config)
    assert done.manifest_descriptor.digest == digest_of(done.manifest)
    manifest = decode_manifest(done.manifest)
    assert manifest.config == done.config_descriptor
    return json.loads(done.config), manifest


def names(config: dict[str, Any]) -> list[str]:
    return [entry["created_by"] for entry in config["history"]]


@pytest.mark.parametrize(
    ("position", "history", "layers"),
    [
        (0, ["LATE", "FROM", "a", "ENV", "b"], ["LATE", "a", "b"]),
        (1, ["FROM", "LATE", "a", "ENV", "b"], ["LATE", "a", "b"]),
        (2, ["FROM", "a", "LATE", "ENV", "b"], ["a", "LATE", "b"]),
        (3, ["FROM", "a", "ENV", "LATE", "b"], ["a", "LATE", "b"]),
        (4, ["FROM", "a", "ENV", "b", "LATE"], ["a", "b", "LATE"]),
        (None, ["FROM", "a", "ENV", "b", "LATE"], ["a", "b", "LATE"]),
    ],
)
def test_a_late_layer_is_put_where_a_faithful_build_has_it(
    position: int | None, history: list[str], layers: list[str]
) -> None:
    config, manifest = assembled(base("FROM", "a", "ENV", "b"), late("LATE", position))
    assert names(config) == history
    assert [one.digest for one in manifest.layers] == [digest_of(name.encode()) for name in layers]
    assert config["rootfs"]["diff_ids"] == [diff_id(name) for name in layers]


def test_positions_count_the_entries_of_the_base() -> None:
    config, manifest = assembled(
        base("a", "b", "c"), late("2nd", 2), *metadata("ENV X=1"), late("end"), late("1st", 1), late("1st again", 1)
    )
    assert names(config) == ["a", "1st", "1st again", "b", "2nd", "c", "ENV X=1", "end"]
    assert [one.size for one in manifest.layers] == [
        len(name) for name in ("a", "1st", "1st again", "b", "2nd", "c", "end")
    ]


def test_times_and_other_keys() -> None:
    config, _ = assembled(base("a"), late("b"), *metadata("USER x"))
    assert config["created"] == CREATED
    assert config["history"] == [
        {"created_by": "a"},
        {"created": CREATED, "created_by": "b", "comment": "buildkit.dockerfile.v0"},
        {"created": CREATED, "created_by": "USER x", "comment": "buildkit.dockerfile.v0", "empty_layer": True},
    ]
    assert config["moby.unknown"] == 1


def test_an_entrypoint_clears_only_an_inherited_command() -> None:
    assert "Cmd" not in assembled(base("a"), *metadata('ENTRYPOINT ["x"]'))[0]["config"]
    assert assembled(base("a"), *metadata('ENTRYPOINT ["x"]'), cmd_is_set=True)[0]["config"]["Cmd"] == ["sh"]
    assert assembled(base("a"), *metadata('CMD ["y"]\nENTRYPOINT ["x"]'))[0]["config"]["Cmd"] == ["y"]


def test_a_working_directory_brings_its_layer() -> None:
    (step,) = metadata("WORKDIR /w")
    assert isinstance(step, MetadataStep)
    config, manifest = assembled(base("a"), MetadataStep(instruction=step.instruction, layer=blob("w")))
    assert config["config"]["WorkingDir"] == "/w"
    assert config["history"][1] == {"created": CREATED, "created_by": "WORKDIR /w", "comment": "buildkit.dockerfile.v0"}
    assert len(manifest.layers) == 2
    with pytest.raises(AssemblyError, match="needs layer"):
        assembled(base("a"), step)
    (root,) = metadata("WORKDIR /")
    assert assembled(base("a"), root)[0]["history"][1]["empty_layer"] is True
    assert isinstance(root, MetadataStep)
    with pytest.raises(AssemblyError, match="makes no layer"):
        assembled(base("a"), MetadataStep(instruction=root.instruction, layer=blob("w")))


@pytest.mark.parametrize(
    "image",
    [
        base("a", "b", layers=(layer("a"),)),
        base("A", layers=(layer("a"),)),
        base("a", "b", layers=()),
    ],
)
def test_a_history_must_account_for_the_layers(image: BaseImage) -> None:
    with pytest.raises(NotExpressible, match="history"):
        assembled(image, late("x"))
    with pytest.raises(NotExpressible, match="history"):
        layers_before(image, 0)


def test_layers_before_a_history_entry() -> None:
    image = base("FROM", "a", "ENV", "b")
    assert [layers_before(image, position) for position in (0, 1, 2, 3, 4, -1)] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("position", [2, -2])
def test_a_position_must_be_in_the_base(position: int) -> None:
    with pytest.raises(AssemblyError, match="no history entry"):
        assembled(base("a"), late("x", position))


def test_media_types_stay_in_the_family() -> None:
    mixed = base("a", "b", layers=(layer("a", DOCKER_LAYER_GZIP), layer("b")), family=DOCKER_MANIFEST)
    _, manifest = assembled(mixed, late("c"))
    assert (manifest.media_type, manifest.config.media_type) == (DOCKER_MANIFEST, DOCKER_CONFIG)
    assert {one.media_type for one in manifest.layers} == {DOCKER_LAYER_GZIP}
    oci = base("a", layers=(layer("a", DOCKER_LAYER_GZIP),))
    _, manifest = assembled(oci, late("c"))
    assert {one.media_type for one in manifest.layers} == {OCI_LAYER_GZIP}


def test_layers_that_are_stored_elsewhere_are_left_to_an_engine() -> None:
    foreign = MediaType("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    with pytest.raises(NotExpressible, match="foreign"):
        assembled(base("a", layers=(layer("a", foreign),)), late("b"))


def test_internal_annotations_are_stripped() -> None:
    annotations = {
        "containerd.io/uncompressed": "x",
        "buildkit/createdat": "y",
        "containerd.io/distribution.source.example.com": "z",
        "kept": "1",
    }
    _, manifest = assembled(base("a", layers=(layer("a", annotations=annotations),)))
    assert manifest.layers[0].annotations == {"kept": "1"}
    _, manifest = assembled(base("a", layers=(layer("a", annotations=annotations),), family=DOCKER_MANIFEST))
    assert manifest.layers[0].annotations is None


def test_a_base_without_layers_is_fine() -> None:
    config, manifest = assembled(base(), late("a"))
    assert (len(manifest.layers), names(config)) == (1, ["a"])


def test_a_base_is_identified_by_its_manifest() -> None:
    assert base("a").manifest_digest == base("a").manifest_digest != base("b").manifest_digest


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "COPY a b /d/ # buildkit"),
        (
            {"parents": True, "chmod": "755", "chown": "x:y"},
            "COPY --parents --chown=x:y --chmod=755 a b /d/ # buildkit",
        ),
    ],
)
def test_the_history_of_a_copy(options: dict[str, Any], text: str) -> None:
    assert copy_history(("a", "b"), "/d/", **options) == text


def test_trees_are_compared_in_everything_but_times() -> None:
    def file(path: str, **facts: object) -> Entry:
        return Entry(path=path, type=EntryType.FILE, **facts)  # type: ignore[arg-type]

    one = apply_layers([[file("a", size=1, digest=digest_of(b"1"), mtime=1), file("b", hardlink="a"), file("only")]])
    same = apply_layers([[file("a", size=1, digest=digest_of(b"1"), mtime=9), file("b", hardlink="a"), file("only")]])
    assert tree_differences(one, same) == ()
    other = apply_layers(
        [
            [
                file("a", size=1, digest=digest_of(b"2"), mode=0o600, uid=5, capability=b"\1"),
                file("b", size=1, digest=digest_of(b"1")),
                Entry(path="new", type=EntryType.SYMLINK, link="x"),
            ]
        ]
    )
    found = {(difference.path, difference.what) for difference in tree_differences(one, other)}
    assert found == {
        ("/a", "mode"),
        ("/a", "owner"),
        ("/a", "content"),
        ("/a", "capability"),
        ("/b", "hard link"),
        ("/only", "entry"),
        ("/new", "entry"),
    }
    assert str(tree_differences(one, other)[0]) == "/a: mode is 0600, expected 0644"


def test_contents_that_were_not_hashed_are_different() -> None:
    tree = apply_layers([[Entry(path="a", type=EntryType.FILE, size=1)]])
    assert [difference.what for difference in tree_differences(tree, tree)] == ["content"]


def test_configs_are_compared_in_everything_but_times() -> None:
    one, other = base("a", "B"), base("b", "B")
    done = assemble_image(one, [], created=CREATED)
    assert config_differences(one.config, done.config) == ()
    assert [str(difference) for difference in config_differences(one.config, other.config)] == [
        "history[0].created_by: value is b, expected a"
    ]
    more = assemble_image(one, metadata("ENV X=1\nUSER u"), created=CREATED)
    assert [difference.path for difference in config_differences(one.config, more.config)] == [
        "config.Env",
        "config.User",
        "history",
    ]


def test_a_core_depends_on_nothing_but_its_files(tmp_path: Path) -> None:
    def tree(mtime: int) -> tuple[Entry, ...]:
        return (
            Entry(path="out", type=EntryType.DIRECTORY, mtime=mtime),
            Entry(path="out/x", type=EntryType.FILE, mtime=5),
        )

    early, late_ = apply_layers([tree(2000)]), apply_layers([tree(3000)])
    assert normalise_core(early, epoch_limit=1000)["out/x"].mtime == 5
    first = pack_core(early, tmp_path / "one", epoch_limit=1000)
    second = pack_core(late_, tmp_path / "two", epoch_limit=1000)
    assert first.descriptor == second.descriptor
    assert first.diff_id == first.descriptor.digest
