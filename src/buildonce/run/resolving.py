"""[io] External images: from a name in a Dockerfile to one platform's manifest and config."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from buildonce.assemble.config_shape import check_shape
from buildonce.errors import Error, IntegrityError, StoreError
from buildonce.oci import (
    INDEX_TYPES,
    OCI_CONFIG,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Manifest,
    Platform,
    decode_index,
    decode_manifest,
    digest_of,
    parse_digest,
    parse_platform,
)
from buildonce.plan.accounts import UNRESOLVED
from buildonce.plan.images import ExternalImage, LayoutReference, parse_image_address
from buildonce.reference import Reference, Repository
from buildonce.run.state import State
from buildonce.store.documents import identify
from buildonce.store.layout import LayoutStore
from buildonce.store.protocol import Source, Store, Stored
from buildonce.tasks import together

OpenRepository = Callable[[Repository], Store]


class Resolve(Protocol):
    """Finds the external images of a plan."""

    async def __call__(
        self,
        wanted: Iterable[tuple[str, Platform]],
        *,
        open_repository: OpenRepository,
        state: State,
        explain: Callable[[str, StoreError], Error],
    ) -> Mapping[tuple[str, Platform], ExternalImage]: ...


_CONFIG_LIMIT = 16 * 1024 * 1024


class ImageNotFound(StoreError):
    """No registry has an image of this name, or it has none for the platform."""

    code = "IMAGE-NOT-FOUND"
    exit_code = 2


async def resolve_images(
    wanted: Iterable[tuple[str, Platform]],
    *,
    open_repository: OpenRepository,
    state: State,
    explain: Callable[[str, StoreError], Error] = lambda _, error: error,
) -> Mapping[tuple[str, Platform], ExternalImage]:
    """Return each wanted image (name as a Dockerfile has it, platform), asking for each tag once.

    Raises what ``explain`` makes of a failure: `ImageNotFound` where there is no such image, another `StoreError` where
    it cannot be asked for.
    """
    pairs = sorted(set(wanted))
    resolver = _Resolver(open_repository, state)

    async def resolve(name: str, platform: Platform) -> ExternalImage:
        try:
            return await resolver.resolve(name, platform)
        except StoreError as error:
            raise explain(name, error) from error

    images = await together(resolve(name, platform) for name, platform in pairs)
    return dict(zip(pairs, images, strict=True))


async def resolve_or_name(
    wanted: Iterable[tuple[str, Platform]],
    *,
    open_repository: OpenRepository,
    state: State,
    explain: Callable[[str, StoreError], Error] = lambda _, error: error,  # noqa: ARG001
) -> Mapping[tuple[str, Platform], ExternalImage]:
    """Return each wanted image as `resolve_images` does; of one that cannot be asked for, no more than its name."""
    pairs = sorted(set(wanted))
    resolver = _Resolver(open_repository, state)

    async def resolve(name: str, platform: Platform) -> ExternalImage:
        try:
            return await resolver.resolve(name, platform)
        except StoreError:
            return _named_only(name, platform)

    images = await together(resolve(name, platform) for name, platform in pairs)
    return dict(zip(pairs, images, strict=True))


def _named_only(name: str, platform: Platform) -> ExternalImage:
    digest = Digest(f"{UNRESOLVED}{name}")
    descriptor = Descriptor(media_type=OCI_CONFIG, digest=digest, size=0)
    return ExternalImage(
        reference=parse_image_address(name),
        platform=platform,
        digest=digest,
        pinned=digest,
        manifest=Manifest(media_type=OCI_MANIFEST, config=descriptor, layers=()),
        config={},
        config_content=b"{}",
    )


def make_image(name: str, platform: Platform, *, pinned: Digest, manifest: bytes, config: bytes) -> ExternalImage:
    """Return an external image from its documents, which were checked. Raises `IntegrityError` for malformed ones."""
    return ExternalImage(
        reference=parse_image_address(name),
        platform=platform,
        digest=digest_of(manifest),
        pinned=pinned,
        manifest=decode_manifest(manifest),
        config=_read_config(config, name),
        config_content=config,
    )


def open_image(reference: Reference | LayoutReference, open_repository: OpenRepository) -> Store:
    """Return where an image is."""
    if isinstance(reference, LayoutReference):
        return LayoutStore(Path(reference.path))
    return open_repository(reference.repository)


def _pinned(reference: Reference | LayoutReference) -> Digest | None:
    if isinstance(reference, Reference):
        return reference.digest
    return parse_digest(reference.name) if ":" in reference.name else None


class _Resolver:
    """Resolves names, each tag once however many platforms are asked for."""

    def __init__(self, open_repository: OpenRepository, state: State) -> None:
        self._open = open_repository
        self._state = state
        self._tags: dict[str, asyncio.Task[Stored]] = {}

    async def resolve(self, name: str, platform: Platform) -> ExternalImage:
        reference = parse_image_address(name)
        source = open_image(reference, self._open)
        if name not in self._tags:
            self._tags[name] = asyncio.ensure_future(self._tagged(reference, source))
        tagged = await self._tags[name]
        stored = tagged
        if tagged.media_type in INDEX_TYPES:
            descriptor = _choose(decode_index(tagged.content).manifests, platform, name)
            stored = await self._by_digest(descriptor.digest, source, name)
        content = await self._config(decode_manifest(stored.content).config, source)
        return make_image(name, platform, pinned=tagged.digest, manifest=stored.content, config=content)

    async def _tagged(self, reference: Reference | LayoutReference, source: Store) -> Stored:
        """Return what the tag points to; a HEAD is enough when its digest is known (and is not metered as a pull)."""
        digest = _pinned(reference) or await source.head_manifest(reference.name)
        if digest is None and isinstance(reference, LayoutReference):
            raise ImageNotFound(
                f"`{reference.path}` has no image `{reference.name}`",
                help="name one that its index.json has: oci-layout://PATH:TAG or oci-layout://PATH@DIGEST",
            )
        if digest is None:
            raise ImageNotFound(f"there is no image `{reference}`", help="check its name and tag in the FROM line")
        return await self._by_digest(digest, source, str(reference))

    async def _by_digest(self, digest: Digest, source: Source, name: str) -> Stored:
        if (known := await self._kept(digest)) is not None:
            return Stored(media_type=identify(known, "", name), content=known, digest=digest)
        stored = await source.get_manifest(digest)
        if stored is None:
            raise ImageNotFound(f"`{name}` refers to {digest}, and {source.name} has no image manifest of that digest")
        await self._keep(stored.content)
        return stored

    async def _config(self, descriptor: Descriptor, source: Source) -> bytes:
        if descriptor.size > _CONFIG_LIMIT:
            raise StoreError(f"the config {descriptor.digest} has {descriptor.size} bytes, more than any image needs")
        if (known := await self._kept(descriptor.digest)) is not None:
            return known
        content = b"".join([chunk async for chunk in source.read_blob(descriptor)])
        await self._keep(content)
        return content

    async def _kept(self, digest: Digest) -> bytes | None:
        return await asyncio.to_thread(self._state.read_small, digest)

    async def _keep(self, content: bytes) -> None:
        await asyncio.to_thread(self._state.keep_small, content)


def _read_config(content: bytes, name: str) -> Mapping[str, object]:
    try:
        check_shape(content)
        config: dict[str, object] = msgspec.json.decode(content, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IntegrityError(f"the config of `{name}` cannot be read: {error}") from error
    return config


def _choose(manifests: tuple[Descriptor, ...], platform: Platform, name: str) -> Descriptor:
    """Return the index's manifest for ``platform``: exactly it, else the one without a CPU variant."""
    there = {str(_normal(one.platform)): one for one in reversed(manifests) if one.platform}
    for wanted in (str(platform), f"{platform.os}/{platform.architecture}"):
        if wanted in there:
            return there[wanted]
    names = sorted(one for one in there if not one.startswith("unknown"))
    raise ImageNotFound(
        f"`{name}` has no image for {platform}",
        notes=(f"it has {', '.join(names) or 'none'}",),
        help="leave this platform out, or choose another base image",
    )


def _normal(platform: Platform) -> Platform:
    try:
        return parse_platform(str(platform))
    except Error:
        return platform
