"""[io] A plan's jobs, one after the other, each with a memory of its own: as on machines of their own."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.e2e.harness import PLATFORMS, Document, Project, Ran


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became of a plan: its matrices, what each of its jobs left, and the outcome of the job that ships."""

    matrix: Document
    made: dict[str, Document]
    shipped: Document | None

    @property
    def jobs(self) -> list[str]:
        """The names of the compile and bases jobs."""
        return [cell["job"] for kind in ("compile", "bases") for cell in self.matrix[kind]]

    def total(self, key: str) -> int:
        """Return a sum over the compile and bases jobs."""
        return sum(one[key] for one in self.made.values())


@dataclass(slots=True, kw_only=True)
class Chain:
    """A project whose plans are carried out job by job."""

    project: Project
    folder: Path
    push: str
    platforms: Sequence[str] = PLATFORMS
    number: int = 0
    here: Path = field(default_factory=Path)

    def plan(self, *arguments: str) -> Document:
        """Make a plan; return its matrices."""
        self.number += 1
        self.here = self.folder / f"run-{self.number}"
        platforms = f"--platform={','.join(self.platforms)}"
        where = ("--write", str(self.here / "plan.json"), "--matrix=json", f"--push={self.push}")
        return self.alone().buildonce("plan", platforms, *where, *arguments).document

    def make(self, job: str, *arguments: str) -> Ran:
        """Carry out a job of the last plan."""
        made = f"--made={self.here / 'made'}"
        return self.alone().buildonce("make", str(self.here / "plan.json"), job, made, "--json", *arguments)

    def run(self, *arguments: str) -> Run:
        """Make a plan and carry out all of it."""
        matrix = self.plan(*arguments)
        jobs = [cell["job"] for kind in ("compile", "bases") for cell in matrix[kind]]
        made = {job: self.make(job).document for job in jobs}
        return Run(matrix=matrix, made=made, shipped=self.make("ship").document if matrix["ship"] else None)

    def alone(self) -> Project:
        """Return the project on a machine that nothing ran on before."""
        return replace(self.project, state=self.folder / f"state-{secrets.token_hex(4)}")

    def file(self) -> Document:
        """Return the last plan."""
        found: Document = json.loads((self.here / "plan.json").read_text())
        return found
