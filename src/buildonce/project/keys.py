"""The keys of buildonce.toml: what the reader takes, what the schema for editors says, and what the reference lists."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from msgspec import Struct

from buildonce.project import build_settings, forms
from buildonce.project.forms import Form

FILE_NAME = "buildonce.toml"
DOCKERFILE = "Dockerfile"
CONTEXT = "."
INHERITED = frozenset({"dockerfile", "context", "target", "args", "contexts", *build_settings.NAMES})
"""What a variant that does not say it has from the project; the project's other keys are not the variant's."""


class Shape(Enum):
    """What a value is, in TOML's words."""

    STRING = "a string"
    ARRAY = "an array of strings"
    TABLE = "a table of strings"
    BOOLEAN = "true or false"


class Key(Struct, frozen=True, kw_only=True):
    """A key: ``form`` is that of the string, of the array's items or of the table's values, ``names`` of its keys.

    ``default`` is in words. ``meaning`` is one sentence, without its full stop.
    """

    name: str
    shape: Shape
    meaning: str
    default: str
    form: Form = forms.ARGUMENT_VALUE
    names: Form | None = None


_ARGS = Key(
    name="args",
    shape=Shape.TABLE,
    names=forms.ARGUMENT_NAME,
    form=forms.ARGUMENT_VALUE,
    meaning="Build arguments",
    default="none",
)
_CONTEXTS = Key(
    name="contexts",
    shape=Shape.TABLE,
    names=forms.CONTEXT_NAME,
    form=forms.CONTEXT_VALUE,
    meaning="Named contexts, as `docker buildx build --build-context` takes them; `target:NAME` is the result of "
    "another variant",
    default="none",
)
_BUILD = (
    Key(
        name="labels",
        shape=Shape.TABLE,
        names=forms.LABEL_NAME,
        form=forms.LABEL_VALUE,
        meaning="Labels of the image, over those in the Dockerfile",
        default="none",
    ),
    Key(
        name="annotations",
        shape=Shape.TABLE,
        names=forms.LABEL_NAME,
        form=forms.LABEL_VALUE,
        meaning="Annotations of the image's manifests, or with `index:` before the name of the variant's index",
        default="none",
    ),
    Key(
        name="network",
        shape=Shape.STRING,
        form=forms.NETWORK,
        meaning="The network of RUN, as `docker buildx build --network` takes it",
        default="the engine's",
    ),
    Key(
        name="extra-hosts",
        shape=Shape.TABLE,
        names=forms.HOST_NAME,
        form=forms.HOST_ADDRESS,
        meaning="Addresses of hosts that RUN knows by name; several with commas between them",
        default="none",
    ),
    Key(
        name="ulimits",
        shape=Shape.TABLE,
        names=forms.LIMIT_NAME,
        form=forms.LIMIT,
        meaning="Limits of RUN, each `SOFT` or `SOFT:HARD`",
        default="the engine's",
    ),
    Key(
        name="shm-size",
        shape=Shape.STRING,
        form=forms.SIZE,
        meaning="The size of /dev/shm in RUN",
        default="the engine's",
    ),
    Key(
        name="allow",
        shape=Shape.ARRAY,
        form=forms.ENTITLEMENT,
        meaning="What a build may do that it usually may not",
        default="nothing",
    ),
    Key(
        name="secrets",
        shape=Shape.ARRAY,
        form=forms.SECRET,
        meaning="Secrets for `RUN --mount=type=secret`, as `docker buildx build --secret` takes them",
        default="none",
    ),
    Key(
        name="ssh",
        shape=Shape.ARRAY,
        form=forms.SSH,
        meaning="SSH agents or keys for `RUN --mount=type=ssh`, as `docker buildx build --ssh` takes them",
        default="none",
    ),
    Key(
        name="cache-from",
        shape=Shape.ARRAY,
        form=forms.ENGINE_CACHE,
        meaning="Where the engine finds its own cache of what it compiles; each stage and platform has its own there",
        default="nowhere",
    ),
    Key(
        name="cache-to",
        shape=Shape.ARRAY,
        form=forms.ENGINE_CACHE,
        meaning="Where the engine keeps its own cache of what it compiles; each stage and platform has its own there",
        default="nowhere",
    ),
    Key(
        name="no-cache",
        shape=Shape.BOOLEAN,
        meaning="Whether everything is made anew in each run, whatever is there already",
        default="`false`",
    ),
    Key(
        name="no-cache-filter",
        shape=Shape.ARRAY,
        form=forms.STAGE_NAME,
        meaning="The stages from which everything is made anew in each run",
        default="none",
    ),
)
_COMMON = (
    Key(
        name="dockerfile",
        shape=Shape.STRING,
        form=forms.FILE,
        meaning="The Dockerfile, relative to the folder of this file",
        default="`Dockerfile`",
    ),
    Key(
        name="context",
        shape=Shape.STRING,
        form=forms.FOLDER,
        meaning="The folder that is the build context, relative to the folder of this file",
        default="the folder of this file",
    ),
    Key(
        name="target",
        shape=Shape.STRING,
        form=forms.STAGE,
        meaning="The stage that becomes the image",
        default="the stage of the variant's name; the last stage if the variant has a `dockerfile` of its own",
    ),
    _ARGS,
    _CONTEXTS,
    *_BUILD,
    Key(
        name="platforms",
        shape=Shape.ARRAY,
        form=forms.PLATFORM,
        meaning="The platforms that images are made for",
        default="this machine's",
    ),
    Key(
        name="tags",
        shape=Shape.ARRAY,
        form=forms.TEMPLATE,
        meaning="How images are tagged: templates with {version}, {sha}, {branch} and {variant}",
        default="`{variant}`",
    ),
    Key(
        name="push",
        shape=Shape.STRING,
        form=forms.REPOSITORY,
        meaning="The repository that images are shipped to; with {variant} in it, each variant to one of its own",
        default="none: images go to `output`",
    ),
)

