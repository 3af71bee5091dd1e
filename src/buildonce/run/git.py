"""[io] What a Git checkout says of the commit that is built."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from buildonce.errors import NothingToFill, UsageError

_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def commit_id(folder: Path) -> str:
    """Return the first twelve digits of the checked-out commit; raise `UsageError` outside a Git checkout."""
    found = _ask(folder, "rev-parse", "--short=12", "HEAD")
    if not found:
        raise UsageError(
            f"`{{sha}}` needs a Git commit, and `{folder}` is in no Git checkout with one",
            help="use another template for tags",
        )
    return found


def version(folder: Path) -> str:
    """Return the Git tag of the checked-out commit, without a leading ``v``; raise `NothingToFill` if it has none."""
    found = find_version(folder)
    if not found:
        raise NothingToFill(
            "`{version}` is the Git tag of the commit that is built, and this commit has none",
            help="tag the commit (`git tag v1.2.3`), or use {sha} in the template for tags",
        )
    return found


def find_version(folder: Path) -> str:
    """Return the Git tag of the checked-out commit, without a leading ``v``; empty if it has none."""
    found = _ask(folder, "describe", "--tags", "--exact-match", "HEAD")
    return found[1:] if found[:1] == "v" and found[1:2].isdigit() else found


def all_tags(folder: Path) -> tuple[str, ...]:
    """Return the Git tags that this clone has."""
    return tuple(_ask(folder, "tag", "--list").split("\n"))


def current_branch(folder: Path) -> str:
    """Return the branch that is checked out, empty if it is a commit by itself."""
    return _ask(folder, "symbolic-ref", "--quiet", "--short", "HEAD")


def head(folder: Path) -> str:
    """Return the id of the checked-out commit, empty where there is none."""
    return _ask(folder, "rev-parse", "HEAD")


def find_commit(folder: Path, revision: str) -> str:
    """Return the id of the commit that a revision names. Raises `UsageError` if there is none."""
    if not _ask(folder, "rev-parse", "--show-toplevel"):
        raise UsageError(f"`{folder}` is in no Git checkout, so there is no revision `{revision}` to compare with")
    found = _ask(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if not found:
        raise UsageError(f"Git knows no revision `{revision}`", help="name a commit, a tag or a branch")
    return found


def tracked_files(folder: Path) -> frozenset[str] | None:
    """Return the paths of the files below ``folder`` that Git knows, relative to it; None outside of a checkout."""
    if not head(folder):
        return None
    return frozenset(_ask(folder, "ls-files", "-z").split("\0")) - {""}


def read_committed(folder: Path, commit: str, path: str) -> bytes | None:
    """Return a file's content in a commit, ``path`` relative to ``folder``; None if there is none."""
    if not _COMMIT.fullmatch(commit):
        return None  # it may come from somebody else's record
    answer = _run(folder, "cat-file", "blob", f"{commit}:./{path}")
    return answer.stdout if answer is not None and answer.returncode == 0 else None


def check_out(folder: Path, commit: str, target: Path) -> Path:
    """Write the files of a commit below ``target``, nothing else touched; return where ``folder`` is among them.

    Raises `UsageError` if that fails.
    """
    top = _ask(folder, "rev-parse", "--show-toplevel")
    # The name of the folder may be that of the image.
    tree = target / Path(top).name
    tree.mkdir()
    index = {**os.environ, "GIT_INDEX_FILE": str(target / "index")}
    commands = (("read-tree", commit), ("checkout-index", "--all", "--force", f"--prefix={tree}/"))
    for command in commands:
        done = subprocess.run(("git", "-C", top, *command), capture_output=True, text=True, check=False, env=index)
        if done.returncode != 0:
            raise UsageError(f"`git {command[0]}` of {commit} failed: {done.stderr.strip()}")
    return tree / folder.resolve().relative_to(Path(top).resolve())


def _ask(folder: Path, *arguments: str) -> str:
    answer = _run(folder, *arguments)
    return os.fsdecode(answer.stdout).strip() if answer is not None and answer.returncode == 0 else ""


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes] | None:
    try:
        return subprocess.run(("git", "-C", str(folder), *arguments), capture_output=True, check=False, timeout=30)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
