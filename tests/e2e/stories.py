"""[io] The life of the example family, told once: what each change of it led to."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.harness import VARIANTS, Document, Host, Project, copy_example
from tests.e2e.images import tag_digest

LONG_AGO = 1_577_934_245
"""2020: older than every base image. A second clone's files are newer, and that must make no difference."""

FIRST_LINE = 'FAMILY_VERSION "1.0.0"'
COMMENT = "/* family: one program that many images ship. */"
RUN_LINE = "RUN mkdir -p /home/agent/.claude && chown -R agent:agent /home/agent/.claude"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """A build: its outcome, where the tags point afterwards, and the project as it was."""

    outcome: Document
    tags: dict[str, str | None]
    project: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Stories:
    """The chapters in their order; ``version`` is the one of the program since `line_changed`."""

    repository: str
    version: str
    project: Project
    first: Chapter
    nothing_changed: Chapter
    comment_changed: Chapter
    line_changed: Chapter
    run_changed: Chapter


def tell_stories(host: Host, run_id: str, folder: Path) -> Stories:
    """Build the family, and again after each change, each with the one before it as its past."""
    project = copy_example(host, folder, time=LONG_AGO)
    repository = host.repository(f"e2e-{run_id}/family")
    number = int(run_id, 16)
    version = f"2.0.{number}"

    def chapter(name: str) -> Chapter:
        outcome = project.build("--push", repository)
        kept = folder / name
        shutil.copytree(project.folder, kept)
        return Chapter(outcome=outcome, tags={v: tag_digest(repository, v) for v in VARIANTS}, project=kept)

    # A version of this run's own: nothing of it can have been compiled before.
    project.edit("src/version.h", FIRST_LINE, f'FAMILY_VERSION "1.0.{number}"')
    first = chapter("first")
    nothing_changed = chapter("nothing")
    project.edit("src/main.c", COMMENT, f"/* family {number}: another comment, the same bytes. */")
    comment_changed = chapter("comment")
    project.edit("src/version.h", f'FAMILY_VERSION "1.0.{number}"', f'FAMILY_VERSION "{version}"')
    line_changed = chapter("line")
    project.edit("Dockerfile", RUN_LINE, f"{RUN_LINE} && mkdir -m 0700 /home/agent/.claude/{run_id}")
    run_changed = chapter("run")
    return Stories(
        repository=repository,
        version=version,
        project=project,
        first=first,
        nothing_changed=nothing_changed,
        comment_changed=comment_changed,
        line_changed=line_changed,
        run_changed=run_changed,
    )
