"""What `verify` found, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from buildonce.report.tables import count, printable, render_size, render_table
from buildonce.report.wire import (
    VerificationDocument,
    VerifiedCopy,
    VerifiedFinding,
    VerifiedImage,
    VerifiedPlace,
    VerifiedRemark,
)
from buildonce.run.outcome import Traffic
from buildonce.verify.findings import Finding, Place, Remark
from buildonce.verify.images import Use
from buildonce.verify.release import Verification

_MOST_FINDINGS = 50
_MOST_NAMED = 8
_MOST_IMAGES = 60


def render_verification(done: Verification, traffic: Traffic) -> str:
    """Return the images, what is wrong with each reference and why that matters, and what it took to see it."""
    parts = [_images(done)] if done.uses else []
    parts += [_finding(finding) for finding in done.findings[:_MOST_FINDINGS]]
    if len(done.findings) > _MOST_FINDINGS:
        parts.append(f"... and {count(len(done.findings) - _MOST_FINDINGS, 'finding')} more; --json has all")
    parts += [_remark(remark) for remark in done.remarks]
    parts.append("\n".join(_summary(done, traffic)))
    return printable("\n\n".join(parts))


def _images(done: Verification) -> str:
    """Return the images as a table; of very many those with findings, and how many others there are."""
    hit = (place for finding in done.findings for place in (finding.place, *finding.also))
    wrong = Counter((place.reference, place.platform) for place in hit)
    order = {reference: number for number, reference in enumerate(done.references)}
    uses = sorted(done.uses, key=lambda use: (order[use.reference], str(use.platform)))
    shown = uses if len(uses) <= _MOST_IMAGES else [use for use in uses if _count(use, wrong)][:_MOST_IMAGES]
    rows = [
        (use.reference, str(use.platform or "?"), use.image.stored.digest[7:19], _state(use, wrong)) for use in shown
    ]
    table = render_table(("REFERENCE", "PLATFORM", "IMAGE", "FOUND"), rows)
    left = len(uses) - len(shown)
    return f"{table}\n... and {count(left, 'image')} more; --json has all" if left else table


def _count(use: Use, wrong: Counter[tuple[str, str]]) -> int:
    return wrong[(use.reference, str(use.platform or ""))]


def _state(use: Use, wrong: Counter[tuple[str, str]]) -> str:
    found = _count(use, wrong)
    return count(found, "finding") if found else "-"


def _finding(finding: Finding) -> str:
    lines = [f"error[{finding.kind.value}]: {finding.message}", f"  --> {finding.place}"]
    also = [f"it hits {_names(finding.also)} too"] if finding.also else []
    lines += [f"  = note: {note}" for note in (*finding.notes, *also, finding.why)]
    return "\n".join([*lines, f"help: {finding.help}"])


def _names(places: Sequence[Place]) -> str:
    shown = ", ".join(f"{place.reference} {place.platform}".strip() for place in places[:_MOST_NAMED])
    return shown + (f" and {len(places) - _MOST_NAMED} more" if len(places) > _MOST_NAMED else "")


def _remark(remark: Remark) -> str:
    return f"note: {remark.message}\n  --> {remark.place}"


def _summary(done: Verification, traffic: Traffic) -> Iterator[str]:
    platforms = {use.platform for use in done.uses}
    images = {use.image.stored.digest for use in done.uses}
    found = count(len(done.findings), "finding") if done.findings else "nothing is wrong"
    yield (
        f"{count(len(done.references), 'reference')}, {count(len(images), 'image')}"
        f" for {count(len(platforms), 'platform')}: {found}"
    )
    if done.is_quick:
        yield f"asked for {count(done.blobs, 'layer')}; none was read"
    else:
        yield f"read {count(done.blobs, 'layer')}, {render_size(done.bytes)}"
        compared, fitted = count(done.compared, "file"), count(done.fitted, "image")
        yield f"compared {compared} between variants, and checked in {fitted} whether programs run"
    if done.rebuilt:
        yield f"compared {count(done.rebuilt, 'image')} with a build"
    yield f"{count(traffic.requests, 'request')}, {render_size(traffic.bytes_down)} down"


def verification_document(done: Verification, traffic: Traffic) -> VerificationDocument:
    """Return what was found as it is printed with ``--json``."""
    return VerificationDocument(
        passed=not done.findings,
        quick=done.is_quick,
        references=done.references,
        images=tuple(_image(use) for use in done.uses),
        findings=tuple(
            VerifiedFinding(
                code=finding.kind.value,
                message=finding.message,
                place=_place(finding.place),
                also=tuple(_place(place) for place in finding.also),
                notes=finding.notes,
                why=finding.why,
                help=finding.help,
            )
            for finding in done.findings
        ),
        remarks=tuple(VerifiedRemark(message=one.message, place=_place(one.place)) for one in done.remarks),
        layers=done.blobs,
        bytes_read=done.bytes,
        compared=done.compared,
        fitted=done.fitted,
        rebuilt=done.rebuilt,
        requests=traffic.requests,
        bytes_down=traffic.bytes_down,
    )


def _image(use: Use) -> VerifiedImage:
    copies = use.late_copies
    return VerifiedImage(
        reference=use.reference,
        platform=str(use.platform or ""),
        digest=use.image.stored.digest,
        layers=len(use.image.manifest.layers),
        copies=None
        if copies is None
        else tuple(
            VerifiedCopy(core=copy.core, layer=copy.layer, sources=copy.sources, destination=copy.destination)
            for copy in copies
        ),
    )


def _place(place: Place) -> VerifiedPlace:
    return VerifiedPlace(reference=place.reference, platform=place.platform, subject=place.subject, path=place.path)
