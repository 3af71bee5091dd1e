"""Where things are and where they go, as bake and Compose files write it."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from msgspec import Struct

from buildonce.errors import UsageError
from buildonce.plan.secrecy import hide_credentials
from buildonce.reference import parse_reference

REMOTE = ("https://", "http://", "git://", "ssh://", "git@", "github.com/")
"""How the addresses begin of what an engine fetches."""

_SCHEMES = ("docker-image://", "oci-layout://", *REMOTE)


class Destination(Struct, frozen=True):
    """The repository that an image is pushed to, and its tags there; None and empty where nothing says it."""

    push: str | None = None
    tags: tuple[str, ...] = ()


def split_tags(references: Sequence[str]) -> Destination:
    """Return full references (``registry/repository:tag``) as one repository and its tags. Raises `UsageError`.

    A reference without a tag means ``latest``; one without a registry Docker Hub, as `docker push` takes it.
    """
    found: dict[str, list[str]] = {}
    for text in references:
        reference = parse_reference(text)
        if reference.digest:
            raise UsageError(f"`{text}` has a digest, which nobody knows before the image is built")
        found.setdefault(str(reference.repository), []).append(reference.name)
    if not found:
        return Destination()
    if len(found) > 1:
        raise UsageError(
            f"the image goes to several repositories: {', '.join(found)}",
            help="keep the tags of one of them, and copy the released image to the others",
        )
    ((push, tags),) = found.items()
    return Destination(push=push, tags=tuple(dict.fromkeys(tags)))


def build_context(text: str, folder: str = "") -> str:
    """Return a build context's path; ``folder`` is what it is relative to. Raises `UsageError` if it is no folder.

    ``cwd://`` is bake's word for the folder that bake runs in.
    """
    if text == "-":
        raise UsageError("a context from standard input is not read", help="name a folder")
    if text.startswith(_SCHEMES):
        raise UsageError(
            f"the context `{hide_credentials(text)}` is elsewhere, and only a folder here can be one",
            help="clone or download it, and name the folder",
        )
    return join(folder, text.removeprefix("cwd://"))


def dockerfile_path(text: str, context: str) -> str:
    """Return a Dockerfile's path, which is relative to its context. Raises `UsageError` if it is no file here."""
    if text == "-":
        raise UsageError("a Dockerfile from standard input is not read", help="name a file")
    if text.startswith("cwd://"):
        return join("", text.removeprefix("cwd://"))
    if text.startswith(REMOTE):
        raise UsageError(
            f"the Dockerfile `{hide_credentials(text)}` is elsewhere", help="download it, and name the file"
        )
    return join(context, text)


def named_context(text: str, folder: str = "") -> str:
    """Return a named context's value as ``--build-context`` takes it; a folder is relative to ``folder``."""
    return text if text.startswith(_SCHEMES) else join(folder, text.removeprefix("cwd://"))


def join(folder: str, path: str) -> str:
    """Return a path as it is seen from where ``folder`` is seen, tidied up."""
    return posixpath.normpath(posixpath.join(folder, path or "."))
