"""The jobs of a plan: what is compiled, which bases are made together, and what each of them also finishes. Pure.

A core is compiled by one job alone. Whatever can follow from that one compile rides along, where it is short: the
machine has everything warm. The rest is grouped, so that groups take about equally long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from buildonce.ci.groups import Work, group_work
from buildonce.errors import UsageError
from buildonce.plan.nodes import BaseNode, BaseOrigin, CoreNode, ImageNode, Plan
from buildonce.plan.recipes import Key, Recipe, key_of
from buildonce.plan.verdicts import VerdictKind
from buildonce.run.deciding import Decision
from buildonce.run.inspection import Action, Finding
from buildonce.run.plan_file import Job, JobName

MOST = 256
"""How many jobs one matrix of GitHub's may have (docs.github.com, usage limits)."""

WORTHWHILE = 120.0
"""Seconds of work that are worth a machine of their own: one takes about half a minute to be there."""

_UNKNOWN = 30.0
"""Seconds that something is taken to need of which nothing is known."""

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_NOT_IN_TITLES = re.compile(r"[^A-Za-z0-9 ._/:+,()-]+")
_LONGEST_TITLE = 90
_SHOWN = 3


class _Item(Struct, frozen=True, kw_only=True):
    """What one bases job does as a whole: a base, with its images, or an image of an engine's."""

    name: str
    platform: str
    seconds: float
    family: str
    base: Key | None = None
    images: tuple[str, ...] = ()


@dataclass(slots=True)
class _Compile:
    """A compile job in the making: cores that need each other, and what rides along."""

    cores: list[Key]
    bases: dict[Key, None] = field(default_factory=dict)
    images: dict[str, None] = field(default_factory=dict)


def make_jobs(decision: Decision) -> tuple[Job, ...]:
    """Return the jobs that have something to do, compile jobs first; at most 256 of each kind.

    Raises `UsageError` where something is built on the image of another target, which no job hands over to another.
    """
    _refuse_links(decision)
    return _Maker(decision).jobs()


def _refuse_links(decision: Decision) -> None:
    plan, inspection = decision.planned.plan, decision.inspection
    nodes: list[tuple[CoreNode | BaseNode | ImageNode, Finding]] = [
        *((plan.cores[key], finding) for key, finding in inspection.cores.items()),
        *((plan.bases[key], finding) for key, finding in inspection.bases.items()),
        *inspection.images,
    ]
    for node, finding in nodes:
        if node.built_on and (finding.action in (Action.COMPILE, Action.BUILD) or finding.proof):
            raise UsageError(
                f"`{node}` is built on `{plan.find_linked(node.built_on)}`, the image of another target, "
                "which no job hands over to another one yet",
                help="`buildonce build` makes all of it on one machine; "
                "what is only copied from other targets needs no handing over",
            )


