"""One kind of damage at a time: each is found, under its own code, at its place, and turns the exit code."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Call
from tests.fakes.registry import FakeRegistry
from tests.verify.releases import (
    COPIES,
    MANIFEST,
    Change,
    Draft,
    Json,
    LayoutShelf,
    RegistryShelf,
    Shelf,
    compress,
    draft,
    make_layer,
    manifest_of,
    ship,
    store_index,
)

ARM = ("codex", "arm64")
ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@pytest.fixture(params=["layout", "registry"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path, registry: FakeRegistry) -> Shelf:
    """Give an empty store."""
    return LayoutShelf(tmp_path / "layout") if request.param == "layout" else RegistryShelf(registry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What is done to a release, and what has to be said of it: code, reference, platform, and a part of the rest.

    ``named`` is what is asked for of the store.
    """

    do: Callable[[Shelf], object]
    code: str
    tag: str = "codex"
    platform: str = "linux/arm64"
    says: str = ""
    named: str = ""
    options: tuple[str, ...] = ()
    others: frozenset[str] = frozenset()


def at_layer(damage: Callable[[Shelf, Json], object], number: int = 2) -> Callable[[Shelf], object]:
    """Return what damages a layer of the image of codex for arm64 in the store."""

    def do(shelf: Shelf) -> None:
        damage(shelf, manifest_of(shelf, ship(shelf)[ARM])["layers"][number])

    return do


def at_config(damage: Callable[[Shelf, Json], object]) -> Callable[[Shelf], object]:
    """Return what damages the config in the store."""
    return lambda shelf: damage(shelf, manifest_of(shelf, ship(shelf)[ARM])["config"])


def at_manifest(damage: Callable[[Shelf, Json], object]) -> Callable[[Shelf], object]:
    """Return what damages the manifest in the store."""
    return lambda shelf: damage(shelf, ship(shelf)[ARM])


def remove(shelf: Shelf, part: Json) -> None:
    shelf.remove(part["digest"])


def flip(shelf: Shelf, part: Json) -> None:
    content = shelf.content(part["digest"])
    shelf.damage(part["digest"], content[:-1] + bytes([content[-1] ^ 1]))


def shorten(shelf: Shelf, part: Json) -> None:
    shelf.damage(part["digest"], shelf.content(part["digest"])[:-5])


def lengthen(shelf: Shelf, part: Json) -> None:
    shelf.damage(part["digest"], shelf.content(part["digest"]) + b"more")


def made(change: Change) -> Callable[[Shelf], object]:
    """Return what ships a release in which the image of codex for arm64 is changed before it is stored."""
    return lambda shelf: ship(shelf, changes={ARM: change})


def config(**changes: Any) -> Callable[[Shelf], object]:
    """Return what ships an image with another config; None removes a key."""

    def change(one: Draft) -> None:
        one.on_config = lambda old: {k: v for k, v in {**old, **changes}.items() if v is not None}

    return made(change)


def manifest(change: Callable[[Json], Json | None]) -> Callable[[Shelf], object]:
    """Return what ships an image with another manifest."""

    def on(one: Draft) -> None:
        one.on_manifest = change

    return made(on)


def entry(**changes: Any) -> Callable[[Shelf], object]:
    """Return what ships an index that says other things of the image."""

    def on(one: Draft) -> None:
        one.on_entry = lambda old: old | changes

    return made(on)


def blob(*, number: int = 2, content: bytes) -> Callable[[Shelf], object]:
    """Return what ships an image one of whose layers is some other blob; digests are right."""

    def on(one: Draft) -> None:
        one.blobs = [compress(archive) for archive in one.archives]
        one.blobs[number] = content

    return made(on)


def archive(content: bytes) -> Callable[[Shelf], object]:
    """Return what ships an image whose last layer is another archive; digests and diff IDs are right."""

    def on(one: Draft) -> None:
        one.archives[2] = content

    return made(on)


def core(**changes: Any) -> Callable[[Shelf], object]:
    """Return what ships an index that says other things of late copies."""

    def on(one: Draft) -> None:
        assert one.copies is not None
        one.copies[0].update(changes)

    return made(on)


