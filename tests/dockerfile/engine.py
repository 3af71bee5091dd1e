"""[io] A real BuildKit, to ask what it makes of a Dockerfile."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from buildonce.context import Selected
from buildonce.oci import digest_of

Found = Mapping[str, tuple[str, str, int]]
"""Type, digest or link target, and mode, by path."""

_REFUSALS = ("failed to solve", "failed to run Build function")
"""How buildx begins what BuildKit says of a Dockerfile; which of both depends on who is quicker to say it."""


def build(
    folder: Path,
    text: str,
    output: str,
    *flags: str,
    context: Path | None = None,
) -> str | None:
    """Build with the engine that the environment leads to; return what it says when it fails, else None."""
    assert os.environ.get("DOCKER_HOST"), 'no test host: run `scripts/host up` and `eval "$(scripts/host env)"`'
    (folder / "D").write_text(text)
    argv = ["docker", "buildx", "build", "--file", f"{folder}/D", *flags, "--output", output, str(context or folder)]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0 or any(words in done.stderr for words in _REFUSALS), done.stderr
    return done.stderr if done.returncode else None


def read_tree(root: Path) -> Found:
    """Return what an engine wrote to a folder."""
    found = {}
    for path in root.rglob("*"):
        name, state = str(path.relative_to(root)), path.lstat()
        if path.is_symlink():
            found[name] = ("symlink", os.readlink(path), 0o777)  # noqa: PTH115 - Path would tidy the target up
        elif path.is_dir():
            found[name] = ("dir", "", stat.S_IMODE(state.st_mode))
        else:
            found[name] = ("file", digest_of(path.read_bytes()), stat.S_IMODE(state.st_mode))
    return found


def place(selected: tuple[Selected, ...]) -> Found:
    """Return what a COPY of these files to a new directory makes there."""
    found = {}
    for one in selected:
        name = one.relative or ("" if one.type == "dir" else one.source.rpartition("/")[2])
        if name:
            found[name] = (one.type, one.target or one.digest or "", one.mode)
    return found
