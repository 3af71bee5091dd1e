"""[io] A release of images that are in other stores already: all of them by digest, then their tags together."""

from __future__ import annotations

from collections.abc import Sequence

from buildonce.errors import StoreError, UsageError
from buildonce.events import Emit
from buildonce.run.journal import Journal
from buildonce.run.releasing import tag_release
from buildonce.ship.copies import Found, copied_release
from buildonce.ship.family import Family
from buildonce.ship.publication import Published, Publisher
from buildonce.ship.receipts import Receipt
from buildonce.store.protocol import Store
from buildonce.store.registry import RegistrySession
from buildonce.tasks import together
from buildonce.verify.ledger import Ledger
from buildonce.verify.references import Target, find_all_targets


async def find_images(texts: Sequence[str], tag: str | None, session: RegistrySession) -> tuple[Found, ...]:
    """Return what ``texts`` name, each with the tag that it is to get: ``tag``, or its own.

    Raises `UsageError` when that leaves an image without a tag of its own, and `StoreError` when it is not there.
    """
    ledger = Ledger()
    targets = await find_all_targets(texts, session, ledger)
    if wrong := next(iter(ledger.findings), None):
        raise StoreError(f"{wrong.place.reference}: {wrong.message}", help="`buildonce verify` says more")
    _demand_tags(targets, tag)
    return tuple(await together(_find(target, tag or target.tag or "") for target in targets))


async def copy_images(images: Sequence[Found], store: Store, journal: Journal, emit: Emit) -> Published:
    """Have ``images`` in ``store`` under their tags: blobs, manifests, and last all tags.

    Raises `StoreError` and `IntegrityError`; no tag has moved then, unless the message says which.
    """
    release = await copied_release(images)
    at_home = [
        image.descriptor.digest
        for one, index in zip(images, release.indexes, strict=True)
        if one.source.name == store.name
        for image in index.images
    ]
    publisher = Publisher(store, Receipt(target=store.name, manifests=frozenset(at_home)))
    family = Family({index.variant: publisher for index in release.indexes})
    await family.send(release)
    return await tag_release(release, family, journal, {index.variant: store.name for index in release.indexes}, emit)


def _demand_tags(targets: Sequence[Target], tag: str | None) -> None:
    if tag is not None and len(targets) > 1:
        raise UsageError(
            f"{len(targets)} images cannot all be tagged `{tag}`",
            help="leave out the target's tag, and each keeps its own",
        )
    owners: dict[str, Target] = {}
    for target in targets:
        own = tag or target.tag
        if own is None:
            raise UsageError(f"`{target.name}` has no tag to copy", help="write the tag that it is to get: TARGET:TAG")
        if other := owners.get(own):
            raise UsageError(f"`{other.name}` and `{target.name}` would both be tagged `{own}`")
        owners[own] = target


async def _find(target: Target, tag: str) -> Found:
    stored = await target.source.get_manifest(target.asked)
    if not stored:
        raise StoreError(
            f"there is no `{target.name}`", help=f"`buildonce verify {target.source.name}` lists what is there"
        )
    return Found(name=target.name, source=target.source, stored=stored, tag=tag)
