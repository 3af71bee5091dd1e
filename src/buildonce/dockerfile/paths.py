"""Paths in an image, as instructions write them (BuildKit, util/system/path.go, for Linux)."""

from __future__ import annotations

import posixpath


def clean_path(path: str) -> str:
    """Return Go's ``path.Clean`` of ``path``: the shortest equal path, ``.`` when nothing is left."""
    cleaned = posixpath.normpath(path) if path else "."
    return "/" + cleaned.lstrip("/") if cleaned.startswith("/") else cleaned


def join_workdir(workdir: str, path: str) -> str:
    """Return the working directory after ``WORKDIR path``; an absolute path is kept as it is written."""
    if not path or not path.startswith("/"):
        return clean_path("/" + posixpath.join(workdir or "/", path)) if path else (workdir or "/")
    return path


def resolve_destination(workdir: str, path: str) -> str:
    """Return where a COPY to ``path`` goes, absolute; a final ``/`` or ``/.``, which means a directory, is kept."""
    if path.startswith("/"):
        return path
    path = "./" if path in ("", ".") else path
    joined = join_workdir(workdir, path)
    if path.endswith("/") and not joined.endswith("/"):
        return joined + "/"
    if path.endswith("/."):
        return joined.rstrip("/") + "/."
    return joined
