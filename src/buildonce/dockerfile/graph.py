"""The graph of a Dockerfile's stages: where their files come from, and questions about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from buildonce.diagnostics import Diagnostic
from buildonce.dockerfile.problems import Fault, SyntaxProblem, point, source_lines, suggest
from buildonce.dockerfile.syntax import Dockerfile, Place, Stage, TypedInstruction
from buildonce.oci import Platform

_VARIABLE = re.compile(r"\$(?:\{[^}]*\}|\w+)")


class StageSource(Struct, frozen=True, kw_only=True):
    """Another stage of the same Dockerfile."""

    index: int


class ImageSource(Struct, frozen=True, kw_only=True):
    """An image outside of the Dockerfile; ``name`` is as written, variables expanded.

    Where a named context stands in for it, ``context`` is what is written, and ``name`` the context's address.
    """

    name: str
    platform: Platform
    context: str = ""


class ContextSource(Struct, frozen=True, kw_only=True):
    """A named build context, which stands in for a stage or an image of this name."""

    name: str
    platform: Platform


class TargetSource(Struct, frozen=True, kw_only=True):
    """The result of another target, which a named context is, for the platform that it is taken for."""

    name: str
    platform: Platform


class ScratchSource(Struct, frozen=True, kw_only=True):
    """Nothing: an empty root."""


Source: TypeAlias = StageSource | ImageSource | ContextSource | TargetSource | ScratchSource


class Dependency(Struct, frozen=True, kw_only=True):
    """One use of a source by a stage: through FROM, ``COPY --from`` or ``RUN --mount=from=``.

    ``kind`` is ``from``, ``copy`` or ``mount``; ``name`` what the instruction calls the source, at ``place``.
    """

    kind: str
    stage: int
    source: Source
    name: str
    instruction: TypedInstruction
    place: Place


class ResolvedStage(Struct, frozen=True, kw_only=True):
    """A stage with its references resolved.

    ``instructions`` begins with the ONBUILD triggers of the stage that this one is built on. It is empty when a named
    context stands in for the whole stage (`is_replaced`). ``platform`` is the one that BuildKit builds it for: that of
    its base stage, else its own ``--platform``, else the target. ``from_args`` are the global arguments on which its
    FROM depends. ``faults`` is what makes the stage impossible to build; `check_stage` raises it.
    """

    stage: Stage
    base: Source
    platform: Platform
    instructions: tuple[TypedInstruction, ...]
    dependencies: tuple[Dependency, ...]
    from_args: frozenset[str] = frozenset()
    is_replaced: bool = False
    triggers: int = 0
    faults: tuple[Diagnostic, ...] = ()

    @property
    def index(self) -> int:
        return self.stage.index

    @property
    def name(self) -> str | None:
        return self.stage.name

    @property
    def label(self) -> str:
        return self.stage.label

    @property
    def linked(self) -> TargetSource | None:
        """The target whose result this stage stands for; None for a stage of the Dockerfile itself."""
        return self.base if isinstance(self.base, TargetSource) else None


class StageGraph(Struct, frozen=True, kw_only=True):
    """All stages of a Dockerfile under one set of arguments and platforms.

    After its own stages come those that stand for the results of other targets, without instructions.
    ``global_args`` are the values of the arguments before the first FROM, and of those that BuildKit predefines.
    ``has_faults`` says whether a stage has some.
    """

    dockerfile: Dockerfile
    stages: tuple[ResolvedStage, ...]
    global_args: Mapping[str, str]
    build_args: Mapping[str, str]
    target_platform: Platform
    build_platform: Platform
    named_contexts: frozenset[str] = frozenset()
    has_faults: bool = False

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """Every use of a source, in the order of the stages."""
        return tuple(dependency for stage in self.stages for dependency in stage.dependencies)

    @property
    def external_images(self) -> tuple[Dependency, ...]:
        """The uses of images from outside, with their places."""
        return tuple(one for one in self.dependencies if isinstance(one.source, ImageSource))

    def find(self, name: str) -> ResolvedStage | None:
        """Return the stage that ``--target name`` means (a name in any case, or a number), or None."""
        stage = self.dockerfile.find_stage(name)
        if stage is None and name.isascii() and name.isdecimal() and int(name) < len(self.stages):
            return self.stages[int(name)]
        return self.stages[stage.index] if stage else None


def check_stage(graph: StageGraph, stage: ResolvedStage) -> None:
    """Raise `SyntaxProblem` when the stage, or one that it needs, uses a stage that is defined after it."""
    if not graph.has_faults:
        return
    faults = [fault for one in reachable(graph, stage) for fault in one.faults]
    if faults:
        raise SyntaxProblem(faults)


def final_stages(graph: StageGraph) -> tuple[ResolvedStage, ...]:
    """Return the stages that no other stage uses, nor would use if its FROM chose by another value of a variable."""
    used = {one.source.index for one in graph.dependencies if isinstance(one.source, StageSource)}
    return tuple(stage for stage in graph.stages if stage.index not in used and not _is_alternative(graph, stage))


def _is_alternative(graph: StageGraph, stage: ResolvedStage) -> bool:
    """Say whether a later FROM could mean this stage: ``FROM build-$TARGETARCH`` also those of other platforms."""
    if stage.name is None:
        return False
    images = (later.stage.from_.image for later in graph.stages[stage.index + 1 :])
    # A variable alone (`FROM $BASE`) says nothing of the names that it stands for.
    choices = (_VARIABLE.split(image) for image in images if _VARIABLE.search(image))
    return any(any(parts) and re.fullmatch(".*".join(map(re.escape, parts)), stage.name) for parts in choices)


def chain(graph: StageGraph, stage: ResolvedStage) -> tuple[ResolvedStage, ...]:
    """Return the stages from the one whose base is no stage up to ``stage``."""
    links = [stage]
    while isinstance(links[-1].base, StageSource):
        links.append(graph.stages[links[-1].base.index])
    return tuple(reversed(links))


def reachable(graph: StageGraph, stage: ResolvedStage) -> tuple[ResolvedStage, ...]:
    """Return the stage and all that it needs, directly or not, in the order of the file."""
    found: set[int] = set()
    pending = [stage.index]
    while pending:
        index = pending.pop()
        if index not in found:
            found.add(index)
            sources = (one.source for one in graph.stages[index].dependencies)
            pending += [source.index for source in sources if isinstance(source, StageSource)]
    return tuple(graph.stages[index] for index in sorted(found))


def undefined_stage_diagnostic(graph: StageGraph, dependency: Dependency, *, notes: tuple[str, ...] = ()) -> Diagnostic:
    """Return the finding that a name, which could only be an image, is neither that nor anything else."""
    dockerfile, name = graph.dockerfile, dependency.name
    verb = {"from": "is built on", "copy": "copies from", "mount": "mounts from"}[dependency.kind]
    lines = source_lines(dockerfile.text)
    return Diagnostic(
        code="DF012",
        message=f"stage `{graph.stages[dependency.stage].label}` {verb} `{name}`, which is not defined",
        path=dockerfile.path,
        line=dependency.place.line,
        column=dependency.place.column,
        width=dependency.place.width,
        source=lines[dependency.place.line - 1],
        label="no stage, image or named context has this name",
        notes=notes,
        help=_help_for_name(graph, dependency),
    )


def _help_for_name(graph: StageGraph, dependency: Dependency) -> str | None:
    prefix = {"from": "FROM ", "copy": "--from=", "mount": "from="}[dependency.kind]
    later = graph.dockerfile.find_stage(dependency.name)
    if later is not None:
        line = later.from_.span.start
        if line > dependency.place.line:
            return f"a stage named `{later.name}` is defined below, at line {line}; a stage can only use those above it"
        return f"a stage named `{later.name}` is defined at line {line}; write `{prefix}{later.name}`, in lower case"
    above = {stage.name: stage for stage in graph.dockerfile.stages[: dependency.stage] if stage.name}
    names = {*above, *graph.named_contexts}
    closest = suggest(dependency.name.lower(), names)
    if closest is None:
        return f"the stages above it are {', '.join(f'`{one}`' for one in above)}" if above else None
    if closest in above:
        line = above[closest].from_.span.start
        return f"a stage named `{closest}` is defined at line {line}; did you mean `{prefix}{closest}`?"
    return f"there is a named context `{closest}`; did you mean `{prefix}{closest}`?"


def refuse_circles(graph: StageGraph) -> None:
    """Raise `SyntaxProblem` when stages copy or mount from each other in a circle; FROM cannot make one."""
    uses = {
        stage.index: [one for one in stage.dependencies if one.kind != "from" and isinstance(one.source, StageSource)]
        for stage in graph.stages
    }
    finished: set[int] = set()
    for stage in graph.stages:
        circle = _find_circle(stage.index, uses, finished)
        if circle:
            names = " -> ".join(f"`{graph.stages[one.stage].label}`" for one in (*circle, circle[0]))
            fault = Fault("DF020", f"stages use each other in a circle: {names}", needle=circle[0].name)
            raise SyntaxProblem([point(graph.dockerfile, circle[0].instruction.span, fault)])


def _find_circle(start: int, uses: Mapping[int, list[Dependency]], finished: set[int]) -> list[Dependency]:
    """Return the uses that lead from a stage back to itself; ``finished`` remembers stages that are in no circle."""
    path: list[Dependency] = []
    open_ = [start]
    pending = [iter(uses[start])]
    while pending:
        use = next(pending[-1], None)
        if use is None:
            pending.pop()
            finished.add(open_.pop())
            if path:
                path.pop()
            continue
        index = use.source.index if isinstance(use.source, StageSource) else start
        if index in open_:
            return [*path, use][open_.index(index) :]
        if index not in finished:
            path.append(use)
            open_.append(index)
            pending.append(iter(uses[index]))
    return []
