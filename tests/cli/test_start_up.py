"""Commands load only what they need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from buildonce import cli
from buildonce.cli.main import main

HEAVY = ("isal", "ssl")


def loaded(code: str, folder: Path) -> set[str]:
    """Return the names of the modules that are loaded after ``code`` ran."""
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=folder)
    return set(done.stdout.split("\n"))


def test_the_version_loads_next_to_nothing(tmp_path: Path) -> None:
    modules = loaded("from buildonce.cli.main import guarded\nguarded(['--version'])", tmp_path)
    ours = {name for name in modules if name.startswith("buildonce.")}
    assert ours == {"buildonce.cli", "buildonce.cli.main", "buildonce.errors"}
    assert not modules & {*HEAVY, "asyncio.base_events"}


def test_a_plan_loads_no_compressor(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch AS a\nCOPY x /\n")
    (tmp_path / "x").write_text("x")
    modules = loaded("from buildonce.cli.main import guarded\nassert guarded(['plan']) == 0", tmp_path)
    assert "isal" not in modules


def test_every_module_of_a_command_is_a_command() -> None:
    helpers = {"__init__", "build_flags", "carrying", "effective", "job_pages", "main", "options", "wiring"}
    modules = {path.stem for path in Path(cli.__file__).parent.glob("*.py")} - helpers
    assert modules == set(main.list_commands(click.Context(main)))
    for name in modules:
        assert main.get_command(click.Context(main), name) is not None


def test_a_project_can_be_tried_out_without_its_images(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM rust AS c\nRUN make\nFROM debian AS one\nCOPY --from=c /a /b\n")
    tryout = Path(__file__).parents[2] / "scripts" / "tryout"
    done = subprocess.run([sys.executable, tryout, "--context", tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("1 image: 1 variant for 1 platform, from 1 core and 1 base\n")
