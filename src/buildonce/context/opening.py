"""[io] A build context with the ignore file that is in force."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from buildonce.dockerfile.ignore import IgnoreRules, compile_ignore
from buildonce.dockerfile.problems import Fault
from buildonce.dockerfile.runes import decode
from buildonce.errors import ContextError


class Context(Struct, frozen=True, kw_only=True):
    """A directory and what is left out of it; ``ignore_path`` is the file that says so, if there is one."""

    root: Path
    ignore: IgnoreRules
    ignore_path: Path | None = None


def open_context(root: Path, dockerfile_path: Path | None) -> Context:
    """Return the context at ``root`` with the ignore file of this Dockerfile, or else its own.

    Raises `ContextError` when one of them is not there, or when the ignore file cannot be used.
    """
    if not root.is_dir():
        raise ContextError(f"the build context `{root}` is not a directory")
    if dockerfile_path is not None and not dockerfile_path.is_file():
        raise ContextError(f"there is no Dockerfile at `{dockerfile_path}`")
    candidates = [root / ".dockerignore"]
    if dockerfile_path is not None:
        candidates.insert(0, dockerfile_path.with_name(f"{dockerfile_path.name}.dockerignore"))
    for path in candidates:
        if path.is_file():
            return Context(root=root, ignore=_read_ignore(path), ignore_path=path)
    return Context(root=root, ignore=IgnoreRules())


def _read_ignore(path: Path) -> IgnoreRules:
    try:
        return compile_ignore(decode(path.read_bytes()))
    except Fault as fault:
        raise ContextError(f"{path}: {fault.message}", help=fault.help) from fault
    except OSError as error:
        raise ContextError(f"cannot read `{path}`: {error.strerror}") from error
