"""[io] A small family behind a proxy: shipped by runs of their own, and looked at in the registry itself."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping

from buildonce.errors import StoreError
from buildonce.oci import (
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    decode_index,
    decode_manifest,
    digest_of,
    encode_json,
)
from buildonce.reference import Repository
from buildonce.ship.family import Family
from buildonce.ship.publication import Publisher
from buildonce.ship.receipts import Receipt
from buildonce.ship.release import Image, Release, index_images
from buildonce.store.protocol import Blob
from buildonce.store.registry import RegistryOptions, RegistrySession, RegistryStore
from buildonce.store.registry.retrying import RetryPolicy
from buildonce.store.registry.transport import Timeouts
from buildonce.store.registry.uploads import RESUMABLE
from buildonce.store.streams import blob_of_bytes
from tests.fakes.sessions import FakeClock, collected, new_session
from tests.faults.proxy import FaultyProxy
from tests.ship.releases import PLATFORMS

VARIANTS = ("a", "b", "c")
SIZE = 200_000
QUICK = Timeouts(connect=2.0, stall=0.6, answer=0.9)


def noise(name: str, size: int) -> Blob:
    return blob_of_bytes(random.Random(name).randbytes(size), OCI_LAYER_GZIP)


BASE = noise("base", 100_000)


class Shop:
    """A family's repositories behind a proxy, and what runs remember of them."""

    def __init__(self, proxy: FaultyProxy, name: str, *, is_apart: bool = False) -> None:
        self.proxy = proxy
        self.targets = {variant: f"{name}/{variant}" if is_apart else name for variant in VARIANTS}
        self.receipts: Mapping[str, Receipt] = {}

    async def ship(self, release: Release) -> StoreError | None:
        """Publish a release, as a run of its own; return what kept it from that."""
        options = RegistryOptions(timeouts=QUICK, retrying=RetryPolicy())
        async with new_session(FakeClock(), options=options) as session:
            publishers = {}
            for target in set(self.targets.values()):
                store = RegistryStore(Repository(self.proxy.host, target), session, mirrored=False)
                publishers[target] = Publisher(store, self.receipts.get(target, Receipt(target=store.name)))
            shipped = Family({variant: publishers[target] for variant, target in self.targets.items()})
            try:
                await shipped.send(release)
                await shipped.tag(release)
                assert await shipped.settle(release)
            except StoreError as error:
                return error
            finally:
                self.receipts = {target: one.receipt for target, one in publishers.items()}
        return None

    async def tags(self) -> dict[str, str | None]:
        """Return where the family's tags point, as the registry itself says."""
        async with new_session() as session:
            return {variant: await self._direct(variant, session).head_manifest(variant) for variant in VARIANTS}

    async def check(self, release: Release) -> None:
        """Read all that the tags lead to, from the registry itself; fails where something is missing or damaged."""
        async with new_session() as session:
            for index in release.indexes:
                store = self._direct(index.variant, session)
                found = await store.get_manifest(index.variant)
                assert found
                assert found.content == index.content
                for image in decode_index(found.content).manifests:
                    stored = await store.get_manifest(image.digest)
                    assert stored
                    manifest = decode_manifest(stored.content)
                    for blob in (manifest.config, *manifest.layers):
                        assert await store.has_blob(blob)
                        if blob.size < RESUMABLE or index.variant == "a":
                            await collected(store.read_blob(blob))

    def _direct(self, variant: str, session: RegistrySession) -> RegistryStore:
        return RegistryStore(Repository(self.proxy.upstream, self.targets[variant]), session)


def digests(release: Release) -> dict[str, str | None]:
    return {index.variant: index.digest for index in release.indexes}


def family(core: str, *, size: int = SIZE) -> Release:
    """A base layer for all, a core layer of ``size`` bytes for each platform, and a config for each image."""
    indexes = []
    for variant in VARIANTS:
        images = []
        for platform in PLATFORMS:
            late = noise(f"{core} {platform}", size)
            config = blob_of_bytes(json.dumps({"of": f"{variant} {platform} {core}"}).encode(), OCI_CONFIG)
            parts = Manifest(
                media_type=OCI_MANIFEST, config=config.descriptor, layers=(BASE.descriptor, late.descriptor)
            )
            content = encode_json(parts)
            descriptor = Descriptor(media_type=OCI_MANIFEST, digest=digest_of(content), size=len(content))
            images.append(
                Image(platform=platform, manifest=content, descriptor=descriptor, new=(late, config), shared=(BASE,))
            )
        indexes.append(index_images(variant, (variant,), tuple(images)))
    return Release(indexes=tuple(indexes))
