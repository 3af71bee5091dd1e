"""The graph of a Dockerfile's stages: what each is built on, and whose files it takes.

The rules are those of BuildKit, frontend/dockerfile/dockerfile2llb/convert.go. Some of its names are not those that
one expects: FROM finds only stages above it, and their names in lower case only; ``--from`` ignores case, and of two
stages of one name it takes the last.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeGuard

from msgspec.structs import replace

from buildonce.diagnostics import Diagnostic
from buildonce.dockerfile.graph import (
    ContextSource,
    Dependency,
    ImageSource,
    ResolvedStage,
    ScratchSource,
    Source,
    StageGraph,
    StageSource,
    TargetSource,
    chain,
    check_stage,
    final_stages,
    reachable,
    refuse_circles,
    undefined_stage_diagnostic,
)
from buildonce.dockerfile.parser import parse_dockerfile, parse_trigger
from buildonce.dockerfile.platforms import parse_loose_platform, predefined_args
from buildonce.dockerfile.problems import Fault, SyntaxProblem, diagnose, locate, point, source_lines
from buildonce.dockerfile.syntax import Copy, Dockerfile, From, Onbuild, Place, Run, Span, Stage, TypedInstruction
from buildonce.dockerfile.words import expand
from buildonce.errors import Error
from buildonce.oci import Platform
from buildonce.reference import parse_reference

__all__ = [
    "ContextSource",
    "Dependency",
    "ImageSource",
    "ResolvedStage",
    "ScratchSource",
    "Source",
    "StageGraph",
    "StageSource",
    "TargetSource",
    "chain",
    "check_stage",
    "familiar_context_name",
    "final_stages",
    "reachable",
    "resolve_stages",
    "undefined_stage_diagnostic",
    "used_contexts",
]

_NUMBER = re.compile(r"[+-]?[0-9]+")
_RESERVED = ("scratch", "context")
_NO_TARGETS: Mapping[str, tuple[Platform, ...]] = MappingProxyType({})


def resolve_stages(
    dockerfile: Dockerfile,
    *,
    build_args: Mapping[str, str],
    target_platform: Platform,
    build_platform: Platform,
    named_contexts: Collection[str] | Mapping[str, str] = (),
    targets: Mapping[str, tuple[Platform, ...]] = _NO_TARGETS,
    target: str = "",
) -> StageGraph:
    """Return the graph of the Dockerfile's stages.

    ``named_contexts`` are the names of additional build contexts, which go before stages and images of these names; a
    mapping gives the addresses of those that are images, and nothing for others. ``targets`` are those that are the
    results of targets, each with the platforms that it is built for. ``target`` is what ``$TARGETSTAGE`` says. Raises
    `SyntaxProblem` for what BuildKit refuses whatever the target is; see `check_stage` for what it refuses only where
    it is needed.
    """
    predefined = predefined_args(target_platform, build_platform, build_args, target or dockerfile.stages[-1].name)
    scope = _GlobalScope(dockerfile, build_args, predefined)
    resolver = _Resolver(dockerfile, scope, target_platform, build_platform, named_contexts, targets)
    stages = resolver.resolve()
    graph = StageGraph(
        dockerfile=dockerfile,
        stages=stages,
        global_args=MappingProxyType(scope.values),
        build_args=MappingProxyType(dict(build_args)),
        target_platform=target_platform,
        build_platform=build_platform,
        named_contexts=frozenset(named_contexts),
        has_faults=any(stage.faults for stage in stages),
    )
    refuse_circles(graph)
    return graph


class _GlobalScope:
    """The arguments before the first FROM; ``needs`` says on which others the value of each depends."""

    def __init__(self, dockerfile: Dockerfile, build_args: Mapping[str, str], predefined: Mapping[str, str]) -> None:
        self.values = dict(predefined)
        self.needs: dict[str, frozenset[str]] = {}
        for arg in dockerfile.global_args:
            for name, default in arg.pairs:
                value, used = build_args.get(name), frozenset((name,))
                if value is None and default is not None:
                    value, names = self.expand(dockerfile, arg.span, default)
                    used |= names
                if value is not None:
                    self.values[name] = value
                self.needs[name] = used

    def expand(self, dockerfile: Dockerfile, span: Span, word: str) -> tuple[str, frozenset[str]]:
        """Return the word expanded, and all arguments on which it depends."""
        try:
            expansion = expand(word, self.values, escape=dockerfile.escape)
        except Fault as fault:
            raise SyntaxProblem([point(dockerfile, span, fault)]) from fault
        names = expansion.used | expansion.unset
        return expansion.text, names.union(*(self.needs.get(name, frozenset()) for name in names))


@dataclass(slots=True)
class _Resolver:
    """One walk over the stages; names of stages so far are in ``known``."""

    dockerfile: Dockerfile
    scope: _GlobalScope
    target_platform: Platform
    build_platform: Platform
    named_contexts: Collection[str] | Mapping[str, str]
    targets: Mapping[str, tuple[Platform, ...]]
    lines: tuple[str, ...] = ()
    contexts: Mapping[str, str] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    resolved: list[ResolvedStage] = field(default_factory=list)
    faults: list[Diagnostic] = field(default_factory=list)
    linked: list[ResolvedStage] = field(default_factory=list)
    replaced: dict[int, int] = field(default_factory=dict)

    def resolve(self) -> tuple[ResolvedStage, ...]:
        self.lines = source_lines(self.dockerfile.text)
        given = self.named_contexts
        addresses = given if isinstance(given, Mapping) else dict.fromkeys(given, "")
        self.contexts = {familiar_context_name(name): address for name, address in addresses.items()}
        bases = [self._base(stage) for stage in self.dockerfile.stages]
        platforms: list[Platform] = []
        for stage, (base, platform, from_args) in zip(self.dockerfile.stages, bases, strict=True):
            platforms.append(platforms[base.index] if self._is_own(base) else platform)
            self.resolved.append(self._stage(stage, base, platforms[-1], from_args))
        if self.faults:
            raise SyntaxProblem(self.faults)
        return (*self.resolved, *self.linked)

    def _base(self, stage: Stage) -> tuple[Source, Platform, frozenset[str]]:
        """Resolve FROM while only the stages above are known, as BuildKit does."""
        from_ = stage.from_
        image, used = self.scope.expand(self.dockerfile, from_.span, from_.image)
        if not image:
            self._report(from_, _blank_base(from_))
        platform, platform_args = self._platform(from_)
        base = self._source(image or "scratch", platform, self.known.get(image))
        if stage.name:
            if self._is_context(stage.name):
                base = self._context(stage.name, platform)
                if isinstance(base, StageSource):
                    self.replaced[stage.index] = base.index
            self.known[stage.name] = stage.index
        self._check_image(from_, base)
        is_scratch = isinstance(base, ScratchSource)
        return base, self.target_platform if is_scratch else platform, used | platform_args

    def _platform(self, from_: From) -> tuple[Platform, frozenset[str]]:
        if from_.platform is None:
            return self.target_platform, frozenset()
        text, used = self.scope.expand(self.dockerfile, from_.span, from_.platform)
        try:
            return parse_loose_platform(text, self.build_platform), used
        except Fault as fault:
            known = _help_for_unset(self._unset(from_.platform)) or fault.help
            self._report(from_, Fault(fault.problem, fault.message, needle=from_.platform, help=known))
            return self.target_platform, used

    def _stage(self, stage: Stage, base: Source, platform: Platform, from_args: frozenset[str]) -> ResolvedStage:
        is_replaced = stage.name is not None and self._is_context(stage.name)
        triggers = () if is_replaced else tuple(self._triggers(stage, base))
        instructions = () if is_replaced else (*triggers, *stage.instructions)
        place = locate(self.lines, stage.from_.span, stage.name if is_replaced and stage.name else stage.from_.image)
        name = stage.from_.image if isinstance(base, StageSource | ScratchSource) else _name(base)
        first = Dependency(kind="from", stage=stage.index, source=base, name=name, instruction=stage.from_, place=place)
        uses = tuple(one for typed in instructions for one in self._uses(stage, typed))
        return ResolvedStage(
            stage=stage,
            base=base,
            platform=platform,
            instructions=instructions,
            dependencies=(first, *uses),
            from_args=from_args,
            is_replaced=is_replaced,
            triggers=len(triggers),
            faults=tuple(self._forward(stage, one) for one in uses if self._is_forward(stage, one)),
        )

    def _triggers(self, stage: Stage, base: Source) -> Iterator[TypedInstruction]:
        """Yield what the base stage's ONBUILD instructions make this stage begin with."""
        if not self._is_own(base) or self.resolved[base.index].is_replaced:
            return
        for typed in self.dockerfile.stages[base.index].instructions:
            if isinstance(typed, Onbuild):
                try:
                    yield parse_trigger(typed.expression, stage.from_.span)
                except Fault as fault:
                    self._report(typed, fault)

    def _uses(self, stage: Stage, typed: TypedInstruction) -> Iterator[Dependency]:
        match typed:
            case Copy() if typed.from_:
                yield from self._use(stage, typed, "copy", typed.from_)
            case Run():
                for mount in typed.mounts:
                    if mount.from_:
                        yield from self._use(stage, typed, "mount", mount.from_)

    def _use(self, stage: Stage, typed: TypedInstruction, kind: str, name: str) -> Iterator[Dependency]:
        place = self._place(typed, kind, name)
        index = self.known.get(name.lower())
        if kind == "copy":
            if not self._is_plain(name):
                return self._report(typed, _variable_in_from(name))
            if _NUMBER.fullmatch(name):
                index = int(name) if len(name) <= 18 else -1
                if not 0 <= index < len(self.dockerfile.stages):
                    return self._report(typed, _no_such_number(name, len(self.dockerfile.stages)))
        source = self._source(name, self.target_platform, index)
        self._check_image(typed, source)
        yield Dependency(kind=kind, stage=stage.index, source=source, name=name, instruction=typed, place=place)

    def _is_plain(self, name: str) -> bool:
        try:
            return expand(name, {}, escape=self.dockerfile.escape).text == name
        except Fault:
            return False

    def _place(self, typed: TypedInstruction, kind: str, name: str) -> Place:
        prefix = {"copy": "--from=", "mount": "from="}[kind]
        place = locate(self.lines, typed.span, prefix + name)
        if place.width != len(prefix + name):
            return place
        return Place(line=place.line, column=place.column + len(prefix), width=len(name))

    def _source(self, name: str, platform: Platform, index: int | None) -> Source:
        if index is not None:
            return StageSource(index=self.replaced.get(index, index))
        if name == "scratch":
            return ScratchSource()
        if self._is_context(name):
            return self._context(name, platform)
        return ImageSource(name=name, platform=platform)

    def _is_context(self, name: str) -> bool:
        return name.lower() not in _RESERVED and familiar_context_name(name) in self.contexts

    def _context(self, name: str, platform: Platform) -> Source:
        familiar = familiar_context_name(name)
        if familiar in self.targets:
            return self._link(familiar, platform)
        address = self.contexts[familiar]
        if address:
            return ImageSource(name=address, platform=platform, context=name)
        return ContextSource(name=name, platform=platform)

    def _link(self, name: str, platform: Platform) -> StageSource:
        """Return the stage that stands for a target's result: that for the platform, else the only one that it has."""
        built_for = self.targets[name]
        source = TargetSource(name=name, platform=built_for[0] if len(built_for) == 1 else platform)
        known = next((one for one in self.linked if one.base == source), None)
        if known is None:
            known = _linked_stage(len(self.dockerfile.stages) + len(self.linked), source)
            self.linked.append(known)
        return StageSource(index=known.index)

    def _is_own(self, base: Source) -> TypeGuard[StageSource]:
        """Say whether a stage is built on one of the Dockerfile itself."""
        return isinstance(base, StageSource) and base.index < len(self.dockerfile.stages)

    def _check_image(self, typed: TypedInstruction, source: Source) -> None:
        if not isinstance(source, ImageSource) or source.context:
            return
        try:
            parse_reference(source.name)
        except Error as error:
            stage = self.dockerfile.find_stage(source.name)
            written = typed.image if isinstance(typed, From) else source.name
            known = f"a stage named `{stage.name}` exists; FROM finds it in lower case only" if stage else None
            known = (
                known or (_help_for_unset(self._unset(typed.image)) if isinstance(typed, From) else None) or error.help
            )
            self._report(typed, Fault("DF035", error.message, needle=written, help=known))

    def _unset(self, word: str) -> tuple[str, ...]:
        """Return the variables of a word of FROM that have no value, or an empty one."""
        used = expand(word, {}, escape=self.dockerfile.escape).unset
        return tuple(sorted(name for name in used if not self.scope.values.get(name)))

    def _is_forward(self, stage: Stage, dependency: Dependency) -> bool:
        return self._is_own(dependency.source) and dependency.source.index > stage.index

    def _forward(self, stage: Stage, dependency: Dependency) -> Diagnostic:
        index = dependency.source.index if isinstance(dependency.source, StageSource) else 0
        below = self.dockerfile.stages[index]
        fault = Fault(
            "DF021",
            f"stage `{stage.label}` uses stage `{below.label}`, which is defined after it",
            needle=dependency.name,
            label=f"defined at line {below.from_.span.start}",
            help=f"move stage `{below.label}` above stage `{stage.label}`",
        )
        return diagnose(fault, path=self.dockerfile.path, lines=self.lines, span=dependency.instruction.span)

    def _report(self, typed: TypedInstruction, fault: Fault) -> None:
        self.faults.append(diagnose(fault, path=self.dockerfile.path, lines=self.lines, span=typed.span))


