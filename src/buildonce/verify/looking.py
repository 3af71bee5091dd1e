"""What can be seen only in the layers of a release: what they unpack to, which files are where, and what runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from buildonce.assemble.archive import Layer
from buildonce.assemble.entries import NotExpressible
from buildonce.assemble.limits import TooLarge
from buildonce.assemble.tree import Tree
from buildonce.oci import Digest, Platform
from buildonce.verify.comparing import Variant, by_platform, compare_cores, compare_path, files_at
from buildonce.verify.cores import Content, CoreFile, contents, core_files
from buildonce.verify.findings import Kind, Place
from buildonce.verify.fitting import Fitted, check_fit, report_fit
from buildonce.verify.images import LAYER_COMPRESSION, LoadedImage, Use, is_elsewhere
from buildonce.verify.layers import Reading
from buildonce.verify.ledger import Ledger
from buildonce.verify.trees import Clash, walk_trees

_COPIES = ("COPY ", "/bin/sh -c #(nop) COPY ")
"""How a history calls what may have brought a core. An ADD brings base images."""


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


class Seen(Struct, frozen=True, kw_only=True):
    """How many files were compared between variants, and of how many images the programs were checked."""

    compared: int = 0
    fitted: int = 0


def look_into(uses: Sequence[Use], checks: Checks, reading: Reading, ledger: Ledger) -> Seen:
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
            _report_clash(same[0].image, trees, ledger)
        else:
            variants += [_variant(use, trees, layers, checks) for use in same]
            fitted += _fitted(same, trees[-1], layers, checks)
    order = {use.reference: number for number, use in enumerate(uses)}
    report_fit(sorted(fitted, key=lambda one: one.place.rank(order)), ledger)
    variants.sort(key=lambda one: one.place.rank(order))
    return Seen(compared=_compare(variants, checks, ledger), fitted=len(fitted))


def _report_clash(image: LoadedImage, clash: Clash, ledger: Ledger) -> None:
    place, message = image.layer_place(clash.number), clash.reason.message
    if isinstance(clash.reason, NotExpressible) and not isinstance(clash.reason, TooLarge):
        ledger.remark(f"not every engine unpacks this in the same way: {message}", place)
    else:
        kind = Kind.TOO_MUCH if isinstance(clash.reason, TooLarge) else Kind.LAYERS_CLASH
        ledger.find(kind, message, place, also=image.also)


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
