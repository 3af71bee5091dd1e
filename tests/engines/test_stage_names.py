"""Stages' names in lower case, and nothing else changed."""

from __future__ import annotations

import pytest

from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.runes import encode
from buildonce.engines.stage_names import lower_stage_names

CASES = [
    ("FROM a AS Below\nFROM b\nCOPY --from=BELOW /A /A\n", "FROM a as below\nFROM b\nCOPY --from=below /A /A\n"),
    (
        "FROM a AS B\nFROM b\nRUN --mount=type=bind,from=B,target=/B cat /B from=B2\n",
        "FROM a as b\nFROM b\nRUN --mount=type=bind,from=b,target=/B cat /B from=B2\n",
    ),
    ("FROM a \\\n  AS Below\nFROM b\n", "FROM a \\\n  as below\nFROM b\n"),
    ("FROM A as below\nCOPY --from=0 /a /b\n", "FROM A as below\nCOPY --from=0 /a /b\n"),
    ("FROM a\nCOPY --from=Other/Image /a /b\n", "FROM a\nCOPY --from=Other/Image /a /b\n"),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_names_of_stages_become_lower_case(text: str, expected: str) -> None:
    assert lower_stage_names(parse_dockerfile(encode(text), "Dockerfile")) == expected
