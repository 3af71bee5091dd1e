"""Images that an engine built, in a store: what they are looked up by."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from buildonce.oci import Digest
from buildonce.plan.nodes import ImageNode
from buildonce.plan.recipes import Recipe, key_of
from buildonce.store.results import ResultName


def recipe_with(node: ImageNode, contents: Iterable[Digest]) -> Recipe:
    """Return the recipe of an image with the contents of the cores that it takes, in the order of their stages."""
    return replace(node.recipe, cores=tuple(contents))


def image_name(node: ImageNode, recipe: Recipe) -> ResultName:
    """Return what an image with this recipe is looked up by."""
    return ResultName(kind="image", name=node.variant, platform=node.platform, key=key_of(recipe))
