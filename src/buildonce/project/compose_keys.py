"""The keys of `build` in a Compose file: what is expressed, what changes no image, and what is not possible yet."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from buildonce.project.compose_options import KEYS as OPTIONS
from buildonce.project.values import Value

EXPRESSED = (
    "context",
    "dockerfile",
    "dockerfile_inline",
    "target",
    "args",
    "additional_contexts",
    "platforms",
    "tags",
    *OPTIONS,
)

PASSED_OVER: Mapping[str, str] = MappingProxyType(
    {
        "pull": "base images are always looked up in their registry",
        "provenance": "attestations stand beside an image and are not part of it",
        "sbom": "attestations stand beside an image and are not part of it",
    }
)
"""Keys without a say in what the image is, each with the reason. So are extensions, `x-...`, which Compose ignores."""

_INSTEAD = "remove it, or build this service with `docker compose build`"

NOT_YET: Mapping[str, str] = MappingProxyType(
    {
        "privileged": _INSTEAD,
        "isolation": _INSTEAD,
    }
)
"""Keys that count and that a declaration does not express, each with what to do instead."""

_WITHOUT_EFFECT: Mapping[str, tuple[Value, ...]] = MappingProxyType(
    {"isolation": ("default",), "privileged": ("false",)}
)


def has_effect(key: str, value: Value) -> bool:
    """Say whether a key with this value is more than the key left out."""
    return bool(value) and value not in _WITHOUT_EFFECT.get(key, ())
