"""docs/moving-from-a-matrix.md, followed word for word on a copy of the example."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.guides import is_said, read_guide
from tests.e2e.harness import CHECKOUT, Host

pytestmark = pytest.mark.host

GUIDE = CHECKOUT / "docs" / "moving-from-a-matrix.md"


def test_the_guide_leads_where_it_says(host: Host, run_id: str, tmp_path: Path) -> None:
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    program = bin_folder / "buildonce"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m buildonce "$@"\n')
    program.chmod(0o755)
    environment = {
        **host.environment,
        "HOME": str(tmp_path),
        "PATH": os.pathsep.join((str(bin_folder), host.environment["PATH"])),
        "BUILDONCE_STATE": str(tmp_path / "state"),
        **{f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    replaced = {"ghcr.io/acme": f"{host.registry}/guide-{run_id}", "localhost:5000": f"{host.registry}/tried-{run_id}"}
    folder, ran = CHECKOUT, 0
    for step in read_guide(GUIDE):
        if step.file:
            text = "\n".join(step.lines) + "\n"
            for old, new in replaced.items():
                text = text.replace(old, new)
            (folder / step.file).write_text(text)
            continue
        command = step.command
        for old, new in replaced.items():
            command = command.replace(old, new)
        done = subprocess.run(
            ["bash", "-c", f"{command} && pwd"], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"$ {step.command}\n{done.stdout}{done.stderr}"
        *printed, there = done.stdout.splitlines()
        folder, ran = Path(there), ran + 1
        said = "".join(f"{line}\n" for line in (*printed, *done.stderr.splitlines()))
        quiet = "".join(f"{line}\n" for line in printed)
        assert any(is_said(step.lines, text, replaced=replaced) for text in (quiet, said)), f"$ {step.command}\n{said}"
    assert ran > 15
    subprocess.run(["docker", "image", "rm", "agents:main-claude"], env=environment, capture_output=True, check=True)
