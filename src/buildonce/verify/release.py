"""[io] A release verified: what is there, whether it is whole, and whether its variants belong together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from msgspec import Struct

from buildonce.events import Activity, Emit, Finished, Started
from buildonce.verify.findings import Finding, Kind, Place, Remark
from buildonce.verify.images import LoadedImage, Use
from buildonce.verify.layers import Reading, ask_for_layers, read_layers
from buildonce.verify.ledger import Ledger
from buildonce.verify.loading import Loaded, load_images
from buildonce.verify.looking import Checks, Seen, look_into
from buildonce.verify.references import Target


class Verification(Struct, frozen=True, kw_only=True):
    """What was looked at, and what was found.

    ``blobs`` counts the layers that were read (or asked for), ``bytes`` what was read of them, ``compared`` the files
    that were held against those of other variants, ``fitted`` the images whose programs were checked, ``rebuilt`` those
    that were compared with a build.
    """

    references: tuple[str, ...]
    uses: tuple[Use, ...]
    findings: tuple[Finding, ...]
    remarks: tuple[Remark, ...]
    is_quick: bool
    blobs: int
    bytes: int
    compared: int
    fitted: int
    rebuilt: int = 0


Release: TypeAlias = tuple[Sequence[Use], Reading, Ledger]
"""The images of a release, what was read of their layers, and where findings go."""

Rebuild: TypeAlias = Callable[[Release], Awaitable[int]]
"""Compares images with what they were made from; returns how many."""


async def verify_release(
    targets: Sequence[Target],
    checks: Checks,
    ledger: Ledger,
    *,
    emit: Emit = lambda _: None,
    rebuild: Rebuild | None = None,
) -> Verification:
    """Return what is found of ``targets``, which are taken for one release.

    Raises `StoreError` when a store cannot be asked, and what ``rebuild`` raises.
    """
    loaded = await load_images(targets, ledger)
    uses, references = loaded.uses, tuple(target.name for target in targets)
    _check_platforms(loaded, checks, ledger)
    images = list({id(use.image): use.image for use in uses}.values())
    for image in images:
        _check_config(image, ledger)
    if checks.is_quick:
        reading, seen = await ask_for_layers(images, ledger), Seen()
    else:
        with _telling(f"the layers of {len(images)} images", emit):
            reading = await read_layers(images, ledger)
        seen = await asyncio.to_thread(look_into, uses, checks, reading, ledger)
    rebuilt = await rebuild((uses, reading, ledger)) if rebuild and uses else 0
    order = {reference: number for number, reference in enumerate(references)}
    return Verification(
        references=references,
        uses=uses,
        findings=tuple(sorted(ledger.findings, key=lambda one: (*one.place.rank(order), one.kind.name))),
        remarks=tuple(sorted(ledger.remarks, key=lambda one: (*one.place.rank(order), one.message))),
        is_quick=checks.is_quick,
        blobs=reading.blobs,
        bytes=reading.bytes,
        compared=seen.compared,
        fitted=seen.fitted,
        rebuilt=rebuilt,
    )


@contextmanager
def _telling(what: str, emit: Emit) -> Iterator[None]:
    """Tell that something is read, which may take long, and how long it took."""
    started = time.monotonic()
    emit(Started(activity=Activity.PULL, node=what))
    yield
    emit(Finished(activity=Activity.PULL, node=what, seconds=time.monotonic() - started))


def _check_platforms(loaded: Loaded, checks: Checks, ledger: Ledger) -> None:
    """Report what lacks a platform that was demanded, or that another reference of the release has."""
    everywhere = frozenset(checks.platforms).union(*loaded.platforms.values())
    for reference, platforms in loaded.platforms.items():
        for platform in sorted(everywhere - platforms):
            why = "it was demanded" if platform in checks.platforms else "others of the release have it"
            has = f"there is {', '.join(str(one) for one in sorted(platforms))}"
            place = Place(reference=reference, platform=str(platform))
            ledger.find(Kind.PLATFORM_MISSING, f"there is no image for {platform}", place, why, has)


def _check_config(image: LoadedImage, ledger: Ledger) -> None:
    """Compare the numbers of layers in manifest, config and history."""
    config, place = image.config, image.place
    if config is None:
        return
    layers, diff_ids = len(image.manifest.layers), len(config.diff_ids)
    if layers != diff_ids:
        message = f"the manifest has {layers} layers, the config {diff_ids} diff IDs"
        ledger.find(Kind.LAYER_COUNT, message, place, also=image.also)
    told = sum(not entry.empty_layer for entry in config.history)
    if not config.history:
        ledger.remark("the config has no history", place)
    elif told != diff_ids:
        message = f"the history accounts for {told} layers; there are {diff_ids}"
        ledger.find(Kind.HISTORY_COUNT, message, place, also=image.also)