def _linked_stage(index: int, source: TargetSource) -> ResolvedStage:
    stage = parse_dockerfile(b"FROM scratch\n", "").stages[0]
    named = replace(stage, index=index, name=source.name)
    return ResolvedStage(stage=named, base=source, platform=source.platform, instructions=(), dependencies=())


def _name(source: ImageSource | ContextSource | TargetSource) -> str:
    return (source.context or source.name) if isinstance(source, ImageSource) else source.name


def used_contexts(graph: StageGraph) -> frozenset[str]:
    """Return the named contexts that stand in for something in the Dockerfile, by their familiar names."""
    sources = [one.source for one in graph.dependencies]
    named = [one.name for one in sources if isinstance(one, ContextSource)]
    named += [one.context for one in sources if isinstance(one, ImageSource) and one.context]
    named += [stage.linked.name for stage in graph.stages if stage.linked]
    return frozenset(familiar_context_name(name) for name in named)


def familiar_context_name(name: str) -> str:
    """Return a named context's name as Docker shortens image names; so `alpine` and `alpine:latest` are one."""
    return name.removeprefix("docker.io/").removeprefix("library/").removesuffix(":latest")


def _blank_base(from_: From) -> Fault:
    return Fault(
        "DF018",
        f"the base image `{from_.image}` is empty once its variables are expanded",
        needle=from_.image,
        help="give the ARG before FROM a default, or pass it as a build argument",
    )


def _help_for_unset(names: tuple[str, ...]) -> str | None:
    if not names:
        return None
    listed = " and ".join(f"`{name}`" for name in names)
    verb = "has" if len(names) == 1 else "have"
    return f"{listed} {verb} no value: give the ARG before FROM a default, or pass `--build-arg {names[0]}=VALUE`"


def _variable_in_from(name: str) -> Fault:
    return Fault(
        "DF023",
        "`--from` cannot hold a variable",
        needle=name,
        help="give the image a name: `FROM ${VARIABLE} AS name`, and copy from that",
    )


def _no_such_number(name: str, count: int) -> Fault:
    return Fault(
        "DF022", f"no stage has the number {name}", needle=f"--from={name}", help=f"they go from 0 to {count - 1}"
    )
