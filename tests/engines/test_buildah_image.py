"""What Buildah writes in Docker's format, made an OCI layout."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import msgspec
import pytest

from buildonce.engines.buildah_image import plain_config, write_layout
from buildonce.errors import EngineFailed
from buildonce.oci import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    MediaType,
    decode_index,
    decode_manifest,
    digest_of,
    encode_json,
)
from tests.engines.jobs import make_job

CONFIG = {
    "architecture": "arm64",
    "variant": "v8",
    "os": "linux",
    "created": "2024-01-01T00:00:00Z",
    "container": "abc",
    "container_config": {"Cmd": ["x"]},
    "docker_version": "",
    "parent": "sha256:0",
    "config": {
        "Hostname": "h",
        "AttachStdin": False,
        "Image": "i",
        "Cmd": ["b"],
        "Entrypoint": [],
        "Volumes": {},
        "Labels": None,
        "Healthcheck": {"Test": ["CMD", "true"]},
        "OnBuild": ["RUN x"],
        "Shell": ["/bin/sh", "-ec"],
        "WorkingDir": "/w",
        "User": "",
    },
    "history": [{"created_by": "x", "empty_layer": True}],
    "rootfs": {"type": "layers", "diff_ids": []},
}
BASE, OWN = b"base" * 500, b"own" * 500


def push(folder: Path) -> Path:
    """Write what `buildah push dir:` does."""
    folder.mkdir()
    config = json.dumps(CONFIG).encode()
    layers = tuple(put(folder, content, DOCKER_LAYER) for content in (BASE, OWN, BASE))
    manifest = Manifest(media_type=DOCKER_MANIFEST, config=put(folder, config, DOCKER_CONFIG), layers=layers)
    (folder / "manifest.json").write_bytes(encode_json(manifest))
    return folder


def put(folder: Path, content: bytes, media_type: MediaType) -> Descriptor:
    digest = digest_of(content)
    (folder / digest.rpartition(":")[2]).write_bytes(content)
    return Descriptor(media_type=media_type, digest=digest, size=len(content))


def test_the_config_keeps_what_the_dockerfile_says_and_no_more() -> None:
    found = msgspec.json.decode(plain_config(json.dumps(CONFIG).encode(), 0))
    assert found == {
        **{key: CONFIG[key] for key in ("architecture", "variant", "os", "created", "history", "rootfs")},
        "config": {
            "Cmd": ["b"],
            "Healthcheck": {"Test": ["CMD", "true"]},
            "OnBuild": ["RUN x"],
            "Shell": ["/bin/sh", "-ec"],
            "WorkingDir": "/w",
        },
    }


@pytest.mark.parametrize(("known", "left"), [(0, ["ENV"]), (1, ["ONBUILD", "ENV"]), (9, ["ONBUILD", "ENV", "ONBUILD"])])
def test_an_onbuild_of_the_dockerfile_has_no_history(known: int, left: list[str]) -> None:
    history = [{"created_by": f"/bin/sh -c #(nop) {what} x"} for what in ("ONBUILD", "ENV", "ONBUILD")]
    found = msgspec.json.decode(plain_config(json.dumps({"history": history}).encode(), known))
    assert [entry["created_by"].split()[3] for entry in found["history"]] == left


@pytest.mark.parametrize(("compress", "kinds"), [(False, [OCI_LAYER] * 3), (True, [OCI_LAYER, OCI_LAYER_GZIP] * 2)])
def test_layers_that_are_at_hand_elsewhere_stay_as_they_are(
    tmp_path: Path,
    compress: bool,
    kinds: list[MediaType],
) -> None:
    job = make_job(tmp_path, compress=compress, known_layers=frozenset((digest_of(BASE),)))
    descriptor = write_layout(push(tmp_path / "pushed"), job)
    blobs = job.output / "blobs" / "sha256"
    assert decode_index((job.output / "index.json").read_bytes()).manifests == (descriptor,)
    content = (blobs / descriptor.digest[7:]).read_bytes()
    assert digest_of(content) == descriptor.digest
    manifest = decode_manifest(content)
    assert manifest.media_type == OCI_MANIFEST
    assert [layer.media_type for layer in manifest.layers] == kinds[:3]
    stored = [(blobs / layer.digest[7:]).read_bytes() for layer in manifest.layers]
    assert [digest_of(one) for one in stored] == [layer.digest for layer in manifest.layers]
    assert [len(one) for one in stored] == [layer.size for layer in manifest.layers]
    assert (gzip.decompress(stored[1]) if compress else stored[1]) == OWN


def test_a_push_that_wrote_nothing_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "pushed").mkdir()
    with pytest.raises(EngineFailed, match="wrote none"):
        write_layout(tmp_path / "pushed", make_job(tmp_path))
