"""A project's declaration: the one form that buildonce.toml, bake files, Compose files and options are read into.

Paths are relative to the project's folder, as they are written; nothing is opened or expanded here.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from buildonce.project.build_settings import BuildSettings


class VariantDeclaration(Struct, frozen=True, kw_only=True):
    """An image that is wanted: a target of a Dockerfile with its arguments, and how it is called and shipped.

    ``inline`` is the text of a Dockerfile that stands in the file that declares the variant; ``dockerfile`` is then
    what messages call it. ``target`` is a stage's name; None for the Dockerfile's last stage. ``contexts`` are named
    contexts, with values as `docker buildx build --build-context` takes them, or ``target:NAME`` for another target's
    result. ``platforms`` (texts) and ``tags`` (templates) are empty where the project's count; ``push`` is the
    repository that the variant goes to, None where the project's counts. ``build`` is what its engine is told besides,
    and what the image is to say of itself.
    """

    name: str
    dockerfile: str = "Dockerfile"
    inline: str | None = None
    context: str = "."
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    push: str | None = None
    checks_fit: bool = True
    build: BuildSettings = field(default_factory=BuildSettings)


class Declaration(Struct, frozen=True, kw_only=True):
    """A project's variants, and what counts for all of them; what is not declared is None or empty.

    Without ``variants``, every final stage of the ``dockerfiles`` is one, built with ``context``, ``args``,
    ``contexts`` and ``build``; declared variants have these themselves. ``default`` names the variant that also gets
    the tags without its name in them; ``latest`` is the rule under which the tag `latest` is moved: ``never``,
    ``always``, ``release`` or ``branch NAME``. ``given`` has the files that were made elsewhere, by the stage that
    would make them: patterns of paths on disk by the place in the stage, ``/`` for a folder with all files of the
    stage. ``linked`` are the targets whose results are contexts of others, be they variants or not;
    ``engine`` is the name of the engine that builds, None for the first that is there.
    """

    variants: tuple[VariantDeclaration, ...] = ()
    dockerfiles: tuple[str, ...] = ()
    context: str = "."
    args: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    build_platform: str | None = None
    push: str | None = None
    output: str | None = None
    cache: str | None = None
    tags: tuple[str, ...] = ()
    default: str | None = None
    latest: str | None = None
    engine: str | None = None
    given: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    build: BuildSettings = field(default_factory=BuildSettings)
    linked: tuple[VariantDeclaration, ...] = ()
