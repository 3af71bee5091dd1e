"""What is noted where Buildah may have lost what a command said."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildonce.engines.buildah_losses import is_silent, notes_on_losses, null_problem
from buildonce.engines.last_lines import LastLines

STEP = "STEP 2/2: RUN make"
ERROR = 'Error: building at STEP "RUN make": exit status 2'


def test_the_null_device_is_known_from_others(tmp_path: Path) -> None:
    file = tmp_path / "null"
    file.write_text("said")
    assert null_problem() == ""
    assert null_problem(Path("/dev/zero")) == "/dev/zero is another device: 1, 5 instead of 1, 3"
    assert null_problem(file) == f"{file} is no device, but a file of 4 bytes"
    assert null_problem(tmp_path / "none") == f"{tmp_path}/none cannot be looked at: No such file or directory"


@pytest.mark.parametrize(
    ("lines", "silent"),
    [
        ((STEP, "subprocess exited with status 2 (2 times)", ERROR), True),
        ((STEP, ERROR), True),
        ((STEP, "make: *** no rule", "subprocess exited with status 2", ERROR), False),
        (("Error: no such image",), False),
        (("STEP 2/2: COPY a /a", 'Error: building at STEP "COPY a /a": no such file'), False),
        ((), False),
    ],
)
def test_a_command_that_was_not_heard(lines: tuple[str, ...], silent: bool) -> None:
    last = LastLines()
    for line in lines:
        last.add(line)
    assert is_silent(last.lines) is silent
    assert len(notes_on_losses(last)) == silent
