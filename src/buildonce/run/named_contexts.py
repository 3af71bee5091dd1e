"""[io] Named contexts as the user gives them: ``NAME=VALUE``, read as ``docker buildx build --build-context`` reads it.

A folder follows its own ``.dockerignore``, whatever the Dockerfile (BuildKit, frontend/dockerui/namedcontext.go).
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from buildonce.context import open_context
from buildonce.dockerfile.stages import familiar_context_name
from buildonce.errors import UsageError
from buildonce.oci import Digest
from buildonce.plan.images import LAYOUT_SCHEME, LayoutReference, parse_image_address
from buildonce.plan.recipes import FileInput
from buildonce.plan.secrecy import hide_credentials
from buildonce.plan.sources import FolderContext, ImageContext, NamedContext, RemoteContext
from buildonce.project.links import linked_name
from buildonce.project.places import REMOTE
from buildonce.reference import parse_reference
from buildonce.run.project import ProjectContext

_IMAGE_SCHEME = "docker-image://"
_SCHEMES = (_IMAGE_SCHEME, LAYOUT_SCHEME, *(one for one in REMOTE if one.endswith("://")))


class _Folder:
    """The files of a folder, which is opened when a Dockerfile takes something from it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._context: ProjectContext | None = None

    def digest(self, sources: tuple[str, ...], exclude: tuple[str, ...], *, parents: bool = False) -> Digest:
        """Return the digest of what these source words select. Raises `ContextError`."""
        return self._opened().digest(sources, exclude, parents=parents)

    def files(
        self, sources: tuple[str, ...], exclude: tuple[str, ...], *, parents: bool = False
    ) -> tuple[FileInput, ...]:
        """Return what these source words select, by name. Raises `ContextError`."""
        return self._opened().files(sources, exclude, parents=parents)

    def _opened(self) -> ProjectContext:
        if self._context is None:
            self._context = ProjectContext(open_context(self._path, None))
        return self._context


def load_named_contexts(pairs: Sequence[str], folder: Path | None = None) -> Mapping[str, NamedContext]:
    """Return the named contexts by their familiar names; of two with one name the last counts. Raises `UsageError`.

    Relative paths start from ``folder``, else from the current one.
    """
    found: dict[str, NamedContext] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        shown = hide_credentials(pair)
        if not name or not equals or not value:
            raise UsageError(
                f"`--build-context {shown}` is no name and value",
                help="write it as --build-context NAME=VALUE; the value is a folder, docker-image://REFERENCE, "
                "oci-layout://PATH, a Git repository or a URL",
            )
        found[_checked_name(name, shown)] = _load(name, value, folder or Path())
    return found


def _checked_name(name: str, shown: str) -> str:
    if "::" in name:
        raise UsageError(
            f"`--build-context {shown}` is for one platform only, which is not supported",
            help=f"name it `{name.partition('::')[0]}`, and give an image that has all platforms",
        )
    try:
        parse_reference(name)
    except UsageError as error:
        lower = name.lower()
        raise UsageError(
            f"a named context cannot be called `{name}`",
            notes=("its name has the form of an image's name: lower case, without spaces",),
            help=f"call it `{lower}`; FROM and --from find it in any case" if lower != name else None,
        ) from error
    return familiar_context_name(name)


def _load(name: str, value: str, folder: Path) -> NamedContext:
    if value.startswith(_IMAGE_SCHEME):
        reference = value.removeprefix(_IMAGE_SCHEME)
        parse_reference(reference)
        return ImageContext(address=reference)
    if value.startswith(LAYOUT_SCHEME):
        return _load_layout(name, value, folder)
    if (linked := linked_name(value)) is not None:
        raise UsageError(
            f"the named context `{name}` cannot be the result of `{linked}`",
            notes=("only a declared variant takes the result of another one",),
            help=f'write it into the file that declares them: contexts.{name} = "{value}" in buildonce.toml',
        )
    if value.startswith(REMOTE):
        return RemoteContext(address=value)
    return _load_folder(name, value, folder)


def _load_layout(name: str, value: str, folder: Path) -> ImageContext:
    given = parse_image_address(value)
    assert isinstance(given, LayoutReference)  # noqa: S101  it has the scheme of one
    path = os.path.abspath(folder / given.path)  # noqa: PTH100  links stay as they are
    if not given.path or not (Path(path) / "index.json").is_file():
        raise UsageError(
            f"`{given.path}` is no OCI layout, for the named context `{name}`",
            notes=("an OCI layout is a folder with the files oci-layout and index.json",),
            help="write it as oci-layout://PATH, oci-layout://PATH:TAG or oci-layout://PATH@DIGEST",
        )
    return ImageContext(address=str(LayoutReference(path, given.name)))


def _load_folder(name: str, value: str, folder: Path) -> FolderContext:
    path = Path(os.path.abspath(folder / value))  # noqa: PTH100  links stay as they are
    if path.is_dir():
        return FolderContext(path=str(path), files=_Folder(path))
    if path.exists():
        raise UsageError(
            f"`{hide_credentials(value)}` is a file; the named context `{name}` has to be a folder",
            help=f"write --build-context {name}={os.path.dirname(value) or '.'}, and copy the file from it",  # noqa: PTH120
        )
    raise UsageError(
        f"there is no folder `{hide_credentials(value)}` for the named context `{name}`",
        help=hide_credentials(_help_for(name, value, folder)),
    )


def _help_for(name: str, value: str, folder: Path) -> str:
    scheme, colon, rest = value.partition("://")
    if colon or ":/" in value:
        wrong = f"{scheme}://" if colon else value.partition(":/")[0] + "://"
        rest = rest if colon else value.partition(":/")[2]
        near = difflib.get_close_matches(wrong.lower(), _SCHEMES, n=1)
        if near:
            return f"did you mean --build-context {name}={near[0]}{rest}?"
        return f"what stands before `://` is one of {', '.join(one.removesuffix('://') for one in _SCHEMES)}"
    parent, here = Path(value).parent, folder / Path(value).parent
    names = sorted(one.name for one in here.iterdir() if one.is_dir()) if here.is_dir() else []
    near = difflib.get_close_matches(Path(value).name, names, n=1)
    if near:
        return f"did you mean --build-context {name}={parent / near[0]}?"
    return f"for an image, write --build-context {name}={_IMAGE_SCHEME}{value}"