class _Maker:
    def __init__(self, decision: Decision) -> None:
        self._decision = decision
        self._plan: Plan = decision.planned.plan
        self._inspection = decision.inspection
        self._compiles = _components(self._plan, self._inspection.cores)
        self._of_core = {key: number for number, one in enumerate(self._compiles) for key in one.cores}
        self._usual = _median(decision.seconds.values()) or _UNKNOWN

    def jobs(self) -> tuple[Job, ...]:
        items = self._items()
        compiles = [self._compile_job(group) for group in self._compile_groups()]
        bases = [self._bases_job(*group) for group in _grouped(items)]
        return tuple(_with_names((*compiles, *bases)))

    # What there is to do besides compiling.

    def _items(self) -> list[_Item]:
        items = []
        for key in self._inspection.bases:
            users = tuple(one for one in self._plan.users_of(key) if one in self._plan.images)
            if (item := self._base_item(key, users)) is not None:
                items.append(item)
        engine = [(node, finding) for node, finding in self._inspection.images if self._is_engines(node, finding)]
        items += [self._image_item(node) for node, finding in engine if finding.action is Action.BUILD]
        return self._without_riders(items)

    def _is_engines(self, node: ImageNode, finding: Finding) -> bool:
        return node.verdict.kind is VerdictKind.ENGINE or finding.action is not Action.ASSEMBLE

    def _base_item(self, key: Key, users: Sequence[ImageNode]) -> _Item | None:
        """Return what is to do for a base and what is assembled on it; None if nothing is, or it rides along."""
        node, finding = self._plan.bases[key], self._inspection.bases[key]
        assembled = tuple(str(one) for one, found in self._inspection.images if one in users and _assembles(found))
        images = tuple(str(one) for one in users)
        soft = finding.result is None and node.origin is BaseOrigin.SCRATCH
        is_there = (finding.result is not None and key not in self._decision.unready) or soft
        cells = {self._of_core[core] for one in users for core in one.cores.values() if core in self._of_core}
        if is_there and not assembled:
            return None  # disproven: its images are an engine's
        if is_there and not cells and not soft:
            images = tuple(name for name in assembled if name in self._decision.unfinished)
            images = assembled if any(self._takes_unread(one) for one in users) else images
            if not images:
                return None
        if is_there and len(cells) == 1 and (not node.needs_proof or self._is_near(node, cells)):
            compile_ = self._compiles[next(iter(cells))]
            compile_.bases[key] = None
            compile_.images |= dict.fromkeys(assembled)
            return None
        seconds = self._seconds(key) * (2 if finding.proof else 1)
        if node.origin is not BaseOrigin.ENGINE:
            seconds = 1.0
        return _Item(
            name=node.name,
            platform=str(node.platform),
            seconds=seconds,
            family=_family(node.recipe),
            base=key,
            images=images,
        )

    def _takes_unread(self, node: ImageNode) -> bool:
        """Say whether an image takes a core that is given and not in the cache yet."""
        cores = (self._inspection.cores[key] for key in node.cores.values())
        return any(core.result is None and core.action is Action.READ for core in cores)

    def _is_near(self, node: BaseNode, cells: Iterable[int]) -> bool:
        """Say whether the machine that compiles is of a base's platform: an engine may have to prove the base there."""
        return all(self._platform(self._compiles[cell]) == str(node.platform) for cell in cells)

    def _image_item(self, node: ImageNode) -> _Item:
        return _Item(
            name=node.variant,
            platform=str(node.platform),
            seconds=self._seconds(str(node)),
            family=_family(node.recipe),
            images=(str(node),),
        )

    def _without_riders(self, items: list[_Item]) -> list[_Item]:
        """Return the items without short images of an engine's that wait for one compile alone: they ride along."""
        nodes = {str(node): node for node in self._plan.images}
        riders: dict[int, list[_Item]] = {}
        for item in items:
            if item.base is None:
                node = nodes[item.images[0]]
                cells = {self._of_core[core] for core in node.cores.values() if core in self._of_core}
                platforms = {str(self._plan.cores[core].platform) for core in node.cores.values()}
                if len(cells) == 1 and platforms == {item.platform}:
                    riders.setdefault(cells.pop(), []).append(item)
        gone = set()
        for number, found in riders.items():
            if sum(item.seconds for item in found) <= WORTHWHILE:
                self._compiles[number].images |= {image: None for item in found for image in item.images}
                gone |= {id(item) for item in found}
        return [item for item in items if id(item) not in gone]

    # Jobs.

    def _compile_groups(self) -> list[_Compile]:
        """Return the compile jobs: one for each, unless that would be more than a matrix may have."""
        if len(self._compiles) <= MOST:
            return self._compiles
        by_platform: dict[str, list[_Compile]] = {}
        for one in self._compiles:
            by_platform.setdefault(self._platform(one), []).append(one)
        groups = []
        for found in by_platform.values():
            share = max(1, MOST * len(found) // len(self._compiles))
            work = [Work(name=f"{number:06}", seconds=self._compile_seconds(one)) for number, one in enumerate(found)]
            packed = group_work(work, at_most=share, worthwhile=0)
            groups += [_joined([found[int(one.name)] for one in group]) for group in packed]
        return groups

    def _compile_job(self, one: _Compile) -> Job:
        cores = [self._plan.cores[key] for key in one.cores]
        names = _listed(core.name for core in cores)
        platform = self._platform(one)
        targets = sorted({str(core.target) for core in cores} - {platform})
        cross = f" for {_listed(targets)}" if targets else ""
        return Job(
            name=JobName(f"compile {cores[-1].name} {platform}"),
            kind="compile",
            title=f"compile {names} {platform}{cross}",
            platform=platform,
            cores=tuple(one.cores),
            bases=tuple(one.bases),
            images=tuple(one.images),
            seconds=self._compile_seconds(one),
        )

    def _bases_job(self, platform: str, number: int, count: int, items: Sequence[_Item]) -> Job:
        part = f" {number}/{count}" if count > 1 else ""
        return Job(
            name=JobName(f"bases {platform} {number}"),
            kind="bases",
            title=f"bases {platform}{part}: {_listed(item.name for item in items)}",
            platform=platform,
            bases=tuple(item.base for item in items if item.base is not None),
            images=tuple(dict.fromkeys(image for item in items for image in item.images)),
            seconds=sum(item.seconds for item in items),
        )

    def _platform(self, one: _Compile) -> str:
        """Return the platform of the machine that compiles: that of the last core's stage, which needs the others."""
        return str(self._plan.cores[one.cores[-1]].platform)

    def _compile_seconds(self, one: _Compile) -> float:
        return sum(self._seconds(key) for key in one.cores)

    def _seconds(self, name: str) -> float:
        return self._decision.seconds.get(name, self._usual)


def _assembles(finding: Finding) -> bool:
    return finding.action is Action.ASSEMBLE


def _components(plan: Plan, findings: Mapping[Key, Finding]) -> list[_Compile]:
    """Return the missing cores, those that need each other together, in an order in which needed ones come first."""
    missing = [key for key, one in findings.items() if one.action is Action.COMPILE]
    found: dict[Key, list[Key]] = {}
    for key in missing:
        needed = [found[one] for one in plan.cores[key].needs.values() if one in found]
        merged = [*dict.fromkeys(one for group in needed for one in group), key]
        for one in merged:
            found[one] = merged
    return [_Compile(cores=list(cores)) for cores in {id(group): group for group in found.values()}.values()]


def _joined(found: Sequence[_Compile]) -> _Compile:
    joined = _Compile(cores=[key for one in found for key in one.cores])
    for one in found:
        joined.bases |= one.bases
        joined.images |= one.images
    return joined


def _grouped(items: Iterable[_Item]) -> list[tuple[str, int, int, list[_Item]]]:
    """Return groups of items: the platform, the group's number and how many there are for it, and the items."""
    by_platform: dict[str, list[_Item]] = {}
    for item in items:
        by_platform.setdefault(item.platform, []).append(item)
    total = sum(map(len, by_platform.values()))
    found = []
    for platform, own in sorted(by_platform.items()):
        share = max(1, MOST * len(own) // total)
        work = [Work(name=f"{number:06}", seconds=item.seconds, family=item.family) for number, item in enumerate(own)]
        groups = group_work(work, at_most=share, worthwhile=WORTHWHILE)
        for number, group in enumerate(groups, 1):
            found.append((platform, number, len(groups), [own[int(one.name)] for one in group]))
    return found


def _family(recipe: Recipe) -> str:
    """Return what stands for the stages that an engine builds once: where a chain starts from, and its first step."""
    first = replace(recipe, kind="stage", steps=recipe.steps[:1], cores=())
    return f"{recipe.platform} {key_of(first)}"


def _with_names(jobs: Iterable[Job]) -> Iterable[Job]:
    """Yield the jobs with names that are safe everywhere and distinct, and titles that a page can show."""
    taken: set[str] = set()
    for job in jobs:
        stem = _NOT_IN_NAMES.sub("-", job.name.lower()).strip("-")[:80].rstrip("-") or job.kind
        name, number = stem, 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        yield replace(job, name=JobName(name), title=safe_title(job.title))


def safe_title(text: str) -> str:
    """Return a title of letters, digits and harmless signs: a page shows it, and nothing else may come of it."""
    plain = _NOT_IN_TITLES.sub("_", text)
    return plain if len(plain) <= _LONGEST_TITLE else f"{plain[: _LONGEST_TITLE - 3]}..."


def _listed(names: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(names))
    more = f" +{len(distinct) - _SHOWN}" if len(distinct) > _SHOWN else ""
    return ", ".join(distinct[:_SHOWN]) + more


def _median(values: Iterable[float]) -> float | None:
    found = sorted(values)
    return found[len(found) // 2] if found else None
