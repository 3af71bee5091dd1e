"""[io] Whether the files that images are given run in them: read once, judged once, remembered by digest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from buildonce.assemble.entries import Entry
from buildonce.assemble.image import AssembledImage
from buildonce.elf.values import Elf, Runnable
from buildonce.errors import DoesNotFit
from buildonce.fit.findings import Finding, Located, describe, group_findings
from buildonce.fit.twins import Added, same_files
from buildonce.oci import Digest
from buildonce.plan.nodes import ImageNode
from buildonce.run.base_records import ReadyBase
from buildonce.run.bases import BaseMaker
from buildonce.run.cores import CoreMaker, ReadyCore
from buildonce.run.late_layers import LateLayer, layer_key
from buildonce.run.outcome import Checked
from buildonce.run.workshop import Workshop

if TYPE_CHECKING:
    from buildonce.fit.world import Image, LateFile

_FORMAT = 1
_SHOWN = 20
"""How many findings an error lists."""

_Runnables = Mapping[Digest, Runnable]


class Fit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of checking an image; ``elves`` are the digests of the ELF files that assembly adds, by path."""

    checked: Checked
    findings: tuple[Finding, ...] = ()
    elves: Mapping[str, Digest] = {}

    @property
    def is_severe(self) -> bool:
        """Say whether something plainly does not run."""
        return any(finding.severe for finding in self.findings)


class FitChecker:
    """Checks the images of a run, but for those of the variants that are ``skipped``."""

    def __init__(self, shop: Workshop, cores: CoreMaker, bases: BaseMaker, skipped: frozenset[str]) -> None:
        self._shop = shop
        self._cores = cores
        self._bases = bases
        self._skipped = skipped

    async def check_assembled(
        self, node: ImageNode, base: ReadyBase, layers: tuple[LateLayer, ...], made: AssembledImage
    ) -> Fit:
        """Check the files of the layers that assembly adds against the base. What an image is decides all of it."""
        if node.variant in self._skipped:
            return Fit(checked=Checked.OFF)
        key = f"{_FORMAT} {made.manifest_descriptor.digest}"
        known = self._shop.state.recall("fit", key, Fit)
        if known is None:
            known = await self._judge(node, base, layers, made)
            self._shop.state.remember("fit", key, known)
        return known

    async def check_built(self, node: ImageNode, cores: Mapping[int, ReadyCore], image: Digest) -> Fit:
        """Check the machine code of the cores of an image that an engine built; where they are in it is not known."""
        if node.variant in self._skipped:
            return Fit(checked=Checked.OFF)
        key = f"{_FORMAT} {image}"
        known = self._shop.state.recall("fit", key, Fit)
        if known is None:
            known = await self._judge_cores(node, cores)
            self._shop.state.remember("fit", key, known)
        return known

    async def _judge_cores(self, node: ImageNode, cores: Mapping[int, ReadyCore]) -> Fit:
        from buildonce.fit.late_files import late_files
        from buildonce.fit.world import Image

        files: list[LateFile] = []
        for _, core in sorted(cores.items()):
            files += late_files(core.tree.values(), await self._runnables_of_core(core))
        return _fit(Image(platform=node.platform, offer=None, late={}, files=tuple(files)))

    async def _judge(
        self, node: ImageNode, base: ReadyBase, layers: tuple[LateLayer, ...], made: AssembledImage
    ) -> Fit:
        from buildonce.fit.late_files import late_files, named_files, read_settings
        from buildonce.fit.world import Image

        late: dict[str, Entry] = {}
        files: dict[str, LateFile] = {}
        for layer in layers:
            runnables = await self._runnables(layer)
            late |= {entry.path: entry for entry in layer.entries}
            for entry in layer.entries:
                files.pop(entry.path, None)
            named = named_files(layer.copy.sources, layer.copy.destination) if layer.copy else frozenset[str]()
            files |= {file.path: file for file in late_files(layer.entries, runnables, named)}
        if not files:
            return Fit(checked=Checked.NOTHING)
        image = Image(
            platform=node.platform,
            offer=await self._bases.offer(base),
            late=late,
            files=tuple(files.values()),
            settings=read_settings(made.config),
        )
        return _fit(image)

    async def _runnables(self, layer: LateLayer) -> _Runnables:
        async def make() -> _Runnables:
            from buildonce.run.runnables import read_runnables

            return await asyncio.to_thread(read_runnables, await layer.full())

        return await self._remembered(layer.key, make)

    async def _runnables_of_core(self, core: ReadyCore) -> _Runnables:
        async def make() -> _Runnables:
            from buildonce.run.runnables import read_runnables

            return await asyncio.to_thread(read_runnables, (await self._cores.contents(core)).values())

        return await self._remembered(layer_key(tuple(core.tree.values())), make)

    async def _remembered(self, key: str, make: Callable[[], Awaitable[_Runnables]]) -> _Runnables:
        """Return what files can be run or loaded; the same files are read once, in this run and in later ones."""

        async def get() -> _Runnables:
            memo = f"{_FORMAT} {key}"
            known = self._shop.state.recall("runnables", memo, dict[Digest, Runnable])
            if known is None:
                known = dict(await make())
                self._shop.state.remember("runnables", memo, known)
            return known

        return await self._shop.once("runnables", key, get)


