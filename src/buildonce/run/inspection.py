"""[io] What of a plan is there already: nodes looked up in the cache, nothing made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from buildonce.plan.nodes import BaseNode, BaseOrigin, CoreNode, ImageNode, Plan
from buildonce.plan.recipes import Key
from buildonce.plan.sources import Home
from buildonce.plan.verdicts import VerdictKind
from buildonce.run.anew import Anew, absence
from buildonce.run.base_records import base_details, base_name
from buildonce.run.core_results import core_details, core_name
from buildonce.run.image_results import image_name, recipe_with
from buildonce.store.protocol import Source
from buildonce.store.results import Result, ResultName, find_result
from buildonce.tasks import together

_NOTHING = Anew()


class Action(Enum):
    """What a run would do for a node."""

    REUSE = "reuse"
    COMPILE = "compile"
    BUILD = "build"
    READ = "read"
    ASSEMBLE = "assemble"


class Finding(Struct, frozen=True, kw_only=True):
    """What would be done for a node, and why.

    ``proof`` says that a faithful build would be made for comparison; ``proven`` what an earlier one of a base showed;
    ``result`` is what the cache has of it.
    """

    action: Action
    reason: str
    seconds: float | None = None
    proof: bool = False
    proven: bool | None = None
    result: Result | None = None


class Inspection(Struct, frozen=True, kw_only=True):
    """A plan held against a cache. Images that depend on what is not there yet say so.

    ``linked`` are the images of other targets that something is built on now, but for those that are shipped; what
    only the rest of them needs is left out.
    """

    plan: Plan
    cache: str
    cores: Mapping[Key, Finding]
    bases: Mapping[Key, Finding]
    images: tuple[tuple[ImageNode, Finding], ...]
    linked: tuple[tuple[ImageNode, Finding], ...] = ()

    @property
    def engine_runs(self) -> int:
        """How often an engine would run."""
        images = (finding for _, finding in (*self.linked, *self.images))
        found = (*self.cores.values(), *self.bases.values(), *images)
        return sum(one.action in (Action.COMPILE, Action.BUILD) for one in found) + sum(one.proof for one in found)


async def inspect_plan(plan: Plan, cache: Source, *, reprove: bool = False, anew: Anew = _NOTHING) -> Inspection:
    """Return what a run of ``plan`` would do, from what ``cache`` holds.

    With ``reprove`` no proof is believed; what is in ``anew`` counts as if it were not there.
    """

    async def find(name: ResultName) -> Result | None:
        return None if anew.covers(name) else await find_result(cache, name)

    def why(name: ResultName) -> str:
        return absence(anew, name, cache.name)

    cores = dict(zip(plan.cores, await together(find(core_name(n)) for n in plan.cores.values()), strict=True))
    bases = dict(zip(plan.bases, await together(find(base_name(n)) for n in plan.bases.values()), strict=True))
    nodes = (*plan.linked, *plan.images)
    images = await together(_inspect_image(node, cores, bases, find, reprove=reprove) for node in nodes)
    inspection = Inspection(
        plan=plan,
        cache=cache.name,
        cores={
            key: _core_finding(plan.cores[key], found, why(core_name(plan.cores[key]))) for key, found in cores.items()
        },
        bases={
            key: _base_finding(plan.bases[key], found, why(base_name(plan.bases[key])), reprove=reprove)
            for key, found in bases.items()
        },
        images=tuple(zip(plan.images, images[len(plan.linked) :], strict=True)),
        linked=tuple(zip(plan.linked, images, strict=False)),
    )
    return _without_unneeded(inspection) if plan.linked else inspection


def _without_unneeded(inspection: Inspection) -> Inspection:
    """Return what is left without the images of targets on which nothing is built now, and what only they need."""
    plan, waiting, needed = inspection.plan, list(inspection.images), list[tuple[ImageNode, Finding]]()
    linked = {node.home: (node, finding) for node, finding in inspection.linked}
    while waiting:
        needed.append(waiting.pop())
        homes = _homes_of(*needed[-1], inspection)
        waiting += [found for home in homes if (found := linked.pop(home, None))]
    cores = {key for node, _ in needed for key in _with_needs(node, plan)}
    bases = {node.base for node, _ in needed}
    return replace(
        inspection,
        cores={key: finding for key, finding in inspection.cores.items() if key in cores},
        bases={key: finding for key, finding in inspection.bases.items() if key in bases},
        linked=tuple(one for one in inspection.linked if one[0].home not in linked and one[0] not in plan.images),
    )


def _homes_of(node: ImageNode, finding: Finding, inspection: Inspection) -> Iterator[Home]:
    """Yield the targets on whose images something is built now that an image needs."""
    plan = inspection.plan
    made = [(plan.cores[key].built_on, inspection.cores[key]) for key in _with_needs(node, plan)]
    made += [(plan.bases[key].built_on, found) for key, found in inspection.bases.items() if key == node.base]
    for home, found in (*made, (node.built_on, finding)):
        if home and (found.action in (Action.COMPILE, Action.BUILD) or found.proof):
            yield home


def _with_needs(node: ImageNode, plan: Plan) -> frozenset[Key]:
    """Return the cores of an image, and those that these need."""
    found: set[Key] = set()
    waiting = list(node.cores.values())
    while waiting:
        if (key := waiting.pop()) not in found:
            found.add(key)
            waiting += plan.cores[key].needs.values()
    return frozenset(found)


def _core_finding(node: CoreNode, found: Result | None, absence: str) -> Finding:
    if found is None and node.given:
        return Finding(action=Action.READ, reason="its files are given")
    if found is None:
        return Finding(action=Action.COMPILE, reason=absence)
    return Finding(
        action=Action.REUSE,
        reason="nothing that it depends on has changed",
        seconds=found.record.seconds,
        result=found,
    )


def _base_finding(node: BaseNode, found: Result | None, absence: str, *, reprove: bool) -> Finding:
    if found is not None:
        return _found_base(node, found, reprove=reprove)
    if node.origin is BaseOrigin.SCRATCH:
        return Finding(action=Action.READ, reason="it is empty")
    if node.origin is BaseOrigin.IMAGE:
        return Finding(action=Action.READ, reason="it is an image as it is; its files are looked at once")
    return Finding(action=Action.BUILD, reason=absence, proof=node.needs_proof)


def _found_base(node: BaseNode, found: Result, *, reprove: bool) -> Finding:
    details = base_details(found)
    proof = details.disproof or next(reversed(details.proofs), None)
    reason = "nothing that it depends on has changed"
    if proof is not None:
        reason = f"proven equal on {proof.day}" if proof.equal else f"disproven on {proof.day}: {proof.reason}"
    is_missing = reprove and not details.holds_base and node.needs_proof
    return Finding(
        action=Action.BUILD if is_missing else Action.REUSE,
        reason=reason,
        seconds=found.record.seconds,
        proof=reprove and node.needs_proof,
        proven=None if proof is None else proof.equal,
        result=found,
    )


async def _inspect_image(
    node: ImageNode,
    cores: Mapping[Key, Result | None],
    bases: Mapping[Key, Result | None],
    find: Callable[[ResultName], Awaitable[Result | None]],
    *,
    reprove: bool,
) -> Finding:
    reason = _engine_reason(node, bases, reprove=reprove)
    if reason is None:
        return Finding(action=Action.ASSEMBLE, reason=_why_assembled(node, bases))
    found = [cores[key] for _, key in sorted(node.cores.items())]
    results = [core for core in found if core is not None]
    if len(results) < len(found):
        return Finding(action=Action.BUILD, reason=f"{reason}; its core is not there yet")
    contents = tuple(core_details(core).content for core in results)
    image = await find(image_name(node, recipe_with(node, contents)))
    if image is None:
        return Finding(action=Action.BUILD, reason=reason)
    return Finding(action=Action.REUSE, reason=f"built before; {reason}", seconds=image.record.seconds, result=image)


def _engine_reason(node: ImageNode, bases: Mapping[Key, Result | None], *, reprove: bool) -> str | None:
    """Return why an engine builds this image; None if it is assembled, as far as the next proof does not forbid it."""
    if node.verdict.kind is VerdictKind.ENGINE:
        return node.verdict.reason
    base = None if reprove else bases.get(node.base)
    proof = base_details(base).disproof if base is not None else None
    return f"disproven on {proof.day}: {proof.reason}" if proof is not None else None


def _why_assembled(node: ImageNode, bases: Mapping[Key, Result | None]) -> str:
    base = bases.get(node.base)
    days = [proof.day for proof in base_details(base).proofs if proof.equal] if base is not None else []
    return f"{node.verdict.reason}; proven equal on {days[-1]}" if days else node.verdict.reason