PROJECT_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        key.name: key
        for key in (
            *_COMMON,
            Key(
                name="output",
                shape=Shape.STRING,
                form=forms.LAYOUT,
                meaning="The OCI layout on disk that images are shipped to, instead of `push`",
                default="`oci:.buildonce/images`",
            ),
            Key(
                name="cache",
                shape=Shape.STRING,
                form=forms.STORE,
                meaning="Where cores and bases are kept: a repository, or `oci:DIR`",
                default="beside the images: `-cache` after the repository's name",
            ),
            Key(
                name="build-platform",
                shape=Shape.STRING,
                form=forms.PLATFORM,
                meaning="What $BUILDPLATFORM means; the same on every machine that shares a cache",
                default="`linux/amd64`",
            ),
            Key(
                name="default",
                shape=Shape.STRING,
                form=forms.VARIANT_NAME,
                meaning="The variant that also gets each tag without its name in it",
                default="none",
            ),
            Key(
                name="latest",
                shape=Shape.STRING,
                form=forms.LATEST_RULE,
                meaning="When the tag `latest` is moved: `never`, `always`, `release` (the commit has a Git tag "
                "that is a version and no pre-release), or `branch NAME`",
                default="`never`",
            ),
            Key(
                name="engine",
                shape=Shape.STRING,
                form=forms.ENGINE,
                meaning="The engine that builds: `buildx`, `buildah` or `podman`; no other takes its place",
                default="the first of these that is there",
            ),
        )
    }
)
"""What stands above the first table of the file, or in a table of the key's name."""

VARIANT_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        key.name: key
        for key in (
            *_COMMON,
            Key(
                name="fit-check",
                shape=Shape.BOOLEAN,
                meaning="Whether programs that would not run in the image are an error",
                default="`true`",
            ),
        )
    }
)
"""What stands in ``[variants.NAME]``; a key that the project has too counts for this variant instead."""

VARIANTS = "variants"
"""The table of variants, by their names."""

GIVEN = "given"
"""The table of what is given for stages: a folder each, or a table of files."""

GIVEN_FILES = Key(
    name=GIVEN,
    shape=Shape.TABLE,
    names=forms.GIVEN_PLACE,
    form=forms.GIVEN_PATH,
    meaning="Files that were made elsewhere, for the stages that would make them: a folder for each stage, with the "
    "files at their paths in the stage, or a table of files by these paths. {os} and {arch} are the platform's",
    default="none",
)

TABLES = frozenset({VARIANTS, GIVEN})
"""The keys of the project that have tables in them."""
