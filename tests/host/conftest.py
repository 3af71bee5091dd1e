"""The test host as its users see it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def host_environment() -> dict[str, str]:
    """Return the variables that lead to the test host; fails if it is not up."""
    done = subprocess.run([CHECKOUT / "scripts" / "host", "env", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    variables: dict[str, str] = json.loads(done.stdout)
    return variables
