"""What fuzzing found, run again."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, run_target

FOLDER = Path(__file__).parent.parent / "data" / "fuzz"


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_that_fuzzing_found_are_read_or_refused(name: str) -> None:
    lines = (FOLDER / f"{name}.txt").read_text().split()
    assert lines
    for line in lines:
        run_target(name, base64.b64decode(line))
