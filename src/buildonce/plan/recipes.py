"""Recipes: the named inputs that a key covers, and the key as the digest of their canonical form.

A recipe holds what decides a result and nothing else: no name of a stage or file that could be changed without
changing the result, no time, no owner, no path of a checkout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NewType

import msgspec

FORMAT = 2
"""Version of recipes and keys; a change of what they cover or how they are written raises it."""

Key = NewType("Key", str)
"""64 lower-case hexadecimal digits: the sha256 of a recipe's canonical form."""


class FileInput(msgspec.Struct, frozen=True, array_like=True):
    """A file of the build context as a key sees it: path, type, mode, content digest or link target."""

    path: str
    type: str
    mode: int
    content: str


class StepRecipe(msgspec.Struct, frozen=True, omit_defaults=True):
    """One instruction's part: its canonical text and what it reads.

    ``text`` is the keyword, flags and words, with JSON for every value. ``environment``, ``workdir``, ``user`` and
    ``shell`` are those in force, for the instructions that they can affect; a RUN sees every argument that is declared
    before it, whether or not its text names it. ``reads`` are the keys of stages, and the digests of images and of
    files of named contexts, that it takes files from, in order. ``files`` is the digest of the context files that it
    selects.
    """

    text: str
    environment: Mapping[str, str] = {}
    workdir: str = ""
    user: str = ""
    shell: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    files: str = ""


class Recipe(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node's key covers.

    ``kind`` is ``stage``, ``core``, ``base`` or ``image``. ``origin`` is where the first instruction starts from: a
    stage's key, an external image's digest or ``scratch``. ``paths`` are the files a core takes from its stage,
    ``with_parents`` says whether the directories on the way to them count. ``cores`` are the digests of the contents
    of the cores that an engine-built image takes. ``frontend`` is the image that reads the Dockerfile, unless it is
    Docker's own; ``settings`` are the build arguments that BuildKit itself acts upon.
    """

    kind: str
    platform: str
    origin: str
    steps: tuple[StepRecipe, ...] = ()
    paths: tuple[str, ...] = ()
    with_parents: bool = False
    cores: tuple[str, ...] = ()
    frontend: str = ""
    settings: Mapping[str, str] = {}
    format: int = FORMAT


def encode_recipe(recipe: Recipe) -> bytes:
    """Return the recipe's canonical form: JSON with sorted keys and no white space."""
    return msgspec.json.encode(recipe, order="sorted")


def key_of(recipe: Recipe) -> Key:
    """Return the recipe's key."""
    return Key(hashlib.sha256(encode_recipe(recipe)).hexdigest())
