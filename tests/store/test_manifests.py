"""A manifest that a registry failed to take is read back when it is put again, before a tag moves to it."""

from __future__ import annotations

import pytest

from buildonce.errors import AuthenticationError, IntegrityError, MissingBlobs, RegistryFails, StoreError
from buildonce.oci import OCI_MANIFEST
from buildonce.reference import Repository
from buildonce.store.registry import RegistrySession, RegistryStore
from tests.fakes import registry as fake
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import Image, image

MANIFESTS = "/manifests/"


@pytest.fixture
def store(registry: FakeRegistry, session: RegistrySession) -> RegistryStore:
    return RegistryStore(Repository(registry.host, "app"), session)


@pytest.fixture
async def one(registry: FakeRegistry, store: RegistryStore) -> Image:
    """An image whose blobs are there."""
    made = image()
    for blob in made.blobs:
        await store.put_blob(blob)
    return made


def asked(registry: FakeRegistry, one: Image) -> list[str]:
    """Return the requests for manifests, in order."""
    names = ((entry.method, entry.path.partition(MANIFESTS)[2]) for entry in registry.log if MANIFESTS in entry.path)
    return [f"{method} {'digest' if name == one.descriptor.digest else name}" for method, name in names]


@pytest.mark.parametrize(
    ("fault", "repeated"),
    [
        (fake.status(500, method="PUT"), 0),
        (fake.reset(method="PUT", times=2), 1),  # what breaks on a connection that was kept is sent again at once
    ],
    ids=["500", "reset"],
)
async def test_a_manifest_that_was_not_taken_at_once_is_read_back_before_its_tag_moves(
    registry: FakeRegistry, store: RegistryStore, one: Image, fault: fake.Fault, repeated: int
) -> None:
    registry.faults.append(fault)
    await store.put_manifest(one.content, OCI_MANIFEST, tag="v1")
    assert asked(registry, one) == [*["PUT v1"] * (1 + repeated), "PUT digest", "GET digest", "PUT v1"]
    assert store.doubted == set()


async def test_a_manifest_that_is_taken_at_once_is_not_read_back(
    registry: FakeRegistry, store: RegistryStore, one: Image
) -> None:
    await store.put_manifest(one.content, OCI_MANIFEST, tag="v1")
    assert asked(registry, one) == ["PUT v1"]


@pytest.mark.parametrize(
    "damage",
    [
        fake.instead(b"", path=MANIFESTS, method="GET", times=9),
        fake.instead(b"{", path=MANIFESTS, method="GET", times=9),
        fake.status(500, path=MANIFESTS, method="GET", times=9),
        fake.status(404, errors=[{"code": "BLOB_UNKNOWN"}], path=MANIFESTS, method="GET", times=9),
    ],
    ids=["empty", "short", "failing", "gone"],
)
async def test_a_manifest_that_does_not_come_back_gets_no_tag(
    registry: FakeRegistry, store: RegistryStore, one: Image, damage: fake.Fault
) -> None:
    registry.faults += [fake.status(500, method="PUT"), damage]
    with pytest.raises(IntegrityError) as caught:
        await store.put_manifest(one.content, OCI_MANIFEST, tag="v1")
    digest = one.descriptor.digest
    assert digest in str(caught.value)
    assert f"blobs/sha256/{digest[7:9]}/{digest[7:]}/data" in str(caught.value.help)
    assert asked(registry, one).count("PUT v1") == 1
    assert "v1" not in registry.repository("app").tags
    assert store.doubted == {digest}


@pytest.mark.parametrize(
    ("fault", "kind", "doubted"),
    [
        (fake.status(500, method="PUT", times=5), RegistryFails, True),
        (fake.status(403, method="PUT"), AuthenticationError, False),
        (fake.status(413, method="PUT"), StoreError, False),
        (fake.status(404, errors=[{"code": "MANIFEST_BLOB_UNKNOWN"}], method="PUT"), MissingBlobs, False),
    ],
    ids=["failing", "denied", "refused", "missing"],
)
async def test_what_a_registry_refuses_is_not_in_doubt(
    registry: FakeRegistry, store: RegistryStore, one: Image, fault: fake.Fault, kind: type[StoreError], doubted: bool
) -> None:
    registry.faults.append(fault)
    with pytest.raises(kind):
        await store.put_manifest(one.content, OCI_MANIFEST)
    assert store.doubted == ({one.descriptor.digest} if doubted else set())
