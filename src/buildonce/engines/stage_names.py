"""Names of stages in lower case, for an engine that does not ignore their case as BuildKit does. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from buildonce.dockerfile.syntax import Copy, Dockerfile, Run, Span, TypedInstruction


def lower_stage_names(dockerfile: Dockerfile) -> str:
    """Return the Dockerfile's text with its stages' names in lower case, where they are given and where they are used.

    ``FROM`` needs nothing: BuildKit itself finds stages there by names in lower case alone.
    """
    lines = dockerfile.text.split("\n")
    names = {stage.name for stage in dockerfile.stages if stage.name}
    for stage in dockerfile.stages:
        if stage.name:
            _lower(lines, stage.from_.span, rf"\bAS[ \t]+{re.escape(stage.name)}(?=\s*$)")
        for typed in stage.instructions:
            for name in _used(typed):
                if name.lower() in names:
                    _lower(lines, typed.span, rf"\bfrom={re.escape(name)}(?![\w.-])")
    return "\n".join(lines)


def _used(typed: TypedInstruction) -> Iterator[str]:
    if isinstance(typed, Copy) and typed.from_:
        yield typed.from_
    if isinstance(typed, Run):
        yield from (mount.from_ for mount in typed.mounts if mount.from_)


def _lower(lines: list[str], span: Span, pattern: str) -> None:
    for number in range(span.start - 1, span.end):
        lines[number] = re.sub(pattern, lambda found: found[0].lower(), lines[number], flags=re.IGNORECASE)
