"""The file systems of many images that share layers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from buildonce.assemble.archive import Layer
from buildonce.assemble.tree import Tree, apply_layer
from buildonce.errors import AssemblyError
from buildonce.oci import Digest

_Image = TypeVar("_Image")


class Clash(Struct, frozen=True):
    """Why a layer cannot be applied on top of those below it; ``number`` says which, from 0."""

    number: int
    reason: AssemblyError


def walk_trees(
    images: Iterable[tuple[_Image, Sequence[Digest]]], layers: Mapping[Digest, Layer]
) -> Iterator[tuple[_Image, Sequence[Tree] | Clash]]:
    """Yield each image with its file systems: under its first layer, above it, and so on up to that of the whole image.

    What images have in common is made once, and forgotten as soon as no image to come needs it.
    """
    trees: list[Tree] = [Tree()]
    made: list[Digest] = []
    for image, digests in sorted(images, key=lambda pair: tuple(pair[1])):
        common = next((n for n, (one, other) in enumerate(zip(made, digests, strict=False)) if one != other), None)
        keep = min(len(made), len(digests)) if common is None else common
        del trees[keep + 1 :], made[keep:]
        clash = None
        for number, digest in enumerate(digests[keep:], keep):
            try:
                trees.append(apply_layer(trees[-1], layers[digest].entries))
            except AssemblyError as error:
                clash = Clash(number, error)
                break
            made.append(digest)
        yield image, clash or tuple(trees)
