"""[io] A release verified: what is there, whether it is whole, and whether its variants belong together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from buildonce.assemble.archive import Layer
from buildonce.assemble.entries import NotExpressible
from buildonce.assemble.tree import Tree
from buildonce.events import Activity, Emit, Finished, Started
from buildonce.oci import Digest, Platform
from buildonce.verify.comparing import Variant, by_platform, compare_cores, compare_path, files_at
from buildonce.verify.cores import Content, CoreFile, contents, core_files
from buildonce.verify.findings import Finding, Kind, Place, Remark
from buildonce.verify.fitting import Fitted, check_fit, report_fit
from buildonce.verify.images import LAYER_COMPRESSION, LoadedImage, Use, is_elsewhere
from buildonce.verify.layers import Reading, ask_for_layers, read_layers
from buildonce.verify.ledger import Ledger
from buildonce.verify.loading import Loaded, load_images
from buildonce.verify.references import Target
from buildonce.verify.trees import Clash, walk_trees

_COPIES = ("COPY ", "ADD ", "/bin/sh -c #(nop) COPY ", "/bin/sh -c #(nop) ADD ")


class Checks(Struct, frozen=True, kw_only=True):
    """How closely to look.

    ``platforms`` are those that every reference must have, besides what its siblings have. ``core_paths`` are paths
    that must hold the same in every variant, ``unchecked`` are patterns of tags whose programs need not run. Unless
    ``is_quick`` every layer is read.
    """

    platforms: tuple[Platform, ...] = ()
    core_paths: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    is_quick: bool = False


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
    folder: Path,
    ledger: Ledger,
    *,
    emit: Emit = lambda _: None,
    rebuild: Rebuild | None = None,
) -> Verification:
    """Return what is found of ``targets``, which are taken for one release; ``folder`` is for files on the way.

    Raises `StoreError` when a store cannot be asked, and what ``rebuild`` raises.
    """
    loaded = await load_images(targets, ledger)
    uses, references = loaded.uses, tuple(target.name for target in targets)
    _check_platforms(loaded, checks, ledger)
    images = list({id(use.image): use.image for use in uses}.values())
    for image in images:
        _check_config(image, ledger)
    if checks.is_quick:
        reading, seen = await ask_for_layers(images, ledger), _Seen()
    else:
        with _telling(f"the layers of {len(images)} images", emit):
            reading = await read_layers(images, folder, ledger)
        seen = await asyncio.to_thread(_look_into, uses, checks, reading, ledger)
    rebuilt = await rebuild((uses, reading, ledger)) if rebuild and uses else 0
    order = {reference: number for number, reference in enumerate(references)}
    return Verification(
        references=references,
        uses=uses,
        findings=tuple(sorted(ledger.findings, key=lambda one: (*_order(one.place, order), one.kind.name))),
        remarks=tuple(sorted(ledger.remarks, key=lambda one: (*_order(one.place, order), one.message))),
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


class _Seen(Struct, frozen=True, kw_only=True):
    compared: int = 0
    fitted: int = 0


def _order(place: Place, order: Mapping[str, int]) -> tuple[int, str, str, str]:
    return order.get(place.reference, -1), place.platform, place.subject, place.path


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


def _look_into(uses: Sequence[Use], checks: Checks, reading: Reading, ledger: Ledger) -> _Seen:
    """Check what can be seen only in the layers."""
    layers = reading.layers
    of_image: dict[int, list[Use]] = {}
    for use in uses:
        of_image.setdefault(id(use.image), []).append(use)
    whole = []
    for same in of_image.values():
        image = same[0].image
        _check_layers(image, reading, ledger)
        digests = [layer.digest for layer in image.manifest.layers]
        if all(digest in layers for digest in digests):
            whole.append((same, digests))
        elif any(map(is_elsewhere, image.manifest.layers)):
            ledger.remark("a layer is not kept in stores: the files of this image were not looked at", image.place)
    variants: list[Variant] = []
    fitted: list[Fitted] = []
    for same, trees in walk_trees(whole, layers):
        if isinstance(trees, Clash):
            image = same[0].image
            kind = Kind.TOO_MUCH if isinstance(trees.reason, NotExpressible) else Kind.LAYERS_CLASH
            ledger.find(kind, trees.reason.message, image.layer_place(trees.number), also=image.also)
        else:
            variants += [_variant(use, trees, layers, checks) for use in same]
            fitted += _fitted(same, trees[-1], layers, checks)
    order = {use.reference: number for number, use in enumerate(uses)}
    report_fit(sorted(fitted, key=lambda one: _order(one.place, order)), ledger)
    variants.sort(key=lambda one: _order(one.place, order))
    return _Seen(compared=_compare(variants, checks, ledger), fitted=len(fitted))


def _fitted(uses: Sequence[Use], tree: Tree, layers: Mapping[Digest, Layer], checks: Checks) -> Iterator[Fitted]:
    """Yield the judgement on an image under each reference whose programs are to be checked."""
    of_image = [layers[layer.digest] for layer in uses[0].image.manifest.layers]
    for use in uses:
        if any(fnmatchcase(use.tag or "", pattern) for pattern in checks.unchecked):
            continue
        if (fitted := check_fit(use, tree, of_image, checks.core_paths)) is not None:
            yield fitted


def _compare(variants: Sequence[Variant], checks: Checks, ledger: Ledger) -> int:
    groups = by_platform(variants)
    compared = sum(compare_cores(group, ledger) for group in groups)
    for path in checks.core_paths:
        found = sum(compare_path(path, group, ledger) for group in groups)
        compared += found
        if variants and not found:
            ledger.find(Kind.CORE_MISSING, f"no image has `{path}`", Place(reference=variants[0].place.reference))
    return compared


def _check_layers(image: LoadedImage, reading: Reading, ledger: Ledger) -> None:
    """Compare what layers unpack to, and how they are compressed, with what is said of them."""
    diff_ids: Sequence[Digest | None] = image.config.diff_ids if image.config else ()
    for number, descriptor in enumerate(image.manifest.layers):
        layer = reading.layers.get(descriptor.digest)
        if layer is None:
            continue
        place, diff_id = image.layer_place(number), diff_ids[number] if number < len(diff_ids) else None
        compression = reading.compressions[descriptor.digest]
        if compression != LAYER_COMPRESSION.get(descriptor.media_type, compression):
            message = f"the layer is {compression}, but its type is `{descriptor.media_type}`"
            ledger.find(Kind.MEDIA_TYPE, message, place, also=image.also)
        if diff_id is not None and not diff_id.startswith("sha256:"):
            ledger.remark(f"a diff ID is of another kind than sha256 and was not checked: {diff_id[:20]}...", place)
        elif diff_id is not None and layer.diff_id != diff_id:
            message = f"the layer unpacks to {layer.diff_id}; the config says {diff_id}"
            ledger.find(Kind.DIFF_ID, message, place, also=image.also)


def _variant(use: Use, trees: Sequence[Tree], layers: Mapping[Digest, Layer], checks: Checks) -> Variant:
    digests = [layer.digest for layer in use.image.manifest.layers]
    files: tuple[CoreFile, ...] | None = None
    copied: Mapping[str, Content] = {}
    if use.late_copies is None:
        copied = _copied(use.image, layers)
    else:
        files = tuple(
            file
            for copy in use.late_copies
            for file in core_files(copy, layers[digests[copy.layer]].entries, trees[copy.layer])
        )
    asked = {path: files_at(trees[-1], path) for path in checks.core_paths}
    return Variant(place=use.place, core_files=files, copied=copied, asked=asked)


def _copied(image: LoadedImage, layers: Mapping[Digest, Layer]) -> Mapping[str, Content]:
    """Return the files of the layers that some COPY or ADD made, as far as the history tells."""
    makers = image.config.makers() if image.config else ()
    pairs = zip(image.manifest.layers, makers, strict=False)
    made = [layers[layer.digest] for layer, maker in pairs if maker.startswith(_COPIES)]
    return {path: content for layer in made for path, content in contents(layer.entries).items()}
