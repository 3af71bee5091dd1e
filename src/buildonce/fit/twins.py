"""Files that are the same for two platforms, and hardly can be meant to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from msgspec import Struct

from buildonce.oci import Digest, Platform


class Added(Struct, frozen=True, kw_only=True):
    """The ELF files that an image was given: their digests by path."""

    variant: str
    platform: Platform
    elves: Mapping[str, Digest]


def same_files(images: Iterable[Added]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield each ELF file that images of one variant have in the same place for two platforms.

    That is its path, the platforms in words, and the variants.
    """
    by_variant: dict[str, list[Added]] = {}
    for image in images:
        by_variant.setdefault(image.variant, []).append(image)
    found: dict[tuple[str, str], list[str]] = {}
    for variant, same in by_variant.items():
        for one, other in combinations(same, 2):
            for path, _ in sorted(set(one.elves.items()) & set(other.elves.items())):
                found.setdefault((path, f"{one.platform} and {other.platform}"), []).append(variant)
    for (path, platforms), variants in found.items():
        yield path, platforms, tuple(variants)
