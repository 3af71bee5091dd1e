"""Compose files, read by ourselves and by a real `docker buildx bake`, which reads them with Compose's own library.

It differs from Compose, and from us, in two things: `image` counts only where `build` has no `tags`, and `platform`
does not count. They are not compared.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from buildonce.engines.programs import buildx_command
from buildonce.errors import UsageError
from buildonce.project.bake import read_bake
from buildonce.project.declaration import Declaration
from buildonce.run.compose_files import load_compose
from tests.project.compose_documents import CASES, Case

pytestmark = pytest.mark.host


def theirs(folder: Path, environment: Mapping[str, str]) -> Declaration | None:
    """Return what buildx makes of the Compose file in a folder, None when it refuses."""
    command = buildx_command(os.environ)
    assert command, 'no buildx: run `scripts/host up` and `eval "$(scripts/host env)"`'
    argv = [*command, "bake", "--print", "--progress=quiet", "--file=compose.yaml"]
    done = subprocess.run(argv, cwd=folder, env={**os.environ, **environment}, capture_output=True)
    return read_bake(done.stdout) if done.returncode == 0 else None


def write(case: Case, folder: Path) -> None:
    (folder / "compose.yaml").write_text(case.text)
    if case.dotenv:
        (folder / ".env").write_text(case.dotenv)


def by_name(declaration: Declaration) -> Mapping[str, object]:
    return {variant.name: variant for variant in declaration.variants}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_we_read_what_buildx_reads(case: Case, tmp_path: Path) -> None:
    write(case, tmp_path)
    expected = theirs(tmp_path, case.environment)
    assert expected is not None
    assert by_name(load_compose(tmp_path, environment=case.environment)) == by_name(expected)


@pytest.mark.parametrize(
    "value", ["${UNSET:?m}", "${EMPTY:?m}", "${UNSET?}", "${", "${A", "${ A }", "${A:=b}", "${A/b/c}", "${}", "${1}"]
)
def test_what_buildx_refuses_we_refuse(value: str, tmp_path: Path) -> None:
    case = Case(text=f"services:\n  s:\n    build:\n      args:\n        A: '{value}'\n", environment={"EMPTY": ""})
    write(case, tmp_path)
    assert theirs(tmp_path, case.environment) is None
    with pytest.raises(UsageError):
        load_compose(tmp_path, environment=case.environment)
