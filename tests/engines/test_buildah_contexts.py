"""Named contexts as Buildah takes them: by every name that the Dockerfile may write, from layouts of one image."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildonce.engines.buildah_contexts import spell, translate
from buildonce.errors import EngineFailed
from buildonce.oci import (
    OCI_CONFIG,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Manifest,
    decode_index,
    digest_of,
    encode_json,
)


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("alpine", {"docker.io/alpine", "docker.io/library/alpine:latest", "library/alpine", "alpine:latest"}),
        ("alpine:3", {"library/alpine:3", "docker.io/alpine:3", "docker.io/library/alpine:3"}),
        ("acme/tool", {"docker.io/acme/tool", "acme/tool:latest", "docker.io/acme/tool:latest"}),
        ("ghcr.io/acme/tool:1", {"ghcr.io/acme/tool:1"}),
        ("localhost/tool", {"localhost/tool", "localhost/tool:latest"}),
        ("127.0.0.1:5000/tool:1", {"127.0.0.1:5000/tool:1"}),
    ],
)
def test_images_have_the_names_that_they_are_short_for(name: str, others: set[str]) -> None:
    found = spell({name: "value"})
    assert others <= found.keys()
    assert set(found.values()) == {"value"}
    assert all(one.endswith((name, ":latest")) for one in found)


def write_manifest(layout: Path) -> Digest:
    """Put an image's manifest into a layout, without the rest."""
    config = Descriptor(media_type=OCI_CONFIG, digest=digest_of(b"{}"), size=2)
    content = encode_json(Manifest(media_type=OCI_MANIFEST, config=config, layers=()))
    digest = digest_of(content)
    path = layout / "blobs" / digest.replace(":", "/")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return digest


def test_a_layout_becomes_one_with_the_image_alone(tmp_path: Path) -> None:
    digest = write_manifest(tmp_path / "cache")
    found = translate({"builder": f"oci-layout://{tmp_path}/cache@{digest}"}, tmp_path / "views")
    scheme, _, view = found["builder"].partition("://oci:")
    assert scheme == "container-image"
    (only,) = decode_index((Path(view) / "index.json").read_bytes()).manifests
    assert (only.digest, only.media_type) == (digest, OCI_MANIFEST)
    assert (Path(view) / "blobs" / digest.replace(":", "/")).stat().st_size == only.size


def test_a_tag_of_a_layout_is_looked_up(tmp_path: Path) -> None:
    layout = tmp_path / "given"
    digest = write_manifest(layout)
    entry = f'{{"mediaType": "{OCI_MANIFEST}", "digest": "{digest}", "size": 1, "annotations": '
    (layout / "index.json").write_text(
        f'{{"schemaVersion": 2, "manifests": [{entry}{{"org.opencontainers.image.ref.name": "v1"}}}}]}}'
    )
    found = translate({"tool": f"oci-layout://{layout}:v1"}, tmp_path / "views")
    view = Path(found["tool"].removeprefix("container-image://oci:"))
    assert decode_index((view / "index.json").read_bytes()).manifests[0].digest == digest
    with pytest.raises(EngineFailed, match="is not there to build with"):
        translate({"tool": f"oci-layout://{layout}:v2"}, tmp_path / "views")


def test_other_contexts_stay_what_they_are(tmp_path: Path) -> None:
    given = {"image": "docker-image://example.org/a@sha256:" + "0" * 64, "folder": "/a", "remote": "https://a/b.git"}
    assert translate(given, tmp_path) == given | {"image": "container-image://example.org/a@sha256:" + "0" * 64}
