"""[io] What a CI job leaves beside its log: its page, and the outputs of its step."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from buildonce.run.outcome import Outcome

_PAGE = "GITHUB_STEP_SUMMARY"
_OUTPUTS = "GITHUB_OUTPUT"


def leave_outcome(outcome: Outcome, environment: Mapping[str, str]) -> None:
    """Add to the job's page and the step's outputs, if this is a job at a provider that has them."""
    from buildonce.report.ci_logs import Provider, find_provider

    if find_provider(environment) is not Provider.GITHUB:
        return
    from buildonce.report.summaries import render_outputs, render_summary

    _append(environment.get(_PAGE), render_summary(outcome))
    _append(environment.get(_OUTPUTS), render_outputs(outcome, secrets.token_hex(16)))


def _append(path: str | None, text: str) -> None:
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
