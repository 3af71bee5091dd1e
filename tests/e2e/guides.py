"""[io] Guides, followed word for word: their commands are run, their files written, their outputs compared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_FILE = re.compile(r"# (\S+\.\w+)$")


@dataclass(slots=True)
class Step:
    """A command with what it is to print, or a file with its content (and no command)."""

    command: str = ""
    file: str = ""
    lines: list[str] = field(default_factory=list)


def read_guide(page: Path) -> Iterator[Step]:
    """Yield the steps of a guide: indented blocks that begin with ``$ COMMAND`` or ``# FILE``. Others are read only."""
    for block in re.findall(r"(?:^(?:    .*)?\n)+", page.read_text(), re.MULTILINE):
        lines = [line.removeprefix("    ") for line in block.strip("\n").split("\n")]
        if found := _FILE.match(lines[0]):
            yield Step(file=found[1], lines=lines[1:])
        elif lines[0].startswith("$ "):
            yield from _commands(lines)


def _commands(lines: list[str]) -> Iterator[Step]:
    step = Step()
    for line in lines:
        if line.startswith("$ "):
            if step.command:
                yield step
            step = Step(command=line.removeprefix("$ "))
        else:
            step.lines.append(line)
    yield step


def is_said(expected: list[str], printed: str, *, replaced: Mapping[str, str]) -> bool:
    """Say whether a command printed this; ``...`` stands for any lines, or within a line for anything."""
    pattern = ""
    for line in expected:
        for old, new in replaced.items():
            line = line.replace(old, new)  # noqa: PLW2901
        if line == "...":
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(re.escape(" ".join(part.split())) for part in line.split("...")) + r"\s*\n"
    tidied = "\n".join(" ".join(line.split()) for line in printed.splitlines()) + "\n"
    return re.fullmatch(pattern, tidied) is not None if expected else True
