"""Where findings are written down while a release is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field

from buildonce.verify.findings import Finding, Kind, Place, Remark

_MOST = 1000
"""How many findings and remarks are kept of each: whoever has more has one cause for all of them."""


@dataclass(slots=True)
class Ledger:
    """Findings and remarks in the order in which they came; the same one is kept once."""

    findings: dict[Finding, None] = field(default_factory=dict)
    remarks: dict[Remark, None] = field(default_factory=dict)

    def find(
        self, kind: Kind, message: str, place: Place, *notes: str, also: tuple[Place, ...] = (), cure: str = ""
    ) -> None:
        """Write down something that is wrong; see `Finding`."""
        if len(self.findings) < _MOST:
            finding = Finding(kind=kind, message=message, place=place, notes=notes, also=also, cure=cure)
            self.findings[finding] = None

    def remark(self, message: str, place: Place) -> None:
        """Write down something that a reader should know."""
        if len(self.remarks) < _MOST:
            self.remarks[Remark(message=message, place=place)] = None
