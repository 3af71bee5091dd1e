"""[io] Proofs: is a base that was built without its late copies, with them assembled in, what BuildKit builds?

docs/adr has what a proof looks at, and what it can not show.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from msgspec import Struct

from buildonce.assemble.brought import Brought
from buildonce.assemble.compare import Difference, tree_differences
from buildonce.assemble.decoys import MARK
from buildonce.assemble.entries import Entry, NotExpressible
from buildonce.assemble.tree import Tree, apply_layers
from buildonce.errors import EngineFailed
from buildonce.events import Activity
from buildonce.plan.nodes import BaseNode, ImageNode
from buildonce.plan.plain_commands import depend_on_names_alone
from buildonce.plan.tails import named_word
from buildonce.run.base_records import Proof, ReadyBase, base_name, base_stack, find_disproof
from buildonce.run.built import read_built
from buildonce.run.cores import CoreMaker, ReadyCore
from buildonce.run.jobs import Derived, derive_base, derive_proof
from buildonce.run.late_layers import LateLayers
from buildonce.run.layers import stack_layers
from buildonce.run.outcome import ProofOutcome
from buildonce.run.scripts import Scripts
from buildonce.run.workshop import Order, Workshop
from buildonce.tasks import together

_Layers = tuple[tuple[Entry, ...], ...]
_KEPT = 32
"""How many proofs of one base are kept: branches of a project can bring different files to the same base."""


class _Case(Struct, frozen=True, kw_only=True):
    """What is to be proven: that ``base``, with what the copies of ``image`` bring, is what a faithful build gives."""

    base: ReadyBase
    image: ImageNode
    brought: Brought
    contexts: Mapping[str, str]


class Prover:
    """Compares assembled bases with faithful builds, entry by entry."""

    def __init__(self, shop: Workshop, cores: CoreMaker, late: LateLayers) -> None:
        self._shop = shop
        self._cores = cores
        self._late = late

    async def prove(self, base: ReadyBase) -> tuple[Proof, ...]:
        """Return the base's proofs: those that it has, and new ones for what the plan's images bring and none covers.

        With `Workshop.reprove` all are made anew. One that says no is the last.
        """
        proofs: dict[str, Proof] = {}
        if not self._shop.reprove:
            proofs = {proof.shape: proof for proof in base.proofs}
        for image in self._shop.plan.users_of(base.node.key):
            if find_disproof(proofs.values()) is None:
                for proof in await self._prove(base, image, proofs):
                    proofs[proof.shape] = proof
        return tuple(proofs.values())[-_KEPT:]

    async def build_faithfully(self, node: BaseNode) -> None:
        """Build the base with its late copies in their places; raise `EngineFailed` if not even that can be built."""
        image = self._shop.plan.users_of(node.key)[0]
        contexts = await self._cores.named_contexts(self._shop.graphs[(node.file, node.platform)], image.cores)
        await self._build_with(node, image, contexts)

    def proof(self, node: BaseNode, *, reason: str = "", shape: str = "") -> Proof:
        """Return a proof that was made just now, and is told as a part of the run's outcome; ``reason`` is why not."""
        equal = not reason
        self._shop.proofs.append(ProofOutcome(base=node.name, platform=node.platform, equal=equal, reason=reason))
        return Proof(equal=equal, reason=reason, shape=shape, day=datetime.now(UTC).date().isoformat())

    async def _prove(self, base: ReadyBase, image: ImageNode, known: Mapping[str, Proof]) -> tuple[Proof, ...]:
        """Return the proof for what an image brings; none if there is one."""
        cores = await self._ready_cores(image)
        try:
            brought = await self._late.brought(image, base, cores)
        except NotExpressible as error:
            base.proved = True
            return (self.proof(base.node, reason=error.message),)
        is_plain, shape = _shape(image, brought)
        if shape in known:
            return ()
        why = f"nothing proves that it is the same with what `{image}` brings, and it is built for comparison"
        self._shop.permit.check_base(base.node, why)
        base.proved = True
        graph = self._shop.graphs[(base.node.file, base.node.platform)]
        contexts = await self._cores.named_contexts(graph, image.cores)
        case = _Case(base=base, image=image, brought=brought, contexts=contexts)
        reason = _telling(case) or await self._script_naming(case) or await self._compare(case)
        if not reason and not is_plain:
            reason = await self._compare_decoys(case)
        return (self.proof(base.node, reason=reason, shape=shape),)

    async def is_proven(self, base: ReadyBase, image: ImageNode) -> bool:
        """Say whether a proof that the base has is about what an image brings. Raises as `LateLayers.brought` does."""
        brought = await self._late.brought(image, base, await self._ready_cores(image))
        return _shape(image, brought)[1] in {proof.shape for proof in base.proofs}

    async def _ready_cores(self, image: ImageNode) -> Mapping[int, ReadyCore]:
        ready = await together(self._cores.get(key) for key in image.cores.values())
        return dict(zip(image.cores, ready, strict=True))

    async def _script_naming(self, case: _Case) -> str:
        """Return which script of the project names what is copied; nothing if none of those that are run does."""
        scripts = Scripts(base=case.base, reader=self._shop.layers)
        tail = [step.step for step in case.image.tail]
        programs = case.brought.programs(folder for step in tail for folder in step.env.get("PATH", "").split(":"))
        found = await scripts.naming(tail, case.brought.files(), programs)
        return f"its RUN runs `{found.script}`, which names `{found.word}`" if found else ""

    async def _compare(self, case: _Case) -> str:
        """Compare a faithful build with what would be assembled; return why they are not equal, nothing if they are."""
        different, differs_anyway = await self._differences(case)
        if not different:
            return ""
        if differs_anyway:
            return (
                f"its RUN never gives the same twice ({different.path}: {different.what}), "
                "so nothing shows that it does not depend on the copied files"
            )
        return f"leaving out the late copies changes the result: {different}"

    async def _compare_decoys(self, case: _Case) -> str:
        """Do the same with other contents in all that is copied: only what does not depend on them may be assembled."""
        node, image = case.base.node, case.image
        graph = self._shop.graphs[(node.file, node.platform)]
        decoys, contexts = await self._cores.decoys(graph, image.cores)
        brought = await self._late.brought(image, case.base, decoys)
        decoy = _Case(base=case.base, image=image, brought=brought, contexts=contexts)
        try:
            different, differs_anyway = await self._twice(decoy)
        except EngineFailed as error:
            return f"with other contents in the copied files the build fails ({last_error(error)})"
        if not different:
            return ""
        if MARK in different.path:
            return f"its RUN runs the copied program `{different.path.rpartition(MARK)[2]}`"
        if differs_anyway:
            return f"its RUN never gives the same twice ({different.path}: {different.what})"
        return f"its RUN reads the copied files: with other contents in them, {different}"

    async def _twice(self, case: _Case) -> tuple[Difference | None, bool]:
        """Return what `_differences` does; a build that fails once, as downloads do, is tried again."""
        try:
            return await self._differences(case)
        except EngineFailed:
            return await self._differences(case)

    async def _differences(self, case: _Case) -> tuple[Difference | None, bool]:
        """Return a difference between a faithful build and what would be assembled, and whether it says nothing.

        What differs between two builds without the copies as well depends on when they ran. Then both are built again,
        at about the same time: if they are equal now, it was the time alone.
        """
        base = case.base
        layers = await self._layers(base)
        again = f".buildonce-again-{secrets.token_hex(8)}"
        # What an engine has of earlier builds may stand on another state of what comes before the copies, as after a
        # build without its cache. What counts is made now, on what the base was made on.
        attempts = (again,) if self._shop.anew.covers(base_name(base.node)) else ("", again)
        found: tuple[Difference, ...] = ()
        for one in attempts:
            found = await self._against(case, layers, one)
            if not found:
                return None, False
        fresh = await self._build_without(base.node, again)
        drift = await asyncio.to_thread(tree_differences, apply_layers(layers), apply_layers(fresh))
        changing = {one.path for one in drift}
        if changing:
            first, second = [await self._build_with(base.node, case.image, case.contexts, one) for one in ("", again)]
            changing |= {one.path for one in await asyncio.to_thread(tree_differences, first, second)}
        telling = _first(found, changing)
        if telling is not None:
            return telling, False
        still = await self._against(case, fresh, again)
        telling = _first(still, changing)
        return (telling, False) if telling else (next(iter(still), None), True)

    async def _against(self, case: _Case, base: _Layers, again: str) -> tuple[Difference, ...]:
        faithful = await self._build_with(case.base.node, case.image, case.contexts, again)
        return await asyncio.to_thread(lambda: tree_differences(faithful, case.brought.onto(base)))

    async def _layers(self, base: ReadyBase) -> _Layers:
        return tuple(layer.entries for layer in await self._shop.layers.read(base_stack(base)))

    async def _build_with(self, node: BaseNode, image: ImageNode, contexts: Mapping[str, str], again: str = "") -> Tree:
        graph = self._shop.graphs[(node.file, node.platform)]
        reason = "nothing proves yet that its RUN does not depend on the copied files"
        derived = derive_proof(graph, node, image.cores, again=again)
        return apply_layers(await self._build(node, derived, reason, contexts))

    async def _build_without(self, node: BaseNode, again: str) -> _Layers:
        graph = self._shop.graphs[(node.file, node.platform)]
        reason = "to see what differs between two builds of the same"
        return await self._build(node, derive_base(graph, node, again=again), reason, {})

    async def _build(self, node: BaseNode, derived: Derived, reason: str, contexts: Mapping[str, str]) -> _Layers:
        """Have the engine build a derived Dockerfile of the base, and return its layers."""
        built = await self._shop.build(
            Order(
                derived=derived,
                activity=Activity.PROVE,
                node=str(node),
                file=node.file,
                stage=node.stage,
                platform=node.platform,
                reason=reason,
                contexts=contexts,
                files=self._shop.plan.files_of(node),
            )
        )
        source, manifest = await read_built(built)
        config = await self._shop.small_blob(source, manifest.config)
        stack = stack_layers(source, manifest.layers, config)
        layers = tuple(layer.entries for layer in await self._shop.layers.read(stack))
        await asyncio.to_thread(shutil.rmtree, built.layout, ignore_errors=True)  # it may be as large as the base
        return layers


