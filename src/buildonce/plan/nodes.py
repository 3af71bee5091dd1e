"""A plan's nodes: cores, bases and images, and the plan that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct, field

from buildonce.dockerfile.syntax import Span
from buildonce.oci import Platform
from buildonce.plan.chains import ChainStep
from buildonce.plan.images import ExternalImage
from buildonce.plan.recipes import Key, Recipe
from buildonce.plan.sources import Home, Marks
from buildonce.plan.verdicts import Verdict, VerdictKind


class CoreNode(Struct, frozen=True, kw_only=True):
    """The files that late copies take from one stage, for one platform.

    ``file`` is the index of the Dockerfile, ``stage`` that of the stage in it. ``platform`` is the one the stage's
    own instructions run on, ``target`` one of the platforms it is needed for. ``paths`` are absolute; with
    ``with_parents`` the directories on the way to them keep mode and owner.
    ``needs`` are the cores of other stages that it reads, by stage index. Files that the stage made itself get
    ``epoch`` (seconds) as their time: when they were made is no input. A core that is ``given`` needs no engine.
    ``built_on`` is the target whose image its stage is built on, if it is. ``files`` are all Dockerfiles that have it.
    """

    key: Key
    name: str
    file: int
    stage: int
    platform: Platform
    target: Platform
    paths: tuple[str, ...]
    with_parents: bool
    recipe: Recipe
    stage_recipe: Recipe
    needs: Mapping[int, Key]
    epoch: int
    given: bool = False
    built_on: Home | None = None
    files: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.platform}"


class BaseOrigin(Enum):
    """Where a base comes from."""

    ENGINE = "engine"
    IMAGE = "image"
    SCRATCH = "scratch"


class BaseNode(Struct, frozen=True, kw_only=True):
    """A chain up to the last step that needs an engine, late copies left out, for one platform.

    ``stage`` is the stage to build; ``hoisted`` are the late copies inside the chain, ``after`` what follows the base
    in that stage: the derived Dockerfile leaves both out. ``external`` is the image at the chain's beginning, None for
    scratch and for another target's.
    """

    key: Key
    name: str
    file: int
    stage: int
    platform: Platform
    origin: BaseOrigin
    hoisted: tuple[Span, ...]
    after: tuple[Span, ...]
    recipe: Recipe
    external: ExternalImage | None
    built_on: Home | None = None

    @property
    def needs_proof(self) -> bool:
        """Whether late copies are left out of the middle of the chain."""
        return bool(self.hoisted)

    def __str__(self) -> str:
        return f"{self.name} {self.platform}"


class ImageNode(Struct, frozen=True, kw_only=True):
    """One variant for one platform.

    ``base`` is its base's key, ``cores`` the cores of the stages it copies from (by stage index). ``hoisted`` are the
    late copies with steps of the base after them, ``tail`` the base's steps after the first of them, ``trailing`` the
    steps that assembly adds after the base.
    ``recipe`` is that of the whole chain, for an image that an engine builds; ``external`` the image at the chain's
    beginning, None for scratch and for another target's. Files of the context get ``epoch`` (seconds) as their time.
    """

    variant: str
    file: int
    stage: int
    platform: Platform
    verdict: Verdict
    base: Key
    cores: Mapping[int, Key]
    hoisted: tuple[ChainStep, ...]
    tail: tuple[ChainStep, ...]
    trailing: tuple[ChainStep, ...]
    recipe: Recipe
    external: ExternalImage | None
    epoch: int
    built_on: Home | None = None
    marks: Marks = field(default_factory=Marks)

    @property
    def home(self) -> Home:
        """Where it is planned."""
        return Home(self.file, self.stage, self.platform, self.variant)

    def __str__(self) -> str:
        return f"{self.variant} {self.platform}"


class Plan(Struct, frozen=True, kw_only=True):
    """Everything a run has to have or to make, in an order in which nothing comes before what it needs.

    ``linked`` are images of targets that others are built on (`find_linked`); nobody ships them.
    """

    cores: Mapping[Key, CoreNode]
    bases: Mapping[Key, BaseNode]
    images: tuple[ImageNode, ...]
    linked: tuple[ImageNode, ...] = ()
    warnings: tuple[str, ...] = ()

    def users_of(self, base: Key) -> tuple[ImageNode, ...]:
        """Return the images that are assembled on a base."""
        assembled = (image for image in (*self.linked, *self.images) if image.verdict.kind is not VerdictKind.ENGINE)
        return tuple(image for image in assembled if image.base == base)

    def find_linked(self, home: Home) -> ImageNode:
        """Return the image of a target that something is built on."""
        return next(one for one in self.linked if one.home == home)

    def files_of(self, node: CoreNode | BaseNode) -> tuple[int, ...]:
        """Return the Dockerfiles whose options count for a node: of all that have it, those of wanted images."""
        images = (*self.images, *self.linked)
        if isinstance(node, CoreNode):
            wanted = {image.file for image in images}
            found = tuple(file for file in node.files if file in wanted)
        else:
            found = tuple(dict.fromkeys(image.file for image in images if image.base == node.key))
        return found or (node.file,)

    @property
    def variants(self) -> tuple[str, ...]:
        """The names of the variants, in their order."""
        return tuple(dict.fromkeys(image.variant for image in self.images))

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """The platforms, sorted."""
        return tuple(sorted({image.platform for image in self.images}))
