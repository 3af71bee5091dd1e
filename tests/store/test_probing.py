"""What `doctor` finds out about registries of several kinds, and that it leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from buildonce.checks import Answer, Check, Findings
from buildonce.reference import Repository
from buildonce.store.registry import RegistryOptions, RegistrySession
from buildonce.store.registry.capabilities import Capabilities, CapabilityTable
from buildonce.store.registry.challenges import Password
from buildonce.store.registry.endpoints import mirrors_from_environment
from buildonce.store.registry.probing import Probing
from tests.e2e.harness import load_host
from tests.fakes import registry as fake
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import Known, new_session
from tests.store.registries import crane_registry

BOB = Password(user="bob", secret="s3cret", source="`auths` in config.json, user `bob`")


async def visit(host: str, session: RegistrySession, token: str = "0123") -> Findings:
    repository = Repository(host, "acme/family")
    return await Probing(session, repository, repository.beside("-cache"), token).visit()


def answers(findings: Findings) -> dict[str, Answer]:
    return {check.subject: check.answer for check in findings.checks}


def check(findings: Findings, subject: str) -> Check:
    return next(one for one in findings.checks if one.subject == subject)


def old(registry: FakeRegistry) -> None:
    """What every registry does."""


def new(registry: FakeRegistry) -> None:
    """What a registry may do."""
    registry.single_post = registry.anonymous_mounts = registry.multi_tag = registry.referrers = True


def poor(registry: FakeRegistry) -> None:
    """What is left of a registry that does not do everything."""
    registry.mounts = registry.patches = False
    registry.accepts_anything = True


FEATURES = {
    "upload in one request": (Answer.NO, Answer.YES, Answer.NO),
    "resumed uploads": (Answer.YES, Answer.YES, Answer.NO),
    "mounts": (Answer.YES, Answer.YES, Answer.NO),
    "anonymous mounts": (Answer.NO, Answer.YES, Answer.NO),
    "several tags at once": (Answer.NO, Answer.YES, Answer.NO),
    "referrers": (Answer.NO, Answer.YES, Answer.NO),
    "checks images": (Answer.YES, Answer.YES, Answer.NO),
}


@pytest.mark.parametrize(("kind", "column"), [(old, 0), (new, 1), (poor, 2)], ids=["old", "new", "poor"])
async def test_each_feature_is_found_or_found_missing(
    registry: FakeRegistry, kind: Callable[[FakeRegistry], None], column: int
) -> None:
    kind(registry)
    async with new_session() as session:
        found = await visit(registry.host, session)
        known = session.known(session.endpoint(Repository(registry.host, "x")))
    assert {subject: answers(found)[subject] for subject in FEATURES} == {
        subject: row[column] for subject, row in FEATURES.items()
    }
    assert found.is_usable
    assert not found.left
    assert known == Capabilities(
        single_post=column == 1,
        mount=column != 2,
        anonymous_mount=column == 1,
        multi_tag=column == 1,
        referrers=column == 1,
    )
    for held in registry.repositories.values():
        assert not held.blobs
        assert not held.manifests
        assert not [tag for tag, digest in held.tags.items() if digest in held.manifests]


async def test_what_cannot_be_removed_is_named(registry: FakeRegistry) -> None:
    registry.deletes = False
    async with new_session() as session:
        found = await visit(registry.host, session)
    assert found.is_usable
    assert answers(found)["removal"] is Answer.NO
    assert answers(found)["several tags at once"] is Answer.UNTRIED
    assert registry.repository("acme/family").tags == {}, "nothing that cannot be removed gets a name"
    manifests = list(registry.repository("acme/family").manifests)
    assert found.left[0] == f"{registry.host}/acme/family@{manifests[0]}"
    assert "blobs of a few bytes" in found.left[-1]


async def test_what_others_have_is_not_removed(registry: FakeRegistry) -> None:
    """The config `{}` is in many repositories: what a doctor sends must be its own."""
    kept = registry.add_blob("acme/family", b"{}")
    async with new_session() as session:
        await visit(registry.host, session)
    assert list(registry.repository("acme/family").blobs) == [kept]


async def test_a_registry_that_does_not_answer_cannot_be_used() -> None:
    async with new_session() as session:
        found = await visit("127.0.0.1:1", session)
    assert not found.is_usable
    assert "Connection refused" in check(found, "read").seen
    assert [one.subject for one in found.checks] == ["encryption", "read"]


@pytest.mark.parametrize("auth", ["basic", "bearer"])
async def test_a_wrong_password_is_seen_at_once(auth: str) -> None:
    wrong = Known(Password(user="bob", secret="hunter2", source=BOB.source))
    async with FakeRegistry(auth=auth, users={"bob": "s3cret"}) as registry, new_session(credentials=wrong) as session:
        found = await visit(registry.host, session)
    assert not found.is_usable
    assert BOB.source in check(found, "read").seen
    assert "docker login" in check(found, "read").meaning
    assert "hunter2" not in str(found)


async def test_the_right_password_is_named_by_its_source() -> None:
    credentials = Known(BOB)
    async with (
        FakeRegistry(auth="bearer", users={"bob": "s3cret"}) as registry,
        new_session(credentials=credentials) as session,
    ):
        found = await visit(registry.host, session)
    assert found.is_usable
    assert check(found, "write").seen == f"bearer credentials: {BOB.source}"


async def test_who_may_only_read_cannot_ship(registry: FakeRegistry) -> None:
    registry.forbidden = {("acme/family", "push")}
    async with new_session() as session:
        found = await visit(registry.host, session)
    assert (answers(found)["read"], answers(found)["write"]) == (Answer.YES, Answer.FAILED)
    assert not found.is_usable


async def test_who_may_not_write_the_cache_is_told_of_it(registry: FakeRegistry) -> None:
    registry.forbidden = {("acme/family-cache", "push")}
    async with new_session() as session:
        found = await visit(registry.host, session)
    assert answers(found)["write the cache"] is Answer.FAILED
    assert "--cache" in check(found, "write the cache").meaning
    assert found.is_usable, "the images could be shipped, with the cache elsewhere"


async def test_mirrors_are_asked_too(registry: FakeRegistry) -> None:
    async with FakeRegistry() as mirror:
        spelled = f"{registry.host}={mirror.url}/cache,{registry.host}=http://127.0.0.1:1"
        options = RegistryOptions(mirrors=mirrors_from_environment({"BUILDONCE_MIRRORS": spelled}))
        async with new_session(options=options) as session:
            found = await visit(registry.host, session)
        assert answers(found)[f"mirror {mirror.host}"] is Answer.YES
        assert answers(found)["mirror 127.0.0.1:1"] is Answer.FAILED
        assert {entry.method for entry in mirror.log} == {"HEAD"}


async def test_limits_of_earlier_runs_are_shown(registry: FakeRegistry) -> None:
    table = CapabilityTable(now=lambda: 0.0)
    table.learn(registry.url, Capabilities(max_manifest=1000, min_interval=0.02))
    registry.chunk_min = 500
    async with new_session(capabilities=table) as session:
        found = await visit(registry.host, session)
    assert check(found, "least part of an upload").seen == "500 bytes"
    assert check(found, "largest manifest").seen.startswith("1000 bytes")
    assert check(found, "rate").seen.startswith("at most 50 requests")


async def test_a_failing_question_does_not_end_the_visit(registry: FakeRegistry) -> None:
    registry.faults.append(fake.status(500, path="/referrers/", times=99))
    registry.faults.append(fake.status(500, method="PATCH", times=99))
    async with new_session() as session:
        found = await visit(registry.host, session)
    assert answers(found)["referrers"] is Answer.FAILED
    assert answers(found)["resumed uploads"] is Answer.FAILED
    assert answers(found)["mounts"] is Answer.YES
    assert found.is_usable


async def test_a_registry_that_takes_no_manifest_cannot_be_used(registry: FakeRegistry) -> None:
    registry.faults.append(fake.status(400, method="PUT", path="/manifests/", times=99))
    async with new_session() as session:
        found = await visit(registry.host, session)
    assert answers(found)["manifests"] is Answer.FAILED
    assert not found.is_usable


@pytest.fixture(scope="module")
def crane() -> Iterator[str]:
    with crane_registry() as address:
        yield address


@pytest.mark.host
async def test_real_registries_are_seen_as_they_are(crane: str, request: pytest.FixtureRequest) -> None:
    token = f"{id(request):x}"
    async with new_session() as session:
        found = answers(await visit(load_host().registry, session, token))
        assert {subject: found[subject] for subject in FEATURES} == {
            subject: row[0] for subject, row in FEATURES.items()
        }
        found = answers(await visit(crane, session, token))
        assert found["upload in one request"] is Answer.YES
        assert found["mounts"] is found["checks images"] is found["resumed uploads"] is Answer.NO
