"""Large blobs over bad lines: an upload that broke goes on where the registry says that it is."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from buildonce.errors import RegistryUnavailable, StoreError
from buildonce.oci import OCI_LAYER_GZIP
from buildonce.reference import Repository
from buildonce.store.protocol import Blob, Outcome
from buildonce.store.registry import RegistryStore
from buildonce.store.registry.uploads import RESUMABLE
from buildonce.store.streams import blob_of_bytes, skipping
from tests.fakes import registry as fake
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import FakeClock, collected, new_session

LARGE = random.Random(5).randbytes(RESUMABLE)
MIB = 1024 * 1024


@pytest.fixture
async def store(registry: FakeRegistry, clock: FakeClock) -> AsyncIterator[RegistryStore]:
    async with new_session(clock) as session:
        yield RegistryStore(Repository(registry.host, "app"), session)


def large() -> Blob:
    return blob_of_bytes(LARGE, OCI_LAYER_GZIP)


def methods(registry: FakeRegistry) -> list[str]:
    return [entry.method for entry in registry.log]


def sent(registry: FakeRegistry) -> int:
    return sum(len(entry.body) for entry in registry.log)


async def put(store: RegistryStore, registry: FakeRegistry) -> None:
    blob = large()
    assert await store.put_blob(blob) is Outcome.UPLOADED
    assert registry.repository("app").blobs == {blob.descriptor.digest: LARGE}


async def test_a_large_blob_goes_in_three_requests(registry: FakeRegistry, store: RegistryStore) -> None:
    await put(store, registry)
    assert methods(registry) == ["POST", "PATCH", "PUT"]
    assert "content-range" not in registry.log[1].headers, "it goes as `docker push` sends it"


async def test_a_smaller_one_goes_in_two(registry: FakeRegistry, store: RegistryStore) -> None:
    await store.put_blob(blob_of_bytes(LARGE[1:], OCI_LAYER_GZIP))
    assert methods(registry) == ["POST", "PUT"]


async def test_an_upload_goes_on_where_it_broke(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.broken_upload(5 * MIB, method="PATCH"))
    await put(store, registry)
    assert methods(registry) == ["POST", "PATCH", "GET", "PATCH", "PUT"]
    assert registry.log[3].headers["content-range"] == f"{5 * MIB}-{len(LARGE) - 1}"
    assert sent(registry) == len(LARGE) - 5 * MIB


async def test_an_upload_that_moves_on_earns_new_attempts(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.broken_upload(2 * MIB, method="PATCH", times=7))
    await put(store, registry)
    assert methods(registry).count("PATCH") == 8
    assert methods(registry).count("POST") == 1


async def test_an_upload_that_stands_still_ends(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.broken_upload(0, method="PATCH", times=99))
    with pytest.raises(RegistryUnavailable, match="the connection broke"):
        await store.put_blob(large())
    assert methods(registry).count("PATCH") == 5


async def test_an_upload_that_the_registry_lost_starts_again(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.broken_upload(5 * MIB, keeps=False, method="PATCH"))
    await put(store, registry)
    assert methods(registry) == ["POST", "PATCH", "GET", "POST", "PATCH", "PUT"]


@pytest.mark.parametrize("code", [400, 404, 405, 416])
async def test_a_registry_that_does_not_say_how_far_it_is_gets_the_blob_again(
    registry: FakeRegistry, store: RegistryStore, code: int
) -> None:
    registry.faults += [fake.broken_upload(5 * MIB, method="PATCH"), fake.status(code, method="GET")]
    await put(store, registry)
    assert methods(registry) == ["POST", "PATCH", "GET", "POST", "PATCH", "PUT"]


async def test_a_part_that_does_not_fit_starts_again(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.broken_upload(5 * MIB, method="PATCH"))
    registry.faults.append(fake.instead(b"", code=204, headers={"Range": "0-2999999"}, method="GET"))
    await put(store, registry)
    assert [entry.status for entry in registry.log] == [202, 0, 204, 416, 202, 202, 201]


@pytest.mark.parametrize("text", ["", "0-0", "1-5", "0-99999999999", f"0-{'9' * 5000}", "all"])
async def test_a_senseless_range_starts_again(registry: FakeRegistry, store: RegistryStore, text: str) -> None:
    registry.faults.append(fake.broken_upload(5 * MIB, method="PATCH"))
    registry.faults.append(fake.instead(b"", code=204, headers={"Range": text}, method="GET"))
    await put(store, registry)
    assert methods(registry) == ["POST", "PATCH", "GET", "POST", "PATCH", "PUT"]


@pytest.mark.parametrize("code", [500, 502, 503, 504])
async def test_a_failing_end_does_not_send_the_blob_again(
    registry: FakeRegistry, store: RegistryStore, code: int
) -> None:
    registry.faults.append(fake.status(code, method="PUT"))
    await put(store, registry)
    assert methods(registry) == ["POST", "PATCH", "PUT", "HEAD", "GET", "PUT"]
    assert sent(registry) == len(LARGE)


async def test_a_lost_answer_to_the_end_sends_nothing_again(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.lost_answer(method="PUT"))
    await put(store, registry)
    assert methods(registry) == ["POST", "PATCH", "PUT", "HEAD"]


async def test_a_lost_answer_to_a_part_sends_nothing_again(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.lost_answer(method="PATCH"))
    await put(store, registry)
    assert methods(registry) == ["POST", "PATCH", "GET", "PUT"]
    assert sent(registry) == len(LARGE)


async def test_a_resumed_upload_that_ends_with_other_bytes_starts_again(
    registry: FakeRegistry, store: RegistryStore
) -> None:
    registry.faults.append(fake.broken_upload(5 * MIB, method="PATCH"))
    registry.faults.append(fake.status(400, errors=[{"code": "DIGEST_INVALID"}], method="PUT"))
    await put(store, registry)
    assert methods(registry) == ["POST", "PATCH", "GET", "PATCH", "PUT", "POST", "PATCH", "PUT"]


async def test_a_registry_without_parts_gets_the_blob_with_the_end(
    registry: FakeRegistry, store: RegistryStore
) -> None:
    registry.patches = False
    await put(store, registry)
    assert methods(registry) == ["POST", "PATCH", "POST", "PUT"]


async def test_a_part_that_is_too_large_is_an_error(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.faults.append(fake.status(413, method="PATCH"))
    with pytest.raises(StoreError, match="413"):
        await store.put_blob(large())


async def test_a_mount_that_opens_an_upload_may_be_resumed_too(registry: FakeRegistry, store: RegistryStore) -> None:
    registry.mounts = False
    registry.faults.append(fake.broken_upload(5 * MIB, method="PATCH"))
    origin = Repository(registry.host, "base")
    blob = blob_of_bytes(LARGE, OCI_LAYER_GZIP, origins=(origin,))
    assert await store.put_blob(blob) is Outcome.UPLOADED
    assert methods(registry) == ["POST", "PATCH", "GET", "PATCH", "PUT"]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 9, 10, 11])
async def test_bytes_are_skipped_wherever_chunks_end(count: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"012", b"3", b"", b"456789"):
            yield chunk

    assert await collected(skipping(chunks(), count)) == b"0123456789"[count:]
