"""The keys of a bake target: what is expressed, what cannot change an image, and what is not possible yet."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from buildonce.project.bake_options import KEYS as OPTIONS
from buildonce.project.values import Value

EXPRESSED = ("context", "contexts", "dockerfile", "dockerfile-inline", "args", "tags", "target", "platforms", *OPTIONS)

PASSED_OVER: Mapping[str, str] = MappingProxyType(
    {
        "description": "it is for people",
        "output": "where the image goes is decided when it is shipped",
        "attest": "attestations stand beside an image and are not part of it",
        "pull": "base images are always looked up in their registry",
        "resources": "what a build may use of the machine, not what comes out of it",
    }
)
"""Keys without a say in what the image is, each with the reason."""

NOT_YET: Mapping[str, str] = MappingProxyType(
    {
        "call": "remove it: what is not built is no variant",
        "policy": "remove it, or build this target with `docker buildx bake`",
    }
)
"""Keys that count and that a declaration does not express, each with what to do instead."""

WITHOUT_EFFECT: Mapping[str, tuple[Value, ...]] = MappingProxyType({"call": ("build",)})
"""Values, beside empty ones, with which a key is as if it were not there."""

RESOLVED_ONLY = ("inherits", "matrix", "name")
"""Keys that are gone once a file is resolved."""

APPENDED = ("annotations", "secret", "ssh", "no-cache-filter", "ulimits", "policy", "entitlements", "cache-from")
"""Lists to which an inheriting target adds (docker/buildx, bake/bake.go, `Merge`)."""

MERGED = ("args", "contexts", "labels", "extra-hosts")
"""Mappings that an inheriting target adds to; a null in them changes nothing."""


def has_effect(key: str, value: Value) -> bool:
    """Say whether a key with this value is more than the key left out."""
    return bool(value) and value not in WITHOUT_EFFECT.get(key, ())
