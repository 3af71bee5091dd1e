"""What the tests against a real registry and a real BuildKit share: the host, and builds that take long."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.e2e.harness import Host, load_host
from tests.e2e.stories import Stories, tell_stories


@pytest.fixture(scope="session")
def host() -> Host:
    """The test host; it fails where none is up."""
    return load_host()


@pytest.fixture(scope="session")
def run_id() -> str:
    """What sets this run's repositories and versions apart from those of others."""
    return secrets.token_hex(4)


@pytest.fixture(scope="session")
def stories(host: Host, run_id: str, tmp_path_factory: pytest.TempPathFactory) -> Stories:
    """The example family's life: built, changed in several ways, and built again after each."""
    return tell_stories(host, run_id, tmp_path_factory.mktemp("stories"))


@pytest.fixture
def repository(host: Host, run_id: str, tmp_path: Path) -> str:
    """A repository that nobody else uses."""
    return host.repository(f"e2e-{run_id}/{secrets.token_hex(4)}")
