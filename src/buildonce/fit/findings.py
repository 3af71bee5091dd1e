"""What is found wrong with a file in an image, in words."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from msgspec import Struct


class Kind(Enum):
    """The kinds of finding, in the order of their weight."""

    BROKEN = "broken"
    MACHINE = "machine"
    INTERPRETER = "interpreter"
    LIBRARY = "library"
    VERSION = "version"
    LEVEL = "level"


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file that does not fit.

    ``says`` is a clause about the file, ``has`` one about the image, ``cure`` what to do. It is ``severe`` if the file
    cannot be what it is for; else it may be one that is not used.
    """

    kind: Kind
    path: str
    severe: bool
    says: str
    has: str
    cure: str


class Located(Struct, frozen=True, kw_only=True):
    """A finding with the variant that it was found in, and the platform and base of the image."""

    finding: Finding
    variant: str
    place: str


def group_findings(located: Iterable[Located]) -> tuple[tuple[Finding, str], ...]:
    """Return each distinct finding once, with the images it is found in: ``claude, codex (linux/amd64)``."""
    images: dict[Finding, dict[str, list[str]]] = {}
    for one in located:
        images.setdefault(one.finding, {}).setdefault(one.place, []).append(one.variant)
    ordered = sorted(images, key=lambda finding: (not finding.severe, list(Kind).index(finding.kind), finding.path))
    return tuple((finding, _name_images(images[finding])) for finding in ordered)


def _name_images(places: dict[str, list[str]]) -> str:
    by_variants: dict[str, list[str]] = {}
    for place, variants in places.items():
        by_variants.setdefault(", ".join(f"`{name}`" for name in variants), []).append(place)
    return "; ".join(f"{variants} ({'; '.join(names)})" for variants, names in by_variants.items())


def describe(finding: Finding, images: str) -> str:
    """Return a finding as one sentence: the file, what is wrong, what the image has, and which images are hit."""
    return f"`{finding.path}` {finding.says}; {finding.has}; in {images}"
