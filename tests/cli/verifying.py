"""`verify` as tests call it, and what it says."""

from __future__ import annotations

import msgspec

from buildonce.report.wire import VerificationDocument
from tests.cli.conftest import Call
from tests.verify.releases import RegistryShelf


def verified(call: Call, *arguments: str, code: int = 0) -> VerificationDocument:
    """Run the command; return what it prints, which has the published form."""
    ran = call("verify", "--json", *arguments)
    assert ran.code == code, ran.out + ran.err
    return msgspec.json.decode(ran.out, type=VerificationDocument)


def codes_of(document: VerificationDocument) -> list[str]:
    return [finding.code for finding in document.findings]


def remarks_of(document: VerificationDocument) -> str:
    return "\n".join(remark.message for remark in document.remarks)


def index_of(shelf: RegistryShelf, tag: str) -> bytes:
    return shelf.content(shelf.registry.repository(shelf.repository).tags[tag])
