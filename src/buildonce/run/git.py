"""[io] What a Git checkout says of the commit that is built."""

from __future__ import annotations

import subprocess
from pathlib import Path

from buildonce.errors import UsageError


def commit_id(folder: Path) -> str:
    """Return the first twelve digits of the checked-out commit; raise `UsageError` outside a Git checkout."""
    found = _ask(folder, "rev-parse", "--short=12", "HEAD")
    if not found:
        raise UsageError(
            f"`{{sha}}` needs a Git commit, and `{folder}` is in no Git checkout with one",
            help="use another --tag template",
        )
    return found


def version(folder: Path) -> str:
    """Return the Git tag of the checked-out commit, without a leading ``v``; raise `UsageError` if it has none."""
    found = _ask(folder, "describe", "--tags", "--exact-match", "HEAD")
    if not found:
        raise UsageError(
            "`{version}` is the Git tag of the commit that is built, and this commit has none",
            help="tag the commit (`git tag v1.2.3`), or use {sha} in the --tag template",
        )
    return found[1:] if found[:1] == "v" and found[1:2].isdigit() else found


def _ask(folder: Path, *arguments: str) -> str:
    try:
        answer = subprocess.run(
            ("git", "-C", str(folder), *arguments), capture_output=True, text=True, check=False, timeout=30
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
