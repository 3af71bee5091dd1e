"""What a plan is made from: Dockerfiles, contexts, arguments, platforms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

from msgspec import Struct, field

from buildonce.build_options import BuildOptions
from buildonce.dockerfile.syntax import Dockerfile
from buildonce.oci import Digest, Platform
from buildonce.plan.recipes import FileInput


class ContextFiles(Protocol):
    """The build context of one Dockerfile."""

    def digest(self, sources: tuple[str, ...], exclude: tuple[str, ...], *, parents: bool = False) -> Digest:
        """Return the digest of what these source words select, as a COPY with or without ``--parents`` reads them.

        Raises `ContextError`.
        """
        ...

    def files(
        self, sources: tuple[str, ...], exclude: tuple[str, ...], *, parents: bool = False
    ) -> tuple[FileInput, ...]:
        """Return what these source words select, by name; ``digest`` says whether it is the same."""
        ...


class FolderContext(Struct, frozen=True, kw_only=True):
    """A named context that is a folder, at an absolute ``path``."""

    path: str
    files: ContextFiles


class ImageContext(Struct, frozen=True, kw_only=True):
    """A named context that is an image: a reference, or ``oci-layout://PATH`` with ``:TAG`` or ``@DIGEST``."""

    address: str


class RemoteContext(Struct, frozen=True, kw_only=True):
    """A named context that an engine fetches: a Git repository or a URL. Only its address identifies it."""

    address: str


class TargetContext(Struct, frozen=True, kw_only=True):
    """A named context that is the result of another target, called ``name``: of a source file (an index).

    ``target`` is a stage's name or number, None for the last stage; ``platforms`` is empty for all that are asked for.
    ``labels`` are those of its image, beside what its Dockerfile says.
    """

    name: str
    file: int
    target: str | None = None
    platforms: tuple[Platform, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


NamedContext: TypeAlias = FolderContext | ImageContext | RemoteContext | TargetContext


class SourceFile(Struct, frozen=True, kw_only=True):
    """One Dockerfile with its context, which lies in a folder called ``folder``, and its arguments.

    ``named_contexts`` go before stages and images of their names, which are in Docker's familiar form. The same
    Dockerfile with other arguments or contexts is another source file. ``given`` are the files of stages, by name, that
    need not be compiled, for each platform; see `given`. ``options`` are what its engine is told besides.
    """

    dockerfile: Dockerfile
    context: ContextFiles
    folder: str = ""
    build_args: Mapping[str, str] = field(default_factory=dict)
    named_contexts: Mapping[str, NamedContext] = field(default_factory=dict)
    given: Mapping[str, Mapping[Platform, ContextFiles]] = field(default_factory=dict)
    options: BuildOptions = field(default_factory=BuildOptions)


class Marks(Struct, frozen=True, kw_only=True):
    """What an image is to say of itself, beside what its Dockerfile says.

    ``labels`` go into its config; ``annotations`` into its manifest, or its index, as their keys say.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


class Home(Struct, frozen=True):
    """Where a linked target is planned: its source file and its stage there (indexes), the platform, and its name."""

    file: int
    stage: int
    platform: Platform
    name: str


class Declared(Struct, frozen=True, kw_only=True):
    """A variant that the project declares: a target of a source file (an index).

    ``target`` is a stage's name or number, None for the last stage; ``platforms`` is empty for all that are asked for.
    """

    name: str
    file: int
    target: str | None = None
    platforms: tuple[Platform, ...] = ()
    marks: Marks = field(default_factory=Marks)


class Request(Struct, frozen=True, kw_only=True):
    """What the user asks for.

    ``variants`` is empty for all. Where no variant is ``declared``, the Dockerfiles' final stages are the variants.
    ``build_platform`` is what ``$BUILDPLATFORM`` means; it is part of the plan, not of the machine. ``marks`` are those
    of variants that are not declared.
    """

    files: tuple[SourceFile, ...]
    platforms: tuple[Platform, ...]
    build_platform: Platform
    variants: tuple[str, ...] = ()
    declared: tuple[Declared, ...] = ()
    marks: Marks = field(default_factory=Marks)

    def platforms_of(self, file: int) -> tuple[Platform, ...]:
        """Return the platforms that a source file's variants are for; none if only other variants take from it."""
        if not self.declared:
            return self.platforms
        found = (one.platforms or self.platforms for one in self.declared if one.file == file)
        return tuple(dict.fromkeys(platform for platforms in found for platform in platforms))
