"""A variant's instruction chain: the steps from its external base to its target, and what each of them needs."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from buildonce.dockerfile.evaluation import Step
from buildonce.dockerfile.paths import join_workdir
from buildonce.dockerfile.runes import escape_invalid
from buildonce.dockerfile.stages import StageSource
from buildonce.dockerfile.syntax import Add, Cmd, Copy, Onbuild, Run, Span, Workdir


class StepKind(Enum):
    """What a step needs: nothing but the config, our own file operations, a core, or an engine."""

    METADATA = "metadata"
    WORKDIR = "workdir"
    CONTEXT_COPY = "context copy"
    LATE_COPY = "late copy"
    ENGINE = "engine"


class ChainStep(Struct, frozen=True, kw_only=True):
    """One instruction of a chain.

    ``stage`` is the index of the stage it stands in; ``source`` that of the stage a late copy takes files from;
    ``history`` counts the entries that the chain's earlier steps add to the image's history; ``layers`` the layers that
    it and the later steps add to the image; ``cmd_is_set`` says whether a CMD of the same stage comes before it (an
    ENTRYPOINT then keeps it).
    """

    step: Step
    kind: StepKind
    stage: int
    history: int
    layers: int = 0
    source: int | None = None
    cmd_is_set: bool = False

    @property
    def span(self) -> Span:
        """The lines of the instruction."""
        return self.step.instruction.span

    @property
    def text(self) -> str:
        """The instruction as it stands in the Dockerfile, on one line."""
        return escape_invalid(self.step.instruction.instruction.original)


class Chain(Struct, frozen=True, kw_only=True):
    """A variant's chain; ``stages`` are the indexes of its stages, first to last."""

    stages: tuple[int, ...]
    steps: tuple[ChainStep, ...]

    @property
    def late_copies(self) -> tuple[ChainStep, ...]:
        """The copies whose source is a stage outside the chain."""
        return tuple(step for step in self.steps if step.kind is StepKind.LATE_COPY)

    @property
    def mounted(self) -> tuple[int, ...]:
        """The stages outside the chain that its RUN instructions mount."""
        uses = (one for step in self.steps for one in step.step.dependencies if one.kind == "mount")
        found = {use.source.index for use in uses if isinstance(use.source, StageSource)}
        return tuple(sorted(found - set(self.stages)))

    @property
    def engine_end(self) -> int:
        """How many steps, from the first, an engine must have seen: all up to the last that needs one."""
        needing = [number for number, step in enumerate(self.steps, 1) if step.kind is StepKind.ENGINE]
        return needing[-1] if needing else 0

    @property
    def engine_steps(self) -> tuple[ChainStep, ...]:
        """The steps that make the base, late copies left out; empty when the base is the external image itself."""
        return tuple(step for step in self.steps[: self.engine_end] if step.kind is not StepKind.LATE_COPY)

    @property
    def hoisted_over(self) -> tuple[ChainStep, ...]:
        """The late copies that steps of the base follow: leaving them out of the base has to be proven harmless."""
        return tuple(step for step in self.steps[: self.engine_end] if step.kind is StepKind.LATE_COPY)

    @property
    def tail(self) -> tuple[ChainStep, ...]:
        """The steps of the base that follow the first of the late copies that it is built without."""
        first = min((copy.history for copy in self.hoisted_over), default=0)
        return tuple(step for step in self.engine_steps if step.history > first)

    @property
    def trailing(self) -> tuple[ChainStep, ...]:
        """The steps after the base, all of them assembly's own."""
        return self.steps[self.engine_end :]


def make_chain(stages: tuple[tuple[int, tuple[Step, ...]], ...]) -> Chain:
    """Return the chain over ``stages``: their indexes and evaluated steps, first to last."""
    inside = {index for index, _ in stages}
    steps: list[ChainStep] = []
    history = 0
    layers = sum(_makes_layer(step) for _, evaluated in stages for step in evaluated)
    for index, evaluated in stages:
        has_cmd = False
        for step in evaluated:
            kind, source = _kind(step, inside)
            steps.append(
                ChainStep(
                    step=step,
                    kind=kind,
                    stage=index,
                    history=history,
                    layers=layers,
                    source=source,
                    cmd_is_set=has_cmd,
                )
            )
            has_cmd = has_cmd or isinstance(step.instruction, Cmd)
            history += 0 if isinstance(step.instruction, Onbuild) else 1
            layers -= _makes_layer(step)
    return Chain(stages=tuple(index for index, _ in stages), steps=tuple(steps))


def _makes_layer(step: Step) -> bool:
    """Say whether a step adds a layer, be it an empty one: WORKDIR does unless it goes to the root."""
    match step.expanded:
        case Run() | Add() | Copy():
            return True
        case Workdir(path=path):
            return join_workdir(step.workdir, path) != "/"
        case _:
            return False


def _kind(step: Step, inside: set[int]) -> tuple[StepKind, int | None]:
    """Return what a step needs, and for a late copy the index of its source."""
    match step.expanded:
        case Run() | Add():
            return StepKind.ENGINE, None
        case Copy(heredocs=heredocs) if heredocs:
            return StepKind.ENGINE, None
        case Copy(from_=None):
            return StepKind.CONTEXT_COPY, None
        case Copy():
            source = step.dependencies[0].source
            if isinstance(source, StageSource) and source.index not in inside:
                return StepKind.LATE_COPY, source.index
            # From an external image, a named context or a stage of the chain itself: the engine has them at hand.
            return StepKind.ENGINE, None
        case Workdir():
            return StepKind.WORKDIR, None
        case _:
            return StepKind.METADATA, None
