"""Whether the files of cores run in the images that have them, as far as the images themselves tell. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from buildonce.assemble.archive import Layer
from buildonce.assemble.entries import Entry
from buildonce.assemble.tree import Tree
from buildonce.elf.values import Elf
from buildonce.fit.findings import Finding as Unfit
from buildonce.fit.judging import judge
from buildonce.fit.late_files import late_files, named_files
from buildonce.fit.offer import gather_offer
from buildonce.fit.twins import Added, same_files
from buildonce.fit.world import Image, LateFile
from buildonce.verify.comparing import files_at
from buildonce.verify.findings import Kind, Place
from buildonce.verify.images import Use
from buildonce.verify.ledger import Ledger


class Fitted(Struct, frozen=True, kw_only=True):
    """What came of judging an image; ``added`` are the files that were judged."""

    place: Place
    unfit: tuple[Unfit, ...]
    added: Added


def check_fit(use: Use, tree: Tree, layers: Sequence[Layer], paths: Iterable[str]) -> Fitted | None:
    """Judge the files of an image's late copies, and those at ``paths``; None if there is nothing to judge.

    ``tree`` is the image's file system. What a layer above a late copy replaced or removed is left out.
    """
    if use.platform is None or use.image.config is None:
        return None
    runnables = {digest: one for layer in layers for digest, one in layer.runnables.items()}
    files: dict[str, LateFile] = {}
    for copy in use.late_copies or ():
        kept = _kept(layers[copy.layer].entries, tree)
        named = named_files(copy.sources, copy.destination)
        files |= {file.path: file for file in late_files(kept, runnables, named)}
    for path in paths:
        asked = [tree[name] for name in files_at(tree, path) if name in tree]
        files |= {file.path: file for file in late_files(asked, runnables, named_files((path,), path))}
    if not files:
        return None
    kept_contents = {digest: content for layer in layers for digest, content in layer.kept.items()}
    image = Image(
        platform=use.platform,
        offer=gather_offer(tree, runnables, kept_contents),
        late={path: tree[path] for path in files},
        files=tuple(files.values()),
        settings=use.image.config.settings,
    )
    elves = {f"/{file.path}": file.digest for file in files.values() if isinstance(file.runnable, Elf)}
    added = Added(variant=use.reference, platform=use.platform, elves=elves)
    return Fitted(place=use.place, unfit=judge(image), added=added)


def _kept(entries: Iterable[Entry], tree: Tree) -> Iterable[Entry]:
    """Return the entries of a layer that are still there in the image, as they are there."""
    for entry in entries:
        last = tree.get(entry.path)
        if last is not None and (entry.hardlink is not None or last.digest == entry.digest):
            yield last


def report_fit(fitted: Sequence[Fitted], ledger: Ledger) -> None:
    """Report what does not run, each file once for all images that have it; remark on what may not matter."""
    hit: dict[tuple[Unfit, str], list[Place]] = {}
    for one in fitted:
        for unfit in one.unfit:
            hit.setdefault((unfit, one.place.platform), []).append(one.place)
    for (unfit, _), places in hit.items():
        place, also = places[0].at("", unfit.path), tuple(places[1:])
        message = f"`{unfit.path}` {unfit.says}; {unfit.has}"
        if unfit.severe:
            ledger.find(Kind.UNFIT, message, place, also=also, cure=unfit.cure)
        else:
            ledger.remark(f"{message}; {unfit.cure}", place)
    for path, platforms, references in same_files(one.added for one in fitted):
        message = f"`{path}` is the same file for {platforms}: was it compiled for both?"
        for reference in references:
            ledger.remark(message, Place(reference=reference, path=path))
