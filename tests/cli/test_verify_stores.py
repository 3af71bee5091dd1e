"""What `verify` costs, and what it says of stores that fail, break off or are damaged themselves."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildonce.assemble import limits
from buildonce.store.documents import LIMIT
from tests.cli.conftest import Call
from tests.cli.verifying import codes_of, index_of, verified
from tests.fakes import registry as fake
from tests.fakes.registry import FakeRegistry
from tests.verify.releases import (
    INDEX,
    Draft,
    LayoutShelf,
    RegistryShelf,
    compress,
    make_layer,
    manifest_of,
    ship,
    store_index,
)

REF_NAME = "org.opencontainers.image.ref.name"
DOCKER = "application/vnd.docker."


# What it costs, and what it leaves alone.


def test_nothing_is_written(call: Call, layout: LayoutShelf, repository: RegistryShelf) -> None:
    def state() -> dict[str, str]:
        return {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
            for path in layout.folder.rglob("*")
        }

    ship(layout)
    ship(repository)
    before = state()
    for options in ((), ("--quick",), ("--core", "/bin/sh")):
        assert verified(call, layout.name, repository.name, *options).passed
    assert state() == before
    assert {one.method for one in repository.registry.log} == {"GET", "HEAD"}


def test_the_right_to_read_is_enough(call: Call, new_registry: Callable[..., FakeRegistry], tmp_path: Path) -> None:
    guarded = new_registry(auth="bearer", users={"reader": "secret"})
    shelf = RegistryShelf(guarded)
    ship(shelf)
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text(
        json.dumps({"auths": {guarded.host: {"username": "reader", "password": "secret"}}})
    )
    assert verified(call, shelf.name).passed
    asked = [one.query["scope"] for one in guarded.requests("GET", "/token")]
    assert asked
    assert not any("push" in scope for scope in asked)


def test_no_right_to_read_is_no_verdict(call: Call, new_registry: Callable[..., FakeRegistry]) -> None:
    guarded = new_registry(auth="bearer")
    ran = call("verify", f"{RegistryShelf(guarded).name}:claude")
    assert ran.code == 4
    assert "docker login" in ran.err


def test_a_registry_that_fails_in_the_middle_is_no_verdict(call: Call, repository: RegistryShelf) -> None:
    ship(repository)

    async def fail(registry: FakeRegistry, request: Any, body: bytes) -> Any:
        return None if len(registry.log) < 12 else await fake.status(500).act(registry, request, body)

    repository.registry.faults.append(fake.Fault(act=fail, times=10_000))
    ran = call("verify", repository.name)
    assert (ran.code, ran.out) == (4, "")


@pytest.mark.parametrize(("part", "options"), [("manifest", ()), ("layer", ("--quick",))])
def test_a_registry_that_fails_for_one_thing(
    call: Call, repository: RegistryShelf, part: str, options: tuple[str, ...]
) -> None:
    """As distribution does when a manifest on its disk is not what it should be."""
    entry = ship(repository)["codex", "arm64"]
    broken = entry if part == "manifest" else manifest_of(repository, entry)["layers"][2]
    repository.registry.faults.append(fake.status(500, path=broken["digest"], times=99))
    document = verified(call, repository.name, *options, code=1)
    assert codes_of(document) == ["VERIFY-UNREADABLE"]
    assert document.findings[0].place.platform == "linux/arm64"


def test_requests_and_bytes_are_counted(call: Call, repository: RegistryShelf) -> None:
    ship(repository)
    document = verified(call, repository.name)
    parts = {"list": 1, "indexes": 3, "manifests": 6, "configs": 6, "layers": 2 + 4 + 6}
    assert document.layers == parts["layers"]
    assert document.requests == len(repository.registry.log) == sum(parts.values())
    repository.registry.log.clear()
    quick = verified(call, repository.name, "--quick")
    assert quick.requests == len(repository.registry.log) == sum(parts.values())
    assert len(repository.registry.requests("HEAD", "/blobs/")) == parts["layers"]
    assert quick.bytes_read == 0
    assert quick.bytes_down < document.bytes_down
    assert document.bytes_read == sum(len(one) for one in _layers(repository))


def _layers(shelf: RegistryShelf) -> list[bytes]:
    blobs = shelf.registry.repository(shelf.repository).blobs.values()
    return [one for one in blobs if one[:2] == b"\x1f\x8b"]


VERIFY = """
import sys
from pathlib import Path
from buildonce.cli.main import guarded
assert guarded(["verify", sys.argv[1]]) == 0
status = Path("/proc/self/status").read_text().split()
print(status[status.index("VmHWM:") + 1])
"""


def test_a_large_layer_takes_no_more_memory_than_a_small_one(layout: LayoutShelf, tmp_path: Path) -> None:
    def peak() -> int:
        """Return the most memory that the command ever had, in KiB."""
        done = subprocess.run(
            [sys.executable, "-c", VERIFY, layout.name],
            capture_output=True,
            text=True,
            check=True,
            env={"BUILDONCE_STATE": str(tmp_path / "state"), "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        )
        return int(done.stdout.split()[-1])

    ship(layout, variants=["kiro"])
    small = peak()
    large = make_layer({"large": bytes(128 << 20)})

    def grow(one: Draft) -> None:
        one.archives[2] = large
        one.blobs = [compress(one.archives[0]), compress(one.archives[1]), gzip.compress(large, 1, mtime=0)]

    ship(layout, variants=["kiro"], changes={("kiro", "arm64"): grow})
    assert peak() < small + 32 * 1024


def test_a_layer_that_comes_to_too_much_is_given_up(
    call: Call, layout: LayoutShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bomb(one: Draft) -> None:
        one.archives[2] = make_layer({"bomb": bytes(8 << 20)})

    ship(layout, changes={("codex", "arm64"): bomb})
    assert verified(call, layout.name).passed, "it is within the real limits"
    monkeypatch.setattr(limits, "EXPANDED", 1 << 20)
    (finding,) = verified(call, layout.name, code=1).findings
    assert finding.code == "VERIFY-LAYER-BROKEN"
    assert "compressed ones" in finding.message
    assert (finding.place.reference, finding.place.platform) == (f"{layout.name}:codex", "linux/arm64")


def test_lists_of_files_are_read_up_to_a_limit(
    call: Call, layout: LayoutShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def many(one: Draft) -> None:
        one.archives[2] = make_layer({f"many/{number}": b"" for number in range(500)})

    ship(layout, changes={("codex", "arm64"): many})
    assert verified(call, layout.name).passed
    monkeypatch.setattr(limits, "MEMORY", 100 * limits.ENTRY)
    assert codes_of(verified(call, layout.name, code=1)) == ["VERIFY-TOO-MUCH"]


def test_what_engines_unpack_in_different_ways_is_remarked_on(call: Call, layout: LayoutShelf) -> None:
    """A layer that removes a directory and has it: what was in it is gone for some, and there for others."""

    def odd(one: Draft) -> None:
        one.archives[2] = make_layer({".wh.bin": b"", "bin/": None, "bin/new": b"x"})

    ship(layout, changes={("codex", "arm64"): odd})
    document = verified(call, layout.name)
    (remark,) = document.remarks
    assert remark.message.startswith("not every engine unpacks this in the same way")
    assert (remark.place.reference, remark.place.platform) == (f"{layout.name}:codex", "linux/arm64")


# What only one kind of store can have.


def test_a_layout_without_its_marker(call: Call, layout: LayoutShelf) -> None:
    ship(layout)
    for text in (None, "", "{}", '{"imageLayoutVersion":"9.9.9"}'):
        (layout.folder / "oci-layout").unlink(missing_ok=True)
        if text is not None:
            (layout.folder / "oci-layout").write_text(text)
        assert codes_of(verified(call, layout.name, code=1)) == ["VERIFY-LAYOUT"]


@pytest.mark.parametrize("text", ["", "[]", '{"manifests":[{"digest":"x"}]}', "{" * 9999, '{"schemaVersion":2}'])
def test_a_layout_whose_index_is_none(call: Call, layout: LayoutShelf, text: str) -> None:
    ship(layout)
    (layout.folder / "index.json").write_text(text)
    assert codes_of(verified(call, layout.name, code=1)) == ["VERIFY-LAYOUT"]


def test_a_layout_with_a_tag_that_is_there_twice(call: Call, layout: LayoutShelf) -> None:
    entries = ship(layout)
    index = layout.read_index()
    double = store_index(layout, [entries["codex", "amd64"], entries["codex", "arm64"], entries["kiro", "amd64"]])
    index["manifests"].append(double | {"annotations": {REF_NAME: "codex"}})
    layout.write_index(index)
    document = verified(call, layout.name, code=1)
    assert codes_of(document) == ["VERIFY-TAG-AMBIGUOUS"]
    assert document.findings[0].place.reference == f"{layout.name}:codex"


def test_a_layout_whose_tag_points_to_nothing(call: Call, layout: LayoutShelf) -> None:
    entries = ship(layout)
    layout.tag("codex", entries["codex", "amd64"] | {"digest": "sha256:" + "5" * 64})
    assert codes_of(verified(call, layout.name, code=1)) == ["VERIFY-MANIFEST-MISSING"]


def test_a_blob_that_is_no_manifest(call: Call, layout: LayoutShelf) -> None:
    entries = ship(layout)
    layer = manifest_of(layout, entries["codex", "amd64"])["layers"][0]
    layout.tag("codex", layer | {"mediaType": INDEX})
    document = verified(call, layout.name, code=1)
    assert codes_of(document) == ["VERIFY-MANIFEST-INVALID"]


def test_a_registry_whose_tag_points_to_nothing(call: Call, repository: RegistryShelf) -> None:
    ship(repository)
    repository.registry.repository(repository.repository).tags["codex"] = "sha256:" + "5" * 64
    assert codes_of(verified(call, repository.name, code=1)) == ["VERIFY-TAG-MISSING"]


def test_a_registry_that_sends_a_huge_manifest(call: Call, repository: RegistryShelf) -> None:
    ship(repository)
    repository.registry.faults.append(fake.instead(b" " * (LIMIT + 1), path="/manifests/codex", times=9))
    document = verified(call, repository.name, code=1)
    assert codes_of(document) == ["VERIFY-MANIFEST-INVALID"]
    assert document.bytes_down < LIMIT + (3 << 20)


def test_a_registry_that_sends_a_layer_without_end(call: Call, repository: RegistryShelf) -> None:
    """More than was announced is not read, whatever comes."""
    entries = ship(repository)
    layer = manifest_of(repository, entries["codex", "arm64"])["layers"][2]["digest"]
    repository.registry.faults.append(fake.instead(b"x" * (64 << 20), path=layer, times=9))
    document = verified(call, repository.name, code=1)
    assert codes_of(document) == ["VERIFY-BLOB-SIZE"]
    assert document.bytes_down < 8 << 20


def test_a_registry_that_breaks_off_every_time(call: Call, repository: RegistryShelf) -> None:
    entries = ship(repository)
    layer = manifest_of(repository, entries["codex", "arm64"])["layers"][2]["digest"]
    repository.registry.faults.append(fake.truncated(10, path=layer, times=99))
    assert codes_of(verified(call, repository.name, code=1)) == ["VERIFY-BLOB-SIZE"]


def test_a_registry_that_calls_a_tag_by_another_digest(call: Call, repository: RegistryShelf) -> None:
    ship(repository)
    content = index_of(repository, "codex")
    headers = {"Content-Type": INDEX, "Docker-Content-Digest": "sha256:" + "6" * 64}
    repository.registry.faults.append(fake.instead(content, headers=headers, path="/manifests/codex", times=9))
    assert codes_of(verified(call, repository.name, code=1)) == ["VERIFY-MANIFEST-DIGEST"]