def other_core(variant: str, *, says_so: bool = True) -> Callable[[Shelf], object]:
    """Return what ships another build of the program in one variant."""

    def change(one: Draft) -> None:
        newer = draft(variant, "arm64", program=b"\x7fprogram 2")
        one.archives, one.copies = newer.archives, newer.copies if says_so else None

    return lambda shelf: ship(shelf, changes={(variant, "arm64"): change})


def docker_entry(document: Json) -> Json:
    """Have a layer of Docker's type in an OCI manifest."""
    document["layers"][1]["mediaType"] = DOCKER_LAYER
    return document


def set_layer(**changes: Any) -> Callable[[Json], Json]:
    def change(document: Json) -> Json:
        document["layers"][2].update(changes)
        return document

    return change


def set_config(**changes: Any) -> Callable[[Json], Json]:
    def change(document: Json) -> Json:
        document["config"].update(changes)
        return document

    return change


def other_document(content: bytes) -> Callable[[Shelf], object]:
    """Return what ships an index whose entry for codex on arm64 is some document; digest and size are right."""

    def do(shelf: Shelf) -> None:
        entries = ship(shelf)
        stored = shelf.put(content, MANIFEST)
        shelf.tag("codex", store_index(shelf, [entries["codex", "amd64"], entries[ARM] | stored]))

    return do


def at_index(change: Callable[[Shelf, Json, Json], Json]) -> Callable[[Shelf], object]:
    """Return what ships another index for codex; ``change`` makes it of the entries for amd64 and arm64."""

    def do(shelf: Shelf) -> None:
        entries = ship(shelf)
        shelf.tag("codex", change(shelf, entries["codex", "amd64"], entries[ARM]))

    return do


def nested(shelf: Shelf, amd: Json, arm: Json) -> Json:
    inner = store_index(shelf, [amd, arm])
    for _ in range(5):
        inner = store_index(shelf, [inner])
    return inner


