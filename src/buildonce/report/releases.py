"""What became of a staged release's tags, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from buildonce.report.tables import render_table
from buildonce.report.wire import BuiltTag, ReleaseDocument
from buildonce.ship.publication import TagResult


def render_release(tags: Sequence[TagResult]) -> str:
    """Return the table of tags."""
    rows = [(one.variant, f"{one.target}:{one.tag}", one.outcome.value, one.digest[7:19]) for one in tags]
    return render_table(("VARIANT", "TAG", "OUTCOME", "DIGEST"), rows)


def release_document(tags: Sequence[TagResult]) -> ReleaseDocument:
    """Return what `release --json` prints."""
    return ReleaseDocument(tags=built_tags(tags))


def built_tags(tags: Sequence[TagResult]) -> tuple[BuiltTag, ...]:
    """Return tags as documents have them."""
    return tuple(
        BuiltTag(target=one.target, variant=one.variant, tag=one.tag, digest=one.digest, outcome=one.outcome.value)
        for one in tags
    )
