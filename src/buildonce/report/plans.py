"""A plan as a table and as JSON."""

from __future__ import annotations

from buildonce.plan.nodes import BaseNode, CoreNode, ImageNode, Plan
from buildonce.plan.verdicts import VerdictKind
from buildonce.report.tables import count, render_table
from buildonce.report.wire import PlanDocument, PlannedBase, PlannedCore, PlannedImage
from buildonce.run.inspection import Action, Finding, Inspection


def render_inspection(inspection: Inspection) -> str:
    """Return the plan for people: what is compiled, which bases are built, how each image comes about, and why."""
    plan = inspection.plan
    variants, platforms = count(len(plan.variants), "variant"), count(len(plan.platforms), "platform")
    rows = [
        *(("core", *_core_row(plan.cores[key], finding, plan)) for key, finding in inspection.cores.items()),
        *(("base", *_node_row(plan.bases[key], finding)) for key, finding in inspection.bases.items()),
        *(("linked", *_image_row(node, finding)) for node, finding in inspection.linked),
        *(("image", *_image_row(node, finding)) for node, finding in inspection.images),
    ]
    runs = inspection.engine_runs
    parts = f"{count(len(inspection.cores), 'core')} and {count(len(inspection.bases), 'base')}"
    headline = f"{count(len(plan.images), 'image')}: {variants} for {platforms}, from {parts}"
    table = render_table(("KIND", "NAME", "PLATFORM", "ACTION", "WHY"), rows)
    last = f"An engine would run {count(runs, 'time')}." if runs else "No engine would run."
    return f"{headline}\n\n{table}\n\n{last}"


def _image_row(node: ImageNode, finding: Finding) -> tuple[str, str, str, str]:
    reason = f"{_verdict(node, finding).value}: {finding.reason}"
    return node.variant, str(node.platform), _action(finding), reason


def _core_row(node: CoreNode, finding: Finding, plan: Plan) -> tuple[str, str, str, str]:
    """Return a core's row, with the target platform where a stage that runs on one platform compiles for several."""
    name, platform, action, reason = _node_row(node, finding)
    has_twin = any(str(other) == str(node) for other in plan.cores.values() if other is not node)
    return name, f"{platform} for {node.target}" if has_twin else platform, action, reason


def _verdict(node: ImageNode, finding: Finding) -> VerdictKind:
    """Return how an image comes about, a proof that says no included."""
    return node.verdict.kind if finding.action is Action.ASSEMBLE else VerdictKind.ENGINE


def _node_row(node: CoreNode | BaseNode, finding: Finding) -> tuple[str, str, str, str]:
    return node.name, str(node.platform), _action(finding), finding.reason


def _action(finding: Finding) -> str:
    return f"{finding.action.value} + proof" if finding.proof else finding.action.value


def inspection_document(inspection: Inspection) -> PlanDocument:
    """Return the plan as it is printed with ``--json``."""
    plan = inspection.plan
    return PlanDocument(
        cache=inspection.cache,
        engine_runs=inspection.engine_runs,
        compiles=sum(finding.action is Action.COMPILE for finding in inspection.cores.values()),
        cores=tuple(_core(plan.cores[key], finding) for key, finding in inspection.cores.items()),
        bases=tuple(_base(plan.bases[key], finding) for key, finding in inspection.bases.items()),
        linked=tuple(_image(node, finding) for node, finding in inspection.linked),
        images=tuple(_image(node, finding) for node, finding in inspection.images),
        warnings=plan.warnings,
    )


def _core(node: CoreNode, finding: Finding) -> PlannedCore:
    return PlannedCore(
        name=node.name,
        platform=str(node.platform),
        key=node.key,
        paths=node.paths,
        action=finding.action.value,
        reason=finding.reason,
    )


def _base(node: BaseNode, finding: Finding) -> PlannedBase:
    return PlannedBase(
        name=node.name,
        platform=str(node.platform),
        key=node.key,
        origin=node.origin.value,
        action=finding.action.value,
        proof=finding.proof,
        proven=finding.proven,
        reason=finding.reason,
    )


def _image(node: ImageNode, finding: Finding) -> PlannedImage:
    return PlannedImage(
        variant=node.variant,
        platform=str(node.platform),
        verdict=_verdict(node, finding).name.lower(),
        base=node.base,
        cores=tuple(key for _, key in sorted(node.cores.items())),
        action=finding.action.value,
        reason=finding.reason,
    )