def load_judge() -> None:
    """Load what a check needs, and a run that changes nothing does not: an engine's work leaves time for it."""
    from buildonce.fit import late_files  # noqa: F401
    from buildonce.fit.judging import judge  # noqa: F401
    from buildonce.run.runnables import read_runnables  # noqa: F401


def require_fit(checked: Iterable[tuple[ImageNode, Fit]]) -> tuple[str, ...]:
    """Return what to warn of; raise `DoesNotFit` if something in one of the images plainly does not run."""
    fits = tuple(checked)
    located = [
        Located(finding=one, variant=node.variant, place=_place(node)) for node, fit in fits for one in fit.findings
    ]
    grouped = group_findings(located)
    severe = [(finding, images) for finding, images in grouped if finding.severe]
    warnings = tuple(f"{describe(one, images)}; {one.cure}" for one, images in grouped if not one.severe)
    if not severe:
        return (*warnings, *_same_files(fits))
    (first, images), *others = severe
    listed = dict.fromkeys(one.variant for one in located if one.finding.severe)
    raise DoesNotFit(
        describe(first, images),
        notes=(
            *(f"{describe(one, where)}; {one.cure}" for one, where in others[:_SHOWN]),
            *((f"and {len(others) - _SHOWN} more",) if len(others) > _SHOWN else ()),
            "no tag was moved",
        ),
        help=f"{first.cure}; if you know better: --no-fit-check {','.join(listed)}",
    )


def _fit(image: Image) -> Fit:
    from buildonce.fit.judging import judge

    elves = {f"/{one.path}": one.digest for one in image.files if isinstance(one.runnable, Elf)}
    if not image.files:
        return Fit(checked=Checked.NOTHING)
    checked = Checked.MACHINE if image.offer is None else Checked.FITS
    return Fit(checked=checked, findings=judge(image), elves=elves)


def _place(node: ImageNode) -> str:
    return f"{node.platform}, on {node.external.reference}" if node.external else str(node.platform)


def _same_files(fits: tuple[tuple[ImageNode, Fit], ...]) -> Iterator[str]:
    """Yield a warning for each ELF file that images of one variant have in the same place for two platforms."""
    added = (Added(variant=node.variant, platform=node.platform, elves=fit.elves) for node, fit in fits)
    for path, platforms, variants in same_files(added):
        names = ", ".join(f"`{variant}`" for variant in variants)
        yield f"`{path}` is the same file for {platforms}, in {names}: was it compiled for both?"
