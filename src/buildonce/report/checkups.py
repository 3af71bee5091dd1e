"""What `doctor` found, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable

from buildonce.checks import Check, Findings
from buildonce.report.tables import printable, render_table
from buildonce.report.wire import CheckedItem, CheckupDocument


def render_checkup(repository: str, registry: Findings, engine: Findings) -> str:
    """Return two tables: the registry with the repository in it, and the engine."""
    parts = [f"{repository}\n\n{_table(registry.checks)}", _table(engine.checks)]
    if registry.left:
        parts.append("What stays, since the registry does not let it be removed:\n" + _listed(registry.left))
    parts.append("It can be shipped to." if registry.is_usable else "It cannot be shipped to as it is.")
    return printable("\n\n".join(parts))


def _table(checks: Iterable[Check]) -> str:
    rows = [(check.subject, check.answer.value, check.seen, check.meaning) for check in checks]
    short = [(subject, answer, "; ".join(filter(None, (seen, meaning)))) for subject, answer, seen, meaning in rows]
    return render_table(("QUESTION", "ANSWER", "WHAT WAS SEEN, AND WHAT IT MEANS"), short)


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def checkup_document(repository: str, registry: Findings, engine: Findings) -> CheckupDocument:
    """Return what was found as it is printed with ``--json``."""
    return CheckupDocument(
        repository=repository,
        usable=registry.is_usable,
        registry=_items(registry),
        engine=_items(engine),
        left=registry.left,
    )


def _items(findings: Findings) -> tuple[CheckedItem, ...]:
    return tuple(
        CheckedItem(
            subject=check.subject,
            answer=check.answer.value,
            seen=check.seen,
            meaning=check.meaning,
            needed=check.is_needed,
        )
        for check in findings.checks
    )