def last_error(error: EngineFailed) -> str:
    """Return the line of an engine's output that says what failed."""
    last = next(
        (line.strip() for line in reversed(error.lines) if "ERROR" in line or line.startswith("Error: ")), error.message
    )
    return last[:200]


def _shape(image: ImageNode, brought: Brought) -> tuple[bool, str]:
    """Return whether the names alone of what is brought count for what follows it, and its shape accordingly."""
    is_plain = depend_on_names_alone([step.step for step in image.tail], brought.files())
    return is_plain, brought.shape(with_sizes=not is_plain)


def _first(differences: Iterable[Difference], changing: frozenset[str] | set[str]) -> Difference | None:
    """Return the first difference at a path that does not change anyway."""
    return next((one for one in differences if one.path not in changing), None)


def _telling(case: _Case) -> str:
    """Return why no comparison can show anything, by the names that the copies really bring; nothing if one can."""
    if accounts := sorted(case.brought.files() & {"/etc/passwd", "/etc/group"}):
        return f"the copies bring `{accounts[0]}`, which decides what names of users mean after them"
    for copy, (_, entries) in zip(case.image.hoisted, case.brought.layers, strict=True):
        paths = frozenset(f"/{entry.path}" for entry in entries if not entry.is_directory)
        for step in case.image.tail:
            if step.history > copy.history and (word := named_word(step.step, paths)):
                return f"line {step.span.start} names `{word}`, which line {copy.span.start} copies"
    return ""
