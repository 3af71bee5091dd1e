"""[io] A project's files as a checkout has them: what Git knows or would know, with its history; else all of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_OWN = ".buildonce"


def check_out(project: Path, target: Path) -> None:
    """Copy a project to an empty folder: changes that are not committed are in it, what Git ignores is not."""
    listed = subprocess.run(
        ["git", "-C", project, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0 or not listed.stdout:  # no checkout, or a folder that Git ignores as a whole
        shutil.copytree(project, target, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(_OWN))
        return
    for name in listed.stdout.split(b"\0"):
        path = project / name.decode("utf-8", "surrogateescape")
        if name and (path.is_symlink() or path.is_file()):
            copy = target / path.relative_to(project)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy, follow_symlinks=False)
    history = project / ".git"
    if history.is_dir():
        shutil.copytree(history, target / ".git", symlinks=True)
