"""Images as Docker saves and loads them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from buildonce.assemble.compression import Compression
from buildonce.engines.layouts import LayoutWriter, blob_path
from buildonce.engines.saved_image import read_saved, write_loadable
from buildonce.errors import EngineFailed
from buildonce.oci import (
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    Descriptor,
    Index,
    Platform,
    decode_index,
    decode_manifest,
    digest_of,
    encode_json,
    parse_platform,
)
from buildonce.plan.images import LayoutReference
from tests.engines.jobs import make_job

ONE, TWO = b"one" * 500, b"two" * 500
ARM64 = parse_platform("linux/arm64")


def config_of(*layers: bytes) -> bytes:
    diff_ids = [digest_of(layer) for layer in layers]
    return json.dumps({"architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()


def saved(path: Path, listed: list[str], files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    """Write what ``docker save`` writes; ``listed`` are the paths of the config and of the layers."""
    config, *layers = listed
    listing = json.dumps([{"Config": config, "RepoTags": ["x:1"], "Layers": layers}]).encode()
    with tarfile.open(path, "w") as archive:
        for name, content in {**files, "manifest.json": listing}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return path


def test_a_saved_image_is_made_a_layout_with_compressed_layers_but_for_those_that_are_known(tmp_path: Path) -> None:
    config = config_of(ONE, TWO, ONE)
    archive = saved(tmp_path / "a", ["c", "l/1", "l/2", "l/1"], {"c": config, "l/1": ONE, "l/2": TWO})
    job = make_job(tmp_path, compress=True, known_layers=frozenset((digest_of(ONE),)))
    descriptor = read_saved(archive, job)
    (listed,) = decode_index((job.output / "index.json").read_bytes()).manifests
    manifest = decode_manifest(blob_path(job.output, descriptor.digest).read_bytes())
    first, second, third = manifest.layers
    assert listed == descriptor
    assert blob_path(job.output, manifest.config.digest).read_bytes() == config
    assert first == third == Descriptor(media_type=OCI_LAYER, digest=digest_of(ONE), size=len(ONE))
    assert second.media_type == OCI_LAYER_GZIP
    packed = blob_path(job.output, second.digest).read_bytes()
    assert (gzip.decompress(packed), digest_of(packed), len(packed)) == (TWO, second.digest, second.size)
    assert {path.name for path in job.output.iterdir()} == {"blobs", "index.json", "oci-layout"}


def test_what_docker_saved_before_version_25_is_read_as_well(tmp_path: Path) -> None:
    files = {"abc.json": config_of(ONE, ONE), "1/layer.tar": ONE, "1/VERSION": b"1.0", "2/json": b"{}"}
    links = {"2/layer.tar": "../1/layer.tar"}
    archive = saved(tmp_path / "a", ["abc.json", "1/layer.tar", "2/layer.tar"], files, links)
    job = make_job(tmp_path)
    manifest = decode_manifest(blob_path(job.output, read_saved(archive, job).digest).read_bytes())
    assert [layer.digest for layer in manifest.layers] == [digest_of(ONE)] * 2


@pytest.mark.parametrize(
    ("listed", "files", "said"),
    [
        (["c", "l"], {"c": config_of(ONE), "l": TWO}, "has other content: sha256:"),
        (["c"], {"c": config_of(ONE)}, "wrote no image"),
        (["c", "l"], {"c": config_of(ONE)}, "'l' not found"),
        (["c", "l"], {"c": b"{", "l": ONE}, "wrote no image"),
    ],
    ids=["another layer", "too few layers", "no such layer", "no config"],
)
def test_what_is_no_image_is_refused(tmp_path: Path, listed: list[str], files: dict[str, bytes], said: str) -> None:
    archive = saved(tmp_path / "a", listed, files)
    with pytest.raises(
        EngineFailed, match="docker says that it saved builder linux/amd64, but wrote no image"
    ) as caught:
        read_saved(archive, make_job(tmp_path))
    assert said in caught.value.message


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"no archive")
    with pytest.raises(EngineFailed, match="wrote no image"):
        read_saved(tmp_path / "a", make_job(tmp_path))


def layout_of(folder: Path, layer: bytes) -> Descriptor:
    """Make a layout with an image of one layer."""
    writer = LayoutWriter(folder)
    packed = writer.put_layer(io.BytesIO(layer), digest_of(layer), Compression.GZIP)
    return writer.finish(config_of(layer), (packed,))


def test_an_image_of_a_layout_is_written_to_be_loaded_under_a_name(tmp_path: Path) -> None:
    manifest = layout_of(tmp_path / "layout", ONE)
    given = LayoutReference(str(tmp_path / "layout"), manifest.digest)
    write_loadable(given, ARM64, "name:tag", tmp_path / "a")
    with tarfile.open(tmp_path / "a") as archive:
        files = ((member.name, archive.extractfile(member)) for member in archive)
        contents = {name: file.read() for name, file in files if file is not None}
    (listed,) = json.loads(contents.pop("manifest.json"))
    assert (contents[listed["Config"]], listed["RepoTags"]) == (config_of(ONE), ["name:tag"])
    assert [gzip.decompress(contents[path]) for path in listed["Layers"]] == [ONE]
    assert set(contents) == {listed["Config"], *listed["Layers"]}
    assert all(name.endswith(hashlib.sha256(content).hexdigest()) for name, content in contents.items())


def test_of_several_images_that_for_the_platform_is_written(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    one, two = layout_of(layout, ONE), layout_of(tmp_path / "two", TWO)
    for blob in (tmp_path / "two" / "blobs" / "sha256").iterdir():
        blob.rename(layout / "blobs" / "sha256" / blob.name)
    platforms = (parse_platform("linux/amd64"), Platform(os="linux", architecture="arm64", variant="v8"))
    listed = tuple(
        Descriptor(media_type=each.media_type, digest=each.digest, size=each.size, platform=platform)
        for each, platform in zip((one, two), platforms, strict=True)
    )
    index = encode_json(Index(media_type=OCI_INDEX, manifests=listed))
    blob_path(layout, digest_of(index)).write_bytes(index)
    given = LayoutReference(str(layout), digest_of(index))
    write_loadable(given, ARM64, "name:tag", tmp_path / "a")
    with tarfile.open(tmp_path / "a") as archive:
        assert (
            f"blobs/{decode_manifest(blob_path(layout, two.digest).read_bytes()).layers[0].digest}".replace(
                "sha256:", "sha256/"
            )
            in archive.getnames()
        )
    with pytest.raises(EngineFailed, match="has no image for linux/s390x to build with"):
        write_loadable(given, parse_platform("linux/s390x"), "name:tag", tmp_path / "a")


def test_a_layout_with_another_config_than_it_says_is_refused(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    manifest = layout_of(layout, ONE)
    config = decode_manifest(blob_path(layout, manifest.digest).read_bytes()).config
    blob_path(layout, config.digest).write_bytes(config_of(TWO))
    with pytest.raises(EngineFailed, match=r"is not there to build with: .* has other content than"):
        write_loadable(LayoutReference(str(layout), manifest.digest), ARM64, "name:tag", tmp_path / "a")
