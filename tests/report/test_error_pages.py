"""Every error code has a page, and the page says what really happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.patterns import LONGEST
from buildonce.dockerfile.problems import PROBLEMS, Fault
from buildonce.dockerfile.rewriting import append_stage
from buildonce.dockerfile.words import expand
from buildonce.verify.findings import MEANINGS, Kind
from scripts.error_pages import FOLDER, NEXT_STEPS, error_classes, render_pages

SOURCES = Path(__file__).parents[2] / "src"


def test_the_pages_are_those_of_the_code() -> None:
    kept = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert kept == dict(render_pages()), "run scripts/error_pages.py"


def test_every_code_in_the_sources_has_a_page() -> None:
    used = {code for path in SOURCES.rglob("*.py") for code in re.findall(r'"(DF[0-9]{3})"', path.read_text())}
    assert used == set(PROBLEMS)
    raised = {
        code
        for path in SOURCES.rglob("*.py")
        if path.name != "problems.py"
        for code in re.findall(r'"(DF[0-9]{3})"', path.read_text())
    }
    assert raised == set(PROBLEMS), "a code that nothing raises"
    assert set(error_classes()) == set(NEXT_STEPS)


def test_every_kind_of_finding_has_a_meaning_and_is_found_somewhere() -> None:
    assert set(MEANINGS) == set(Kind)
    sources = "".join(path.read_text() for path in SOURCES.rglob("*.py") if path.name != "findings.py")
    assert {kind.name for kind in Kind} == set(re.findall(r"\bKind\.([A-Z_]+)\b", sources)) & {k.name for k in Kind}


def test_the_listed_differences_are_real() -> None:
    """What docs/deviations.md says of Dockerfiles, as far as one can see it without BuildKit."""
    with pytest.raises(Fault) as caught:
        expand("${A//a/" + "b" * 1024 + "}", {"A": "a" * (LONGEST // 1024 + 1)}, escape="\\")
    assert caught.value.problem == "DF013"
    text = "FROM a\nRUN y \\ \\"
    assert parse_dockerfile(text.encode(), "Dockerfile").stages
    with pytest.raises(Fault) as caught:
        append_stage(text, ["FROM b"])
    assert caught.value.problem == "DF037"
