"""What a copy did, as a table and as JSON."""

from __future__ import annotations

from collections import Counter

from buildonce.report.tables import count, printable, render_size, render_table
from buildonce.report.wire import CopiedImage, CopyDocument
from buildonce.run.outcome import Traffic
from buildonce.ship.publication import Published
from buildonce.store.protocol import Outcome


def render_copy(done: Published, traffic: Traffic) -> str:
    """Return the table of images, and what it took."""
    rows = [(one.variant, f"{one.target}:{one.tag}", one.outcome.value, one.digest[7:19]) for one in done.tags]
    table = render_table(("IMAGE", "TAG", "OUTCOME", "DIGEST"), rows)
    blobs = Counter(done.blobs)
    took = [f"{blobs[outcome]} {outcome.value}" for outcome in Outcome if blobs[outcome]]
    lines = [f"blobs: {', '.join(took) or 'none had to be sent'}"]
    if traffic.requests:
        lines.append(
            f"{count(traffic.requests, 'request')}, {render_size(traffic.bytes_up)} up, "
            f"{render_size(traffic.bytes_down)} down"
        )
    return printable("\n".join((table, "", *lines)))


def copy_document(done: Published, traffic: Traffic) -> CopyDocument:
    """Return what `copy --json` prints."""
    blobs = Counter(done.blobs)
    return CopyDocument(
        images=tuple(
            CopiedImage(image=one.variant, target=one.target, tag=one.tag, digest=one.digest, outcome=one.outcome.value)
            for one in done.tags
        ),
        uploaded=blobs[Outcome.UPLOADED],
        mounted=blobs[Outcome.MOUNTED],
        existed=blobs[Outcome.EXISTED],
        requests=traffic.requests,
        bytes_up=traffic.bytes_up,
        bytes_down=traffic.bytes_down,
    )
