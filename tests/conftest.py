"""What holds for all tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# How long an example takes says more of the machine than of the code. What fails in CI has to fail again.
settings.register_profile("buildonce", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
settings.load_profile("buildonce")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a module's tests on the test host together, and those that look at the same stories: they share much."""
    for item in items:
        if item.get_closest_marker("host"):
            group = "stories" if "stories" in getattr(item, "fixturenames", ()) else str(item.path)
            item.add_marker(pytest.mark.xdist_group(group))
