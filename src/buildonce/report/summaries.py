"""A run's outcome as the page that a CI provider shows of a job, in Markdown, and as the outputs of a step."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from buildonce.events import Activity
from buildonce.report.outcomes import summary_lines
from buildonce.report.tables import count
from buildonce.run.outcome import Outcome

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~&])")


def render_summary(outcome: Outcome) -> str:
    """Return what was built and why, what compiling cost and was saved, and the traffic."""
    rows = ["| variant | platform | how | image | why |", "|---|---|---|---|---|"]
    rows += [
        f"| {_cell(image.variant)} | {_cell(str(image.platform))} | {_cell(image.made.value)}"
        f"{'' if image.pushed else ', unchanged'} | `{image.digest[7:19]}` | {_cell(image.reason)} |"
        for image in outcome.images
    ]
    told = [f"* {name}: {_cell(text)}" for name, text in summary_lines(outcome)]
    return "\n".join(("### buildonce", "", *rows, "", *_compiling(outcome), *told)) + "\n"


def _compiling(outcome: Outcome) -> Iterator[str]:
    """Yield what compiling took, beside what it would take in a job for each image; nothing if nothing is compiled."""
    usual = sum(image.compile_seconds for image in outcome.images)
    if usual:
        here = sum(run.seconds for run in outcome.engine_runs if run.activity is Activity.COMPILE)
        jobs = count(sum(bool(image.compile_seconds) for image in outcome.images), "job")
        yield f"* compiling: {here:.0f} s here; {usual:.0f} s if each of {jobs} compiled for its image"


def render_outputs(outcome: Outcome, token: str) -> str:
    """Return lines for ``$GITHUB_OUTPUT``: ``images`` (digests by variant and platform) and ``indexes`` (by tag).

    Both are JSON. ``token`` is a text that no value has a line of.
    """
    images: dict[str, dict[str, str]] = {}
    for image in outcome.images:
        images.setdefault(image.variant, {})[str(image.platform)] = image.digest
    indexes = {tag.tag: tag.digest for tag in outcome.tags}
    found: Mapping[str, object] = {"images": images, "indexes": indexes}
    return "".join(f"{name}<<{token}\n{json.dumps(value)}\n{token}\n" for name, value in found.items())


def _cell(text: str) -> str:
    """Return a text so that Markdown shows it as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
