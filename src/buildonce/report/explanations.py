"""Explanations as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from buildonce.explain.causes import Finding
from buildonce.plan.accounts import Account, StageAccount
from buildonce.report.tables import count, printable
from buildonce.report.wire import ExplainedInput, ExplainedNode, ExplanationDocument
from buildonce.run.explaining import NodeExplanation

_MOST_FILES = 12
_MOST_FINDINGS = 20
_MOST_RUNS = 5


def render_explanations(explanations: Sequence[NodeExplanation], *, details: bool) -> str:
    """Return the explanations for people; the same findings for several platforms are told once.

    With ``details`` what a key covers is listed where there is no difference to tell.
    """
    if not explanations:
        return "Nothing here is built by an engine: there is nothing to explain."
    groups: dict[tuple[object, ...], list[NodeExplanation]] = {}
    for one in explanations:
        groups.setdefault(_likeness(one), []).append(one)
    return printable("\n\n".join("\n".join(_render(group, details=details)) for group in groups.values()))


def _likeness(one: NodeExplanation) -> tuple[object, ...]:
    told = tuple((finding.says, finding.difference.line) for finding in one.explanation.findings)
    return one.account.kind, one.account.name, status_of(one), one.is_there, told


def status_of(one: NodeExplanation) -> str:
    """Return ``new``, ``same``, ``changed``, or ``unknown`` where there is nothing to compare with."""
    if one.before is None:
        return "unknown" if one.is_there else "new"
    return "same" if one.before.key == one.account.key else "changed"


def _render(group: Sequence[NodeExplanation], *, details: bool) -> Iterator[str]:
    one = group[0]
    account = one.account
    platforms = ", ".join(dict.fromkeys(other.account.platform for other in group))
    yield f"{account.kind} {account.name}  {platforms}"
    status, key = status_of(one), account.key[:12]
    if status == "changed":
        yield from _changed(one)
        return
    if status == "new":
        yield f"  is built: there is nothing of its name to compare it with ({one.against})"
    elif one.before is None:
        yield f"  is not built again: its key {key} is in the cache"
    elif one.is_there is False:
        yield f"  no input differs from {one.against} (key {key}), but its result is not in the cache"
    else:
        yield f"  is not built again: no input differs from {one.against} (key {key})"
    if details:
        yield from _covers(account)


def _changed(one: NodeExplanation) -> Iterator[str]:
    assert one.before is not None  # noqa: S101  it has changed from something
    before, findings = one.before, one.explanation.findings
    took = f", which took {before.seconds:.1f} s" if before.seconds else ""
    at = f" at commit {before.commit[:12]}" if before.commit else ""
    done = "is in the cache all the same" if one.is_there else "is built again"
    yield f"  {done}; compared with {one.against} (key {before.key[:12]}{at}{took}):"
    for number, finding in enumerate(findings[:_MOST_FINDINGS], 1):
        place = f"{finding.difference.dockerfile}:{finding.difference.line}"
        yield f"  {number}. {finding.cause.value}: {finding.says}  ({place})"
        yield from (f"       {line}" for line in one.diffs.get(finding.difference.subject, ()))
        if finding.help:
            yield f"     help: {finding.help}"
    if len(findings) > _MOST_FINDINGS:
        yield f"  ... and {count(len(findings) - _MOST_FINDINGS, 'difference')} more; --json has all"
    if not findings:
        yield "  what differs was not recorded: the other account was made by another version of buildonce"
    reruns = one.explanation.reruns
    if reruns:
        yield f"  {count(len(reruns), 'RUN instruction')} of `{one.account.stage.name}` run again:"
        yield from (f"    line {step.line}: {_short(step.text)}" for step in reruns[:_MOST_RUNS])


def _covers(account: Account) -> Iterator[str]:
    """Yield what a key covers."""
    for stage in _in_order(account):
        where = f"{stage.dockerfile}:{stage.line}"
        yield f"  covers stage {stage.name} on {stage.base} ({where}, {_origin(stage)}):"
        for step in stage.steps:
            yield f"    line {step.line}: {_short(step.text)}"
            selected = (listed for digest, listed in account.files.items() if digest in step.recipe.files)
            files = [file.path for listed in selected for file in listed if file.type != "dir"]
            if files:
                shown = ", ".join(files[:_MOST_FILES])
                more = f" and {len(files) - _MOST_FILES} more" if len(files) > _MOST_FILES else ""
                yield f"      files: {shown}{more}"
            if step.args:
                yield f"      arguments: {', '.join(f'{name}={value}' for name, value in sorted(step.args.items()))}"
    if account.paths:
        yield f"  for the files {', '.join(account.paths)}"


def _in_order(account: Account) -> Iterable[StageAccount]:
    others = [stage for key, stage in account.stages.items() if key != account.root]
    return (*others, account.stage)


def _origin(stage: StageAccount) -> str:
    return stage.origin[:19] if stage.origin.startswith("sha256:") else stage.origin[:12]


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 100 else f"{flat[:97]}..."


def explanation_document(explanations: Iterable[NodeExplanation]) -> ExplanationDocument:
    """Return the explanations as they are printed with ``--json``."""
    return ExplanationDocument(nodes=tuple(_node(one) for one in explanations))


def _node(one: NodeExplanation) -> ExplainedNode:
    return ExplainedNode(
        kind=one.account.kind,
        name=one.account.name,
        platform=one.account.platform,
        key=one.account.key,
        cached=one.is_there,
        status=status_of(one),
        against=one.against,
        before=one.before.key if one.before else None,
        inputs=tuple(_input(finding, one) for finding in one.explanation.findings),
        reruns=tuple(step.text for step in one.explanation.reruns),
    )


def _input(finding: Finding, one: NodeExplanation) -> ExplainedInput:
    difference = finding.difference
    return ExplainedInput(
        kind=difference.kind.value,
        cause=finding.cause.value,
        subject=difference.subject,
        before=difference.before,
        after=difference.after,
        stage=difference.stage,
        dockerfile=difference.dockerfile,
        line=difference.line,
        says=finding.says,
        help=finding.help,
        diff=one.diffs.get(difference.subject, ()),
    )
