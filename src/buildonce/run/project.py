"""[io] A project as it lies on disk: its Dockerfiles and their build contexts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from buildonce.build_options import BuildOptions
from buildonce.context import (
    Context,
    Memory,
    Selected,
    Words,
    digest_selection,
    open_context,
    select,
    selection_digest,
)
from buildonce.dockerfile.ignore import compile_ignore
from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.runes import decode, encode, escape_invalid
from buildonce.errors import ContextError, UsageError
from buildonce.oci import Digest
from buildonce.plan.recipes import FileInput
from buildonce.plan.sources import NamedContext, SourceFile

OWN_FOLDER = ".buildonce"
"""What buildonce writes beside a project; it is never part of a build context."""


class ProjectContext:
    """The build context of one Dockerfile; each selection is read and hashed once."""

    def __init__(self, context: Context, memory: Memory | None = None) -> None:
        self.context = context
        self._memory = memory or Memory(context.root)
        self._selected: dict[Words, tuple[Selected, ...]] = {}
        self._digests: dict[Words, Digest] = {}

    @property
    def ignore_text(self) -> str:
        """The ignore rules for an engine: the user's own, and buildonce's folder."""
        return _ignore_text(self.context.ignore_path)

    def select(
        self, sources: tuple[str, ...], exclude: tuple[str, ...], *, parents: bool = False
    ) -> tuple[Selected, ...]:
        """Return what these source words select, with or without ``--parents``. Raises `ContextError`."""
        words = Words(sources=sources, exclude=exclude, parents=parents)
        if words not in self._selected:
            selected = select(self.context, words, self._memory)
            if words in self._digests and selection_digest(selected) != self._digests[words]:
                raise ContextError(
                    f"`{' '.join(sources)}` in the build context was changed while buildonce used it",
                    help="run the command again when nothing writes there",
                )
            self._selected[words] = selected
        return self._selected[words]

    def digest(self, sources: tuple[str, ...], exclude: tuple[str, ...], *, parents: bool = False) -> Digest:
        """Return the digest of what these source words select. Raises `ContextError`."""
        words = Words(sources=sources, exclude=exclude, parents=parents)
        if words not in self._digests:
            self._digests[words], selected = digest_selection(self.context, words, self._memory)
            if selected is not None:
                self._selected[words] = selected
        return self._digests[words]

    def files(
        self, sources: tuple[str, ...], exclude: tuple[str, ...], *, parents: bool = False
    ) -> tuple[FileInput, ...]:
        """Return what these source words select, by name; the mode of a directory that a word names does not count."""
        return tuple(
            FileInput(
                path=escape_invalid(one.path),
                type=one.type,
                mode=0 if one.type == "dir" and not one.relative else one.mode,
                content=one.digest or escape_invalid(one.target or ""),
            )
            for one in self.select(sources, exclude, parents=parents)
        )


class Project(Struct, frozen=True, kw_only=True):
    """Dockerfiles, each with its context, in the order in which they were named."""

    files: tuple[SourceFile, ...]
    contexts: tuple[ProjectContext, ...]

    @property
    def places(self) -> tuple[str, ...]:
        """The paths of the Dockerfiles from their contexts on, the same in every checkout."""
        paths = zip(self.files, self.contexts, strict=True)
        return tuple(
            os.path.relpath(Path(file.dockerfile.path).resolve(), one.context.root.resolve()) for file, one in paths
        )

    def context_root(self, file: int) -> Path:
        """The folder that is the build context of a Dockerfile."""
        return self.contexts[file].context.root

    def ignore_text(self, file: int) -> str:
        """The ignore rules for an engine that builds a Dockerfile."""
        return self.contexts[file].ignore_text


class FileOrder(Struct, frozen=True, kw_only=True):
    """A Dockerfile to be read, with its context, its arguments, its named contexts and its options.

    One with its text ``inline`` is not read; ``dockerfile`` is what messages call it.
    """

    dockerfile: Path
    context: Path
    inline: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    named_contexts: Mapping[str, NamedContext] = field(default_factory=dict)
    options: BuildOptions = field(default_factory=BuildOptions)


def load_files(orders: Sequence[FileOrder], memory: Path | None = None) -> Project:
    """Return the project of these Dockerfiles; one that is ordered twice is read once.

    ``memory`` is the folder that keeps from one run to the next what is known of context files. Raises `UsageError` and
    `DockerfileError`.
    """
    for order in orders:
        if not order.context.is_dir():
            raise UsageError(
                f"there is no folder `{order.context}` to take as the build context", help="name it with --context DIR"
            )
    texts = dict.fromkeys((one.dockerfile, one.inline) for one in orders)
    parsed = {
        (path, text): parse_dockerfile(_read(path) if text is None else encode(text), str(path)) for path, text in texts
    }
    known = {root: Memory(root, memory) for root in dict.fromkeys(one.context for one in orders)}
    places = dict.fromkeys((one.context, None if one.inline else one.dockerfile) for one in orders)
    opened = {(root, path): ProjectContext(_open(root, path), known[root]) for root, path in places}
    contexts = tuple(opened[one.context, None if one.inline else one.dockerfile] for one in orders)
    files = tuple(
        SourceFile(
            dockerfile=parsed[one.dockerfile, one.inline],
            context=context,
            folder=one.context.resolve().name,
            build_args=one.build_args,
            named_contexts=one.named_contexts,
            options=one.options,
        )
        for one, context in zip(orders, contexts, strict=True)
    )
    return Project(files=files, contexts=contexts)


def _open(root: Path, dockerfile: Path | None) -> Context:
    """Return a Dockerfile's context, without buildonce's own folder in it."""
    context = open_context(root, dockerfile)
    return replace(context, ignore=compile_ignore(_ignore_text(context.ignore_path)))


def _ignore_text(path: Path | None) -> str:
    rules = decode(path.read_bytes()) if path is not None else ""
    return f"{rules}\n{OWN_FOLDER}\n"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        near = sorted(found.name for found in path.parent.glob("*ockerfile*")) if path.parent.is_dir() else []
        raise UsageError(
            f"there is no Dockerfile at `{path}`",
            notes=(f"beside it there is {', '.join(near)}",) if near else (),
            help="name it with -f FILE, or its folder with --context DIR",
        ) from error
    except IsADirectoryError as error:
        raise UsageError(
            f"`{path}` is a folder, not a Dockerfile", help=f"name the file in it, or build it with --context {path}"
        ) from error
    except OSError as error:
        raise UsageError(f"`{path}` cannot be read: {error.strerror}") from error
