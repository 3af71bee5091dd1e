"""Documents that say anything at all: whatever they are, there is a verdict, and it is no mistake of ours."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildonce.report.verifications import render_verification, verification_document
from buildonce.run.outcome import Traffic
from buildonce.store.layout import LayoutStore
from buildonce.store.registry import RegistrySession
from buildonce.verify.documents import Documents
from buildonce.verify.findings import Kind, Place
from buildonce.verify.ledger import Ledger
from buildonce.verify.looking import Checks
from buildonce.verify.references import find_all_targets
from buildonce.verify.release import Verification, verify_release
from tests.verify.releases import CONFIG, COPIES, INDEX, MANIFEST, Json, LayoutShelf, draft, encode, ship, store_index

WORDS = (
    "",
    "linux",
    "amd64",
    "sha256:" + "0" * 64,
    MANIFEST,
    CONFIG,
    INDEX,
    "/",
    "*",
    "../..",
    "\x00",
    "\ud7ff",
    "layers",
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from((-1, 0, 1 << 31, 1 << 62, 1 << 64, 10**400)),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(WORDS),
        st.text(max_size=8),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
EXAMPLES = int(os.environ.get("BUILDONCE_EXAMPLES", "25"))
DOCUMENTS = ("index", "manifest", "config", "copies", "layout")


def places(document: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where in a document something stands."""
    yield path
    if isinstance(document, dict):
        for key, value in document.items():
            yield from places(value, (*path, key))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from places(value, (*path, number))


def changed(document: Any, data: st.DataObject) -> Any:
    """Return the document with something else in one place, or without it."""
    path = data.draw(st.sampled_from(list(places(document))))
    if not path:
        return data.draw(VALUES)
    document = copy.deepcopy(document)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    if data.draw(st.booleans()):
        inner[path[-1]] = data.draw(VALUES)
    else:
        del inner[path[-1]]
    return document


def store(shelf: LayoutShelf, which: str, data: st.DataObject) -> None:
    """Store a release in which one document is changed; every digest is right."""
    one = draft("codex", "amd64")
    if which == "config":
        one.on_config = lambda old: changed(old, data)
    elif which == "manifest":
        one.on_manifest = lambda old: changed(old, data)
    elif which == "copies":
        one.on_entry = lambda old: old | {"annotations": {COPIES: json.dumps(changed(one.copies, data))}}
    entry = one.store(shelf)
    others: list[Json] = [draft("codex", "arm64").store(shelf)]
    index: Any = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry, *others]}
    shelf.tag("codex", shelf.put(encode(changed(index, data) if which == "index" else index), INDEX))
    if which == "layout":
        shelf.write_index(changed(shelf.read_index(), data))


async def verify(name: str) -> Verification:
    ledger = Ledger()
    async with RegistrySession() as session:
        targets = await find_all_targets([name], session, ledger)
        return await verify_release(targets, Checks(core_paths=("/usr",)), ledger)


@pytest.mark.parametrize("which", DOCUMENTS)
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_document_gets_a_verdict(tmp_path: Path, which: str, data: st.DataObject) -> None:
    number = next(NUMBERS)
    shelf = LayoutShelf(tmp_path / str(number))
    ship(shelf, variants=["claude"])
    store(shelf, which, data)
    done = asyncio.run(verify(shelf.name))
    assert render_verification(done, Traffic())
    assert verification_document(done, Traffic()).passed == (not done.findings)
    about_others = [one for one in done.findings if one.place.reference == f"{shelf.name}:claude"]
    assert which == "layout" or {one.kind for one in about_others} <= {Kind.PLATFORM_MISSING, Kind.CORE_DIFFERS}


NUMBERS = itertools.count()


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_bytes_get_a_verdict(tmp_path: Path, data: st.DataObject) -> None:
    """Bytes of a layer or a document changed anywhere, with digests that are right all the same."""
    number = next(NUMBERS)
    shelf = LayoutShelf(tmp_path / str(number))
    one = draft("codex", "amd64")
    which = data.draw(st.integers(0, 2))

    def spoil(content: bytes) -> bytes:
        at = data.draw(st.integers(0, len(content) - 1))
        return content[:at] + data.draw(st.binary(max_size=8)) + content[at + data.draw(st.integers(0, 8)) :]

    one.archives[which] = spoil(one.archives[which])
    shelf.tag("codex", store_index(shelf, [one.store(shelf)]))
    done = asyncio.run(verify(shelf.name))
    assert render_verification(done, Traffic())


async def test_documents_are_read_up_to_a_limit(tmp_path: Path) -> None:
    shelf = LayoutShelf(tmp_path / "layout")
    entries = ship(shelf)
    ledger = Ledger()
    size = sum(one["size"] for one in entries.values()) // 2
    documents = Documents(ledger, most=size)
    source = LayoutStore(shelf.folder)
    place = Place(reference=shelf.name)
    read = [await documents.named(source, one["digest"], place) for one in entries.values()]
    assert 0 < sum(one is not None for one in read) < len(entries)
    assert {finding.kind for finding in ledger.findings} == {Kind.TOO_MUCH}


async def test_findings_are_kept_up_to_a_limit() -> None:
    ledger = Ledger()
    for number in range(5000):
        ledger.find(Kind.DIFF_ID, f"{number}", Place(reference="r"))
        ledger.remark(f"{number}", Place(reference="r"))
    assert len(ledger.findings) == len(ledger.remarks) == 1000
