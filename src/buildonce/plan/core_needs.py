"""Which stages become cores, and which of their files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from buildonce.oci import Platform
from buildonce.plan.file_plans import FilePlan
from buildonce.plan.nodes import CoreNode
from buildonce.plan.recipes import Key, Recipe, key_of


@dataclass(slots=True, kw_only=True)
class _Need:
    """A stage that files are taken from: one and the same in however many Dockerfiles and for however many targets."""

    places: list[tuple[FilePlan, int, Platform]] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    with_parents: bool = False

    @property
    def representative(self) -> tuple[FilePlan, int, Platform]:
        return min(self.places, key=lambda place: (place[0].label(place[1]), str(place[2]), place[0].file))


class Cores:
    """The cores of a project, found by the key of their stage."""

    def __init__(self, targets: Iterable[tuple[FilePlan, int, Platform]]) -> None:
        self._needs: dict[Key, _Need] = {}
        self._taken: set[tuple[int, int, Platform]] = set()
        for plan, stage, platform in targets:
            self._take(plan, stage, platform)
        self._split_shared()
        self._nodes: dict[Key, CoreNode] = {}

    def nodes(self, plan: FilePlan, stage: int) -> Mapping[int, CoreNode]:
        """Return the cores that a chain reads, by the index of their stage in this Dockerfile."""
        found = {source: plan.key(source) for source in plan.reads(stage)}
        return {source: self._node(key) for source, key in sorted(found.items()) if key in self._needs}

    def _take(self, plan: FilePlan, stage: int, platform: Platform) -> None:
        if (plan.file, stage, platform) in self._taken:
            return
        self._taken.add((plan.file, stage, platform))
        self._take_base(plan, stage)
        copied = {copy.source for copy in plan.chain(stage).late_copies}
        for source in plan.reads(stage):
            if source in copied or not plan.is_alias(source):
                self._take_one(plan, stage, platform, plan.key(source))

    def _take_base(self, plan: FilePlan, stage: int) -> None:
        """Take what the target reads on whose image a stage is built: it is a target, too, if nobody else wants it."""
        if home := plan.home(plan.root(stage)):
            self._take(*home)

    def _split_shared(self) -> None:
        """Make a core of every stage that several cores read, so that it is built once and not inside each of them.

        And of one that is given or of another target, with all on the way to it: an engine that built it would compile
        what is given, and knows no other targets.
        """
        while True:
            readers: dict[Key, list[tuple[FilePlan, int, Platform]]] = {}
            given: set[Key] = set()
            for need in self._needs.values():
                plan, stage, platform = need.representative
                for source in plan.reads(stage):
                    if plan.is_alias(source) and plan.key(source) not in self._needs:
                        continue
                    readers.setdefault(plan.key(source), []).append((plan, stage, platform))
                    if plan.is_out_of_reach(source):
                        given.add(plan.key(source))
            shared = given | {key for key, found in readers.items() if len(found) > 1 or key in self._needs}
            before = {key: frozenset(need.paths) for key, need in self._needs.items()}
            for key in shared:
                for plan, stage, platform in readers[key]:
                    self._take_one(plan, stage, platform, key)
            if before == {key: frozenset(need.paths) for key, need in self._needs.items()}:
                return

    def _take_one(self, plan: FilePlan, stage: int, platform: Platform, key: Key) -> None:
        for source, paths in plan.reads(stage).items():
            if plan.key(source) == key:
                need = self._needs.setdefault(key, _Need())
                need.places.append(plan.home(source) or (plan, source, platform))
                self._take_base(*need.places[-1][:2])
                need.paths.update(paths)
                need.with_parents |= source in plan.reads_parents(stage)

    def _node(self, stage_key: Key) -> CoreNode:
        if stage_key not in self._nodes:
            self._nodes[stage_key] = self._make(stage_key)
        return self._nodes[stage_key]

    def _make(self, stage_key: Key) -> CoreNode:
        need = self._needs[stage_key]
        plan, stage, target = need.representative
        paths = _without_covered(need.paths)
        platform = plan.platform(stage)
        recipe = Recipe(
            kind="core", platform=str(platform), origin=stage_key, paths=paths, with_parents=need.with_parents
        )
        return CoreNode(
            key=key_of(recipe),
            name=plan.label(stage),
            file=plan.file,
            stage=stage,
            platform=platform,
            target=target,
            paths=paths,
            with_parents=need.with_parents,
            recipe=recipe,
            stage_recipe=plan.recipe(stage),
            needs={source: node.key for source, node in self.nodes(plan, stage).items()},
            epoch=plan.epoch(stage),
            built_on=plan.built_on(stage),
            given=plan.is_given(stage),
            files=tuple(sorted({place[0].file for place in need.places})),
        )


def _without_covered(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths, sorted, without those that lie below another one."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(path.startswith(parent.rstrip("/") + "/") for parent in kept):
            kept.append(path)
    return tuple(kept)
