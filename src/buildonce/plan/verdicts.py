"""Verdicts: assemble, assemble after proof, or leave the image to the engine, each with its reason.

A verdict taken here is only ever the careful one of two: a tail that plainly reads what was copied goes to the engine
without a try. Whatever is not seen here is found by the proof, which compares the results.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from enum import Enum

from msgspec import Struct

from buildonce.dockerfile.syntax import Add, Copy, Run
from buildonce.plan.chains import Chain, ChainStep
from buildonce.plan.tails import named_word


class VerdictKind(Enum):
    """How an image comes about."""

    ASSEMBLE = "assemble"
    PROVE = "assemble after proof"
    ENGINE = "engine"


class Verdict(Struct, frozen=True, kw_only=True):
    """A verdict and its reason, a clause that can follow "because"."""

    kind: VerdictKind
    reason: str


def judge(
    chain: Chain, *, onbuild: tuple[str, ...], mounted: Sequence[str], system: str, root_context: str = ""
) -> Verdict:
    """Return the verdict on ``chain`` as far as its text tells.

    ``onbuild`` are the triggers of the external base, ``mounted`` the names of the stages outside the chain
    that its RUN instructions mount, ``system`` the platform's operating system, ``root_context`` the named context of
    files that the chain starts from.
    """
    obstacle = next(_obstacles(chain, onbuild, mounted, system), None)
    if root_context:
        obstacle = f"it starts from the files of the named context `{root_context}`"
    if obstacle:
        return Verdict(kind=VerdictKind.ENGINE, reason=obstacle)
    if chain.hoisted_over:
        return Verdict(kind=VerdictKind.PROVE, reason=f"{_count(chain.tail)} the copied files")
    if chain.late_copies:
        return Verdict(kind=VerdictKind.ASSEMBLE, reason="only file copies and metadata follow the base")
    return Verdict(kind=VerdictKind.ASSEMBLE, reason="it takes nothing from another stage")


def _count(tail: Sequence[ChainStep]) -> str:
    keywords = sorted(
        {step.step.instruction.keyword for step in tail if isinstance(step.step.expanded, Run | Copy | Add)}
    )
    names = " and ".join(keywords) or "other instructions"
    return f"{names} {'follows' if len(keywords) == 1 else 'follow'}"


def _obstacles(chain: Chain, onbuild: tuple[str, ...], mounted: Sequence[str], system: str) -> Iterator[str]:
    if system == "windows":
        yield "Windows images are not assembled"
    if onbuild:
        yield f"its base image has ONBUILD triggers (`{onbuild[0]}`)"
    for step in chain.steps:
        if step.step.is_trigger:
            yield f"an ONBUILD trigger of the stage it is built on runs `{step.text}`"
    for name in mounted:
        yield f"RUN --mount reads stage `{name}` while the image is built"
    for copy in chain.hoisted_over:
        paths = copied_paths(copy)
        programs = {posixpath.basename(path) for path in paths}
        for step in chain.engine_steps:
            if step.history > copy.history and (word := named_word(step.step, paths, programs)):
                yield (
                    f"line {step.span.start}: `{_shorten(step.text)}` names `{word}`, "
                    f"which line {copy.span.start} copies"
                )


def copied_paths(copy: ChainStep) -> frozenset[str]:
    """Return the absolute paths at which a late copy may put something, as far as its text tells."""
    expanded = copy.step.expanded
    assert isinstance(expanded, Copy)  # noqa: S101  a late copy is a COPY
    target = posixpath.normpath(posixpath.join(copy.step.workdir, expanded.destination))
    names = {posixpath.basename(source.rstrip("/")) for source in expanded.sources}
    return frozenset({target, *(posixpath.join(target, name) for name in names if name)} - {"/"})


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