def linked(name: str, target: str) -> bytes:
    """Return an archive with a hard link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as one:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = tarfile.LNKTYPE, target
        one.addfile(member)
    return out.getvalue()


def named(name: str) -> bytes:
    """Return an archive with an entry of a name that tarfile itself would not unpack."""
    return make_layer({name: b"x"})


NOTHING = frozenset({"VERIFY-TAG-MISSING"})
DAMAGES = {
    # What is gone or changed in the store.
    "a layer is gone": Damage(do=at_layer(remove), code="VERIFY-BLOB-MISSING", says="layer 3 of 3"),
    "a layer has other bytes": Damage(do=at_layer(flip), code="VERIFY-BLOB-DIGEST", says="layer 3 of 3"),
    "a layer is shorter": Damage(do=at_layer(shorten), code="VERIFY-BLOB-SIZE", says="layer 3 of 3"),
    "a layer is longer": Damage(do=at_layer(lengthen), code="VERIFY-BLOB-SIZE", says="layer 3 of 3"),
    "the config is gone": Damage(do=at_config(remove), code="VERIFY-BLOB-MISSING", says="config sha256:"),
    "the config has other bytes": Damage(do=at_config(flip), code="VERIFY-BLOB-DIGEST", says="config sha256:"),
    "the config is shorter": Damage(do=at_config(shorten), code="VERIFY-BLOB-SIZE", says="config sha256:"),
    "the manifest is gone": Damage(do=at_manifest(remove), code="VERIFY-MANIFEST-MISSING"),
    "the manifest has other bytes": Damage(do=at_manifest(flip), code="VERIFY-MANIFEST-DIGEST"),
    "the manifest is shorter": Damage(do=at_manifest(shorten), code="VERIFY-MANIFEST-DIGEST"),
    "there is no such tag": Damage(do=ship, code="VERIFY-TAG-MISSING", named=":nothing", tag="", platform=""),
    "no tag is like that": Damage(do=ship, code="VERIFY-TAG-MISSING", named=":v?-*", tag="", platform=""),
    "there is no such digest": Damage(
        do=ship, code="VERIFY-TAG-MISSING", named=f"@sha256:{'0' * 64}", tag="", platform=""
    ),
    # What was pushed like that: every digest of a blob is right.
    "a manifest's size is wrong": Damage(do=entry(size=7), code="VERIFY-MANIFEST-SIZE"),
    "a manifest's type is wrong": Damage(
        do=entry(mediaType="application/vnd.docker.distribution.manifest.v2+json"), code="VERIFY-MEDIA-TYPE"
    ),
    "a manifest is an empty object": Damage(do=other_document(b"{}"), code="VERIFY-MANIFEST-INVALID"),
    "a manifest is no JSON": Damage(do=other_document(b"\xff\xfe"), code="VERIFY-MANIFEST-INVALID"),
    "a manifest is nested without end": Damage(do=other_document(b"[" * 9999), code="VERIFY-MANIFEST-INVALID"),
    "a manifest is of schema version 1": Damage(
        do=manifest(lambda old: old | {"schemaVersion": 1}), code="VERIFY-MANIFEST-INVALID"
    ),
    "a manifest is an index too": Damage(
        do=manifest(lambda old: old | {"manifests": []}), code="VERIFY-MANIFEST-INVALID"
    ),
    "a manifest has no config": Damage(
        do=manifest(lambda old: {k: v for k, v in old.items() if k != "config"}), code="VERIFY-MANIFEST-INVALID"
    ),
    "a layer's digest is none": Damage(
        do=manifest(set_layer(digest="sha256:../../etc/passwd")), code="VERIFY-MANIFEST-INVALID"
    ),
    "a layer's size is negative": Damage(do=manifest(set_layer(size=-1)), code="VERIFY-MANIFEST-INVALID"),
    "a layer's size is wrong": Damage(do=manifest(set_layer(size=7)), code="VERIFY-BLOB-SIZE", says="layer 3"),
    "a layer is said to be huge": Damage(
        do=manifest(set_layer(size=1 << 60)), code="VERIFY-TOO-MUCH", says="1152921504606846976 bytes"
    ),
    "the config is said to be huge": Damage(
        do=manifest(set_config(size=1 << 40)), code="VERIFY-TOO-MUCH", says="1099511627776 bytes"
    ),
    "a manifest has too many layers": Damage(
        do=manifest(lambda old: old | {"layers": old["layers"] * 400}), code="VERIFY-TOO-MUCH", says="1200 layers"
    ),
    "a layer's type is unknown": Damage(
        do=manifest(set_layer(mediaType="application/x-layer")), code="VERIFY-MEDIA-TYPE", says="application/x-layer"
    ),
    "a layer's type is a config's": Damage(
        do=manifest(set_layer(mediaType="application/vnd.oci.image.config.v1+json")), code="VERIFY-MEDIA-TYPE"
    ),
    "a layer's type is of the other family": Damage(
        do=manifest(docker_entry), code="VERIFY-MEDIA-TYPE", says="OCI's types"
    ),
    "a layer's type names another compression": Damage(
        do=manifest(set_layer(mediaType=ZSTD)), code="VERIFY-MEDIA-TYPE", says="the layer is gzip"
    ),
    "the config's type is unknown": Damage(
        do=manifest(set_config(mediaType="application/x-config")), code="VERIFY-MEDIA-TYPE", says="application/x-config"
    ),
    "a platform is missing": Damage(
        do=at_index(lambda shelf, amd, _: store_index(shelf, [amd])), code="VERIFY-PLATFORM-MISSING"
    ),
    "a platform that is demanded is missing": Damage(
        do=ship,
        code="VERIFY-PLATFORM-MISSING",
        platform="linux/riscv64",
        options=("--platform", "linux/amd64,linux/riscv64"),
    ),
    "a platform is there twice": Damage(
        do=at_index(lambda shelf, amd, arm: store_index(shelf, [amd, arm, amd | {"platform": arm["platform"]}])),
        code="VERIFY-PLATFORM-TWICE",
        others=frozenset({"VERIFY-PLATFORM-WRONG", "VERIFY-CORE-DIFFERS"}),
    ),
    "a platform is there twice, in other words": Damage(
        do=at_index(
            lambda shelf, amd, arm: store_index(
                shelf, [amd, arm, arm | {"platform": {"os": "linux", "architecture": "aarch64", "variant": "v8"}}]
            )
        ),
        code="VERIFY-PLATFORM-TWICE",
        others=frozenset({"VERIFY-PLATFORM-WRONG"}),
    ),
    "the config is for another architecture": Damage(do=config(architecture="amd64"), code="VERIFY-PLATFORM-WRONG"),
    "the config is for another system": Damage(do=config(os="windows"), code="VERIFY-PLATFORM-WRONG"),
    "the index is empty": Damage(
        do=at_index(lambda shelf, _, __: store_index(shelf, [])), code="VERIFY-NOT-AN-IMAGE", platform=""
    ),
    "an index is in itself, or nearly": Damage(do=at_index(nested), code="VERIFY-TOO-MUCH", platform=""),
    "an index has too many entries": Damage(
        do=at_index(lambda shelf, amd, arm: store_index(shelf, [amd, arm] * 200)),
        code="VERIFY-TOO-MUCH",
        platform="",
        says="400 entries",
        others=frozenset({"VERIFY-PLATFORM-TWICE"}),
    ),
    "an index refers to nothing": Damage(
        do=at_index(
            lambda shelf, amd, arm: store_index(shelf, [amd, arm | {"digest": "sha256:" + "1" * 64}])
        ),
        code="VERIFY-MANIFEST-MISSING",
    ),
    "an index refers to a tag": Damage(
        do=at_index(lambda shelf, amd, arm: store_index(shelf, [amd, arm | {"digest": "latest"}])),
        code="VERIFY-MANIFEST-INVALID",
        platform="",
        others=frozenset({"VERIFY-NOT-AN-IMAGE"}),
    ),
    "a diff ID is wrong": Damage(
        do=blob(content=compress(make_layer({"home/": None}))), code="VERIFY-DIFF-ID", says="layer 3 of 3"
    ),
    "there are too few diff IDs": Damage(
        do=config(rootfs={"type": "layers", "diff_ids": []}),
        code="VERIFY-LAYER-COUNT",
        says="3 layers, the config 0",
        others=frozenset({"VERIFY-HISTORY-COUNT"}),
    ),
    "the history lacks a layer": Damage(
        do=config(history=[{"created_by": "RUN x"}]), code="VERIFY-HISTORY-COUNT", says="1 layers; there are 3"
    ),
    "the config has no rootfs": Damage(do=config(rootfs=None), code="VERIFY-CONFIG"),
    "the config has no architecture": Damage(do=config(architecture=None), code="VERIFY-CONFIG"),
    "the config's rootfs is of another type": Damage(
        do=config(rootfs={"type": "base", "diff_ids": []}), code="VERIFY-CONFIG"
    ),
    "a diff ID is none": Damage(do=config(rootfs={"type": "layers", "diff_ids": ["x"] * 3}), code="VERIFY-CONFIG"),
    "a layer's gzip stream ends early": Damage(
        do=blob(content=compress(draft("codex", "arm64").archives[2])[:-12]), code="VERIFY-LAYER-BROKEN"
    ),
    "a layer is no archive": Damage(do=blob(content=compress(b"no tar" * 200)), code="VERIFY-LAYER-BROKEN"),
    "a layer leads out of the image": Damage(do=archive(named("../../etc/cron.d/x")), code="VERIFY-LAYER-BROKEN"),
    "a layer's archive ends early": Damage(
        do=archive(make_layer({"home/x": b"x" * 5000})[:3000]), code="VERIFY-LAYER-BROKEN", says="truncated"
    ),
    "a layer links to what is not there": Damage(do=archive(linked("home", "nothing")), code="VERIFY-LAYERS-CLASH"),
    # Files of the core.
    "a variant has another core": Damage(
        do=other_core("kiro"), code="VERIFY-CORE-DIFFERS", tag="kiro", says="/opt/family/family"
    ),
    "a variant that says nothing of cores has another one": Damage(
        do=other_core("codex", says_so=False), code="VERIFY-CORE-DIFFERS", says="/usr/local/bin/family"
    ),
    "an index says nonsense of cores": Damage(
        do=entry(annotations={COPIES: "{nonsense"}), code="VERIFY-CORE-RECORD"
    ),
    "an index names a layer that is not there": Damage(do=core(layer=3), code="VERIFY-CORE-RECORD"),
    "an index names a layer before the first": Damage(do=core(layer=-1), code="VERIFY-CORE-RECORD"),
    "a file that should be the same is nowhere": Damage(
        do=ship, code="VERIFY-CORE-MISSING", options=("--core", "/usr/bin/famly"), tag="", platform="", says="famly"
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", [pytest.param(one, id=name) for name, one in DAMAGES.items()])
def test_damage_is_found_where_it_is(call: Call, shelf: Shelf, damage: Damage) -> None:
    damage.do(shelf)
    ran = call("verify", "--json", f"{shelf.name}{damage.named}", *damage.options)
    assert ran.code == 1
    document = json.loads(ran.out)
    assert not document["passed"]
    found = document["findings"]
    assert {one["code"] for one in found} - damage.others == {damage.code}
    here = [one for one in found if one["code"] == damage.code]
    assert any(is_at(one, f"{shelf.name}:{damage.tag}" if damage.tag else shelf.name, damage) for one in here), here


def is_at(finding: Json, reference: str, damage: Damage) -> bool:
    """Say whether a finding names the place, and says what it should."""
    place = finding["place"]
    said = " ".join((finding["message"], *finding["notes"], *place.values()))
    return (
        place["reference"].startswith(reference)
        and place["platform"] == damage.platform
        and damage.says in said
        and all(finding[key] for key in ("message", "why", "help"))
    )


UNSEEN = {"VERIFY-DIFF-ID", "VERIFY-LAYER-BROKEN", "VERIFY-LAYERS-CLASH", "VERIFY-CORE-DIFFERS"}
UNREAD = (DAMAGES["a layer has other bytes"], DAMAGES["a layer's type names another compression"])


def test_what_can_be_seen_without_reading_layers_is_found_quickly(call: Call, tmp_path: Path) -> None:
    """All but what only the bytes of layers tell."""
    for number, (name, damage) in enumerate(DAMAGES.items()):
        if "--core" in damage.options:
            continue
        shelf = LayoutShelf(tmp_path / str(number))
        damage.do(shelf)
        ran = call("verify", "--quick", "--json", f"{shelf.name}{damage.named}", *damage.options)
        codes = {one["code"] for one in json.loads(ran.out)["findings"]}
        if damage.code in UNSEEN or damage in UNREAD:
            assert (ran.code, codes) == (0, set()), name
        else:
            assert ran.code == 1, name
            assert damage.code in codes or damage is DAMAGES["a layer is said to be huge"], name


def test_an_undamaged_release_passes(call: Call, shelf: Shelf) -> None:
    ship(shelf)
    ran = call("verify", "--json", shelf.name)
    document = json.loads(ran.out)
    assert (ran.code, document["passed"], document["findings"], document["remarks"]) == (0, True, [], [])
    assert len(document["images"]) == 6
    assert document["compared"] == 2


@pytest.mark.parametrize("kind", ["a layer is gone", "a layer has other bytes"])
def test_a_shared_layer_that_is_damaged_is_one_finding_that_names_all_it_hits(
    call: Call, shelf: Shelf, kind: str
) -> None:
    at_layer(remove if kind == "a layer is gone" else flip, number=0)(shelf)
    ran = call("verify", "--json", shelf.name)
    (finding,) = json.loads(ran.out)["findings"]
    assert finding["place"]["reference"] == f"{shelf.name}:claude"
    hit = {(place["reference"].rpartition(":")[2], place["platform"]) for place in finding["also"]}
    assert hit == {("codex", "linux/arm64"), ("kiro", "linux/arm64")}
    text = call("verify", shelf.name).out
    assert [line.split()[-2:] for line in text.split("\n") if "linux/arm64" in line and line.endswith("finding")]
