"""External images resolved against the fake registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from buildonce.oci import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor, Platform, digest_of, parse_platform
from buildonce.plan.images import ExternalImage
from buildonce.reference import Repository
from buildonce.run.resolving import ImageNotFound, resolve_images
from buildonce.run.state import State
from buildonce.store.protocol import Store
from buildonce.store.registry import RegistrySession, RegistryStore
from tests.fakes.registry import FakeRegistry
from tests.fakes.sessions import new_session

AMD64, ARM64, ARM = (parse_platform(f"linux/{name}") for name in ("amd64", "arm64", "arm"))


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as registry:
        yield registry


@pytest.fixture
async def session() -> AsyncIterator[RegistrySession]:
    async with new_session() as session:
        yield session


def add_image(registry: FakeRegistry, platforms: dict[str, str]) -> str:
    """Put an index into the registry: platform as the index writes it -> architecture in the config."""
    manifests = []
    for text, architecture in platforms.items():
        config = msgspec.json.encode({"architecture": architecture, "os": "linux", "created": "2024-01-02T03:04:05Z"})
        descriptor = Descriptor(media_type=OCI_CONFIG, digest=digest_of(config), size=len(config))
        registry.add_blob("base", config)
        manifest = msgspec.json.encode(
            {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor, "layers": []}
        )
        digest = registry.add_manifest("base", manifest, OCI_MANIFEST)
        system, arch, *variant = text.split("/")
        platform = Platform(os=system, architecture=arch, variant="".join(variant))
        manifests.append({"mediaType": OCI_MANIFEST, "digest": digest, "size": len(manifest), "platform": platform})
    index = msgspec.json.encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})
    registry.add_manifest("base", index, OCI_INDEX, tag="1")
    return f"{registry.host}/base:1"


async def resolve(session: RegistrySession, state: State, name: str, platform: Platform) -> ExternalImage:
    def open_repository(repository: Repository) -> Store:
        return RegistryStore(repository, session)

    images = await resolve_images([(name, platform)], open_repository=open_repository, state=state)
    return images[(name, platform)]


@pytest.mark.parametrize(
    ("there", "wanted", "found"),
    [
        ({"linux/amd64": "amd64", "linux/arm64": "arm64"}, ARM64, "arm64"),
        ({"linux/amd64": "amd64", "linux/arm64/v8": "arm64"}, ARM64, "arm64"),
        ({"linux/arm/v7": "arm"}, ARM, "arm"),
        ({"linux/arm": "arm"}, ARM, "arm"),
        ({"unknown/unknown": "none", "linux/amd64": "amd64"}, AMD64, "amd64"),
    ],
    ids=["exact", "arm64 is v8", "arm is v7", "arm without variant", "attestations are passed over"],
)
async def test_the_platforms_own_manifest_is_found(
    registry: FakeRegistry,
    session: RegistrySession,
    tmp_path: Path,
    there: dict[str, str],
    wanted: Platform,
    found: str,
) -> None:
    image = await resolve(session, State(tmp_path), add_image(registry, there), wanted)
    assert image.config["architecture"] == found
    assert image.pinned != image.digest
    assert image.created == 1704164645


async def test_what_is_known_costs_one_head(registry: FakeRegistry, session: RegistrySession, tmp_path: Path) -> None:
    name = add_image(registry, {"linux/amd64": "amd64"})
    state = State(tmp_path)
    first = await resolve(session, state, name, AMD64)
    registry.log.clear()
    assert await resolve(session, state, name, AMD64) == first
    assert [one.method for one in registry.log] == ["HEAD"]


async def test_a_missing_platform_says_what_there_is(
    registry: FakeRegistry, session: RegistrySession, tmp_path: Path
) -> None:
    name = add_image(registry, {"linux/amd64": "amd64"})
    with pytest.raises(ImageNotFound, match="has no image for linux/arm64") as error:
        await resolve(session, State(tmp_path), name, ARM64)
    assert error.value.notes == ("it has linux/amd64",)


async def test_a_missing_image_is_named(registry: FakeRegistry, session: RegistrySession, tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound, match="there is no image"):
        await resolve(session, State(tmp_path), f"{registry.host}/nothing:1", AMD64)


async def test_a_kept_document_that_was_changed_is_asked_for_again(
    registry: FakeRegistry, session: RegistrySession, tmp_path: Path
) -> None:
    name = add_image(registry, {"linux/amd64": "amd64"})
    state = State(tmp_path)
    first = await resolve(session, state, name, AMD64)
    for file in (tmp_path / "documents").iterdir():
        file.write_bytes(b"{}")
    assert await resolve(session, state, name, AMD64) == first
