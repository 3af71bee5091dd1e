"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# How long an example takes says more of the machine than of the code. What fails in CI has to fail again.
settings.register_profile("buildonce", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
settings.load_profile("buildonce")
