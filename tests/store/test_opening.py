"""A store as the user writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildonce.errors import UsageError
from buildonce.reference import Repository
from buildonce.store.layout import LayoutStore
from buildonce.store.opening import LayoutLocation, open_store, parse_store
from buildonce.store.registry import RegistrySession, RegistryStore


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("oci:out", LayoutLocation(Path("out"))),
        ("oci:/a b/c:d", LayoutLocation(Path("/a b/c:d"))),
        ("debian", Repository("docker.io", "library/debian")),
        ("ghcr.io/org/app", Repository("ghcr.io", "org/app")),
        ("127.0.0.1:5000/app", Repository("127.0.0.1:5000", "app")),
    ],
)
def test_a_store_is_a_layout_or_a_repository(text: str, location: LayoutLocation | Repository) -> None:
    assert parse_store(text) == location


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("oci:", "oci:DIR"),
        ("./out", "oci:./out"),
        ("/out", "oci:/out"),
        (".", "oci:."),
        ("https://ghcr.io/org/app", "without a scheme"),
        ("docker://ghcr.io/org/app", "without a scheme"),
        ("ghcr.io/org/app:v1", "reference"),
        ("", "reference"),
        ("Upper", "reference"),
    ],
)
def test_what_is_no_store_is_a_usage_error_with_a_cure(text: str, cure: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_store(text)
    assert cure in str(caught.value)


def test_opening_reads_nothing(session: RegistrySession, tmp_path: Path) -> None:
    layout = open_store(LayoutLocation(tmp_path / "absent"), session)
    assert isinstance(layout, LayoutStore)
    assert layout.name == f"oci:{tmp_path / 'absent'}"
    repository = open_store(Repository("r.example", "app"), session)
    assert isinstance(repository, RegistryStore)
    assert repository.name == "r.example/app"
