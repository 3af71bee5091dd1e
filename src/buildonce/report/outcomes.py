"""A run's outcome as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterator

from buildonce.events import Activity
from buildonce.report.releases import built_tags
from buildonce.report.tables import count, render_size, render_table
from buildonce.report.wire import BuiltImage, BuiltProof, BuiltRun, OutcomeDocument
from buildonce.run.outcome import Checked, Outcome
from buildonce.ship.publication import TagOutcome

_PURPOSES = {
    Activity.COMPILE: "compile",
    Activity.BASE: "base",
    Activity.PROVE: "proof",
    Activity.BUILD: "faithful build",
}
_CHECKED = {
    Checked.FITS: "fit",
    Checked.MACHINE: "checked for machine code only",
    Checked.NOTHING: "with nothing to check",
    Checked.OFF: "not checked",
}


def render_outcome(outcome: Outcome) -> str:
    """Return the table of images, then what engines did, what moved and what it cost."""
    rows = [
        (
            image.variant,
            str(image.platform),
            image.made.value,
            "pushed" if image.pushed else "unchanged",
            image.digest[7:19],
            image.reason,
        )
        for image in outcome.images
    ]
    table = render_table(("VARIANT", "PLATFORM", "HOW", "IMAGE", "DIGEST", "WHY"), rows)
    return f"{table}\n\n" + "\n".join(f"{name:<9} {text}" for name, text in summary_lines(outcome))


def summary_lines(outcome: Outcome) -> tuple[tuple[str, str], ...]:
    """Return what engines did, what moved and what it cost, each with its name."""
    traffic = outcome.traffic
    up, down = render_size(traffic.bytes_up), render_size(traffic.bytes_down)
    return (
        ("engine", _engine_line(outcome)),
        *(("proofs", line) for line in _proof_lines(outcome)),
        ("fit", _fit_line(outcome)),
        ("tags", _tags_line(outcome)),
        *((("loaded", ", ".join(outcome.loaded)),) if outcome.loaded else ()),
        ("traffic", f"{count(traffic.requests, 'request')}, {up} up, {down} down"),
        ("time", ", ".join(f"{phase} {value:.2f} s" for phase, value in outcome.seconds.items())),
    )


def _tags_line(outcome: Outcome) -> str:
    if outcome.record is not None:
        return f"none moved: the release is staged in {outcome.target}; `buildonce release RECORD` moves them"
    moved = sum(tag.outcome is not TagOutcome.UNCHANGED for tag in outcome.tags)
    return f"{moved} moved, {len(outcome.tags) - moved} unchanged in {outcome.target}"


def _proof_lines(outcome: Outcome) -> Iterator[str]:
    """Yield how many proofs were made, and what each one that says no found; nothing if none was made."""
    if outcome.proofs:
        equal = sum(proof.equal for proof in outcome.proofs)
        yield f"{equal} equal, {len(outcome.proofs) - equal} not"
        yield from (f"{proof.base} {proof.platform}: {proof.reason}" for proof in outcome.proofs if not proof.equal)


def _engine_line(outcome: Outcome) -> str:
    """Return how often an engine ran, what for, and for how long: ``2 compiles (builder) 3.1 s, ...``."""
    parts = []
    for activity, purpose in _PURPOSES.items():
        runs = [run for run in outcome.engine_runs if run.activity is activity]
        if runs:
            names = ", ".join(dict.fromkeys(run.node.partition(" ")[0] for run in runs))
            parts.append(f"{count(len(runs), purpose)} ({names}) {sum(run.seconds for run in runs):.1f} s")
    return ", ".join(parts) or "did not run"


def _fit_line(outcome: Outcome) -> str:
    """Return of how many images what was checked: ``12 fit, 2 not checked (hermes)``."""
    parts = []
    for checked in Checked:
        images = [image for image in outcome.images if image.checked is checked]
        names = ", ".join(dict.fromkeys(image.variant for image in images))
        if images:
            named = "" if checked is Checked.FITS else f" ({names})"
            parts.append(f"{len(images)} {_CHECKED[checked]}{named}")
    return ", ".join(parts)


def outcome_document(outcome: Outcome) -> OutcomeDocument:
    """Return the outcome as it is printed with ``--json``."""
    return OutcomeDocument(
        target=outcome.target,
        images=tuple(
            BuiltImage(
                variant=image.variant,
                platform=str(image.platform),
                made=image.made.name.lower(),
                verdict=image.verdict.name.lower(),
                reason=image.reason,
                digest=image.digest,
                pushed=image.pushed,
                fit=image.checked.name.lower(),
            )
            for image in outcome.images
        ),
        tags=built_tags(outcome.tags),
        engine_runs=tuple(
            BuiltRun(activity=run.activity.value, node=run.node, seconds=round(run.seconds, 3))
            for run in outcome.engine_runs
        ),
        proofs=tuple(
            BuiltProof(base=proof.base, platform=str(proof.platform), equal=proof.equal, reason=proof.reason)
            for proof in outcome.proofs
        ),
        requests=outcome.traffic.requests,
        bytes_up=outcome.traffic.bytes_up,
        bytes_down=outcome.traffic.bytes_down,
        seconds={phase: round(value, 3) for phase, value in outcome.seconds.items()},
        warnings=outcome.warnings,
        loaded=outcome.loaded,
    )
