"""What registries want users to know: warnings that come with any answer (distribution-spec, "Warnings")."""

from __future__ import annotations

import re
from collections.abc import Iterator

from buildonce.store.registry.faults import printable
from buildonce.store.registry.messages import Head

_LIMIT = 4096
_WARNING = re.compile(r'299\s+\S+\s+"((?:[^"\\]|\\.)*)"')


def read_warnings(head: Head) -> Iterator[str]:
    """Give the texts of an answer's ``Warning: 299 - "text"`` headers, which have 4096 bytes in all."""
    left = _LIMIT
    for header in head.all("warning"):
        for match in _WARNING.finditer(header[:left]):
            if text := printable(re.sub(r"\\(.)", r"\1", match[1]), _LIMIT).strip():
                yield text
        left -= len(header)
        if left <= 0:
            return
