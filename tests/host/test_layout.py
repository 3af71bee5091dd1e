from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from scripts.testhost import layout
from scripts.testhost.rootfs import directory, text


def write(target: Path) -> Path:
    layout.create(target)
    layer = layout.write_layer(target, {"etc": directory(), "etc/name": text("x" * 100_000)})
    settings = layout.Settings(environment=("PATH=/bin",), command=("sh",))
    images = [layout.write_image(target, name, [layer], settings) for name in ("amd64", "arm64")]
    layout.add_index(target, "one:1", images)
    layout.add_index(target, "two:2", images[:1])
    return target


def load(target: Path, digest: str) -> Any:
    return json.loads(layout.blob_path(target, digest).read_bytes())


def test_every_blob_is_named_by_its_digest(tmp_path: Path) -> None:
    blobs = list((write(tmp_path / "layout") / "blobs" / "sha256").iterdir())
    # A layer, a configuration and a manifest for each of two architectures, and two indexes.
    assert len(blobs) == 7
    assert all(hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name for blob in blobs)


def test_sizes_and_diff_ids_are_those_of_the_content(tmp_path: Path) -> None:
    target = write(tmp_path / "layout")
    index = load(target, layout.named_indexes(target)["one:1"])
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
    manifest = load(target, index["manifests"][1]["digest"])
    config = load(target, manifest["config"]["digest"])
    blob = layout.blob_path(target, manifest["layers"][0]["digest"]).read_bytes()
    assert manifest["layers"][0]["size"] == len(blob)
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(gzip.decompress(blob)).hexdigest()}"]
    assert config["config"] == {"Env": ["PATH=/bin"], "Cmd": ["sh"]}
    assert config["architecture"] == "arm64"


def test_the_same_content_has_the_same_digests(tmp_path: Path) -> None:
    first, second = (layout.named_indexes(write(tmp_path / name)) for name in ("a", "b"))
    assert first == second
    assert set(first) == {"one:1", "two:2"}
