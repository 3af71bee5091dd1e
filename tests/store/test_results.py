"""Results in a store, and what is not taken for one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from buildonce.oci import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Manifest, Platform, encode_json
from buildonce.store.layout import LayoutStore
from buildonce.store.results import Record, ResultName, find_result, put_result, without_record
from buildonce.store.streams import blob_of_bytes

KEY = "0123456789abcdef" * 4
NAME = ResultName(kind="core", name="builder", platform=Platform(os="linux", architecture="amd64"), key=KEY)
CONFIG, LAYER = blob_of_bytes(b"{}", OCI_CONFIG), blob_of_bytes(b"layer", OCI_LAYER_GZIP)
MANIFEST = Manifest(media_type=OCI_MANIFEST, config=CONFIG.descriptor, layers=(LAYER.descriptor,))
RECORD = Record(kind="core", name="builder", platform="linux/amd64", key=KEY, recipe=msgspec.Raw(b"{}"), seconds=1.5)


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(tmp_path / "cache")


async def test_what_is_put_is_found(store: LayoutStore) -> None:
    put = await put_result(store, manifest=MANIFEST, record=RECORD, new=(CONFIG, LAYER))
    found = await find_result(store, NAME)
    assert found == put
    assert found.record.seconds == 1.5
    assert without_record(found.manifest) == MANIFEST


async def test_shared_blobs_are_sent_when_the_store_lacks_them(store: LayoutStore) -> None:
    await put_result(store, manifest=MANIFEST, record=RECORD, new=(CONFIG,), shared=(LAYER,))
    assert await store.has_blob(LAYER.descriptor)


async def test_nothing_is_found_in_an_empty_store(store: LayoutStore) -> None:
    assert await find_result(store, NAME) is None


@pytest.mark.parametrize(
    "changed",
    [{"key": "f" * 64}, {"kind": "base"}, {"platform": "linux/arm64"}],
    ids=["another key", "another kind", "another platform"],
)
async def test_a_record_of_something_else_is_no_result(store: LayoutStore, changed: dict[str, str]) -> None:
    put = await put_result(store, manifest=MANIFEST, record=RECORD, new=(CONFIG, LAYER))
    other = msgspec.structs.replace(put.record, **changed)
    annotations = {"buildonce.record": msgspec.json.encode(other).decode()}
    manifest = msgspec.structs.replace(MANIFEST, annotations=annotations)
    await store.put_manifest(encode_json(manifest), OCI_MANIFEST, tag=NAME.tag)
    assert await find_result(store, NAME) is None


async def test_an_image_without_a_record_is_no_result(store: LayoutStore) -> None:
    await store.put_blob(CONFIG)
    await store.put_blob(LAYER)
    await store.put_manifest(encode_json(MANIFEST), OCI_MANIFEST, tag=NAME.tag)
    assert await find_result(store, NAME) is None


def test_a_name_with_odd_characters_makes_a_tag() -> None:
    name = ResultName(kind="base", name="docker.io/library/x y", platform=NAME.platform, key=KEY)
    assert name.tag == f"base-docker.io_library_x_y-linux-amd64-{KEY[:32]}"
