"""A change is what changes the plan; what keeps the plan from being made is said once and waited out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from buildonce.errors import Error, UsageError
from buildonce.oci import Platform
from buildonce.plan.images import ExternalImage
from buildonce.reference import Repository
from buildonce.run import watching
from buildonce.run.state import State
from buildonce.run.watching import KnownImages, keys_of, wait_for_change
from buildonce.store.protocol import Store
from tests.plan.projects import AMD64, ARM64, FakeImages, plan_of

DOCKERFILE = (
    "FROM debian AS builder\nCOPY src /src\nRUN make\nFROM debian\nCOPY --from=builder /out /out\nCOPY doc /doc\n"
)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_PAUSE", 0)


async def test_looking_ends_with_other_keys() -> None:
    looks = [frozenset("a"), frozenset("a"), frozenset("b"), frozenset("c")]

    async def look() -> frozenset[str]:
        return looks.pop(0)

    await wait_for_change(look, frozenset("a"), lambda error: pytest.fail(str(error)))
    assert looks == [frozenset("c")]


async def test_what_keeps_it_from_looking_is_said_once_and_again_when_it_is_something_else() -> None:
    looks: list[frozenset[str] | Error] = [
        UsageError("one"),
        UsageError("one"),
        frozenset("a"),
        UsageError("one"),
        UsageError("two"),
        frozenset("b"),
    ]
    said: list[Error] = []

    async def look() -> frozenset[str]:
        found = looks.pop(0)
        if isinstance(found, Error):
            raise found
        return found

    await wait_for_change(look, frozenset("a"), said.append)
    assert list(map(str, said)) == ["one", "one", "two"]


def test_keys_tell_plans_apart_that_make_other_things() -> None:
    files = {"src/main.c": "1", "doc/page": "1", "junk": "1"}
    before = keys_of(plan_of(DOCKERFILE, files=files))
    assert keys_of(plan_of(DOCKERFILE + "# more\n", files=files | {"junk": "2"})) == before
    assert keys_of(plan_of(DOCKERFILE, files=files | {"src/main.c": "2"})) != before
    assert keys_of(plan_of(DOCKERFILE, files=files | {"doc/page": "2"})) != before
    assert keys_of(plan_of(DOCKERFILE + "ENV A=1\n", files=files)) != before


def no_repository(_: Repository) -> Store:
    raise AssertionError("no registry is asked")


async def test_images_are_asked_for_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, Platform]] = []

    async def resolve(
        wanted: Iterable[tuple[str, Platform]], **_: object
    ) -> Mapping[tuple[str, Platform], ExternalImage]:
        asked.extend(sorted(wanted))
        return {pair: FakeImages().image(*pair) for pair in wanted}

    monkeypatch.setattr(watching, "resolve_images", resolve)
    images = KnownImages()

    async def look(*pairs: tuple[str, Platform]) -> Mapping[tuple[str, Platform], ExternalImage]:
        state = State(tmp_path)
        return await images.resolve(pairs, open_repository=no_repository, state=state, explain=lambda _, error: error)

    await look(("debian", AMD64))
    found = await look(("debian", AMD64), ("debian", ARM64))
    assert found.keys() == {("debian", AMD64), ("debian", ARM64)}
    assert asked == [("debian", AMD64), ("debian", ARM64)]
