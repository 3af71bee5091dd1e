"""The keys of `build` in a Compose file: what is expressed, what changes no image, and what is not possible yet."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from buildonce.project.values import Value

EXPRESSED = ("context", "dockerfile", "target", "args", "additional_contexts", "platforms", "tags")

PASSED_OVER: Mapping[str, str] = MappingProxyType(
    {
        "cache_from": "where an engine finds its cache; what is built is found by its key",
        "cache_to": "where an engine keeps its cache; what is built is kept by its key",
        "pull": "base images are always looked up in their registry",
        "provenance": "attestations stand beside an image and are not part of it",
        "sbom": "attestations stand beside an image and are not part of it",
        "entitlements": "a permission: an engine that lacks it says so",
    }
)
"""Keys without a say in what the image is, each with the reason. So are extensions, `x-...`, which Compose ignores."""

_INSTEAD = "remove it, or build this service with `docker compose build`"

NOT_YET: Mapping[str, str] = MappingProxyType(
    {
        "dockerfile_inline": "write it into a file, and name that as `dockerfile`",
        "labels": "write them into the Dockerfile: LABEL name=value",
        "network": _INSTEAD,
        "secrets": "mount what the build needs from a stage, or build this service with `docker compose build`",
        "ssh": "copy what the build needs from the context, or build this service with `docker compose build`",
        "no_cache": "remove it: what is built counts until one of its inputs changes",
        "extra_hosts": _INSTEAD,
        "shm_size": _INSTEAD,
        "ulimits": _INSTEAD,
        "privileged": _INSTEAD,
        "isolation": _INSTEAD,
    }
)
"""Keys that count and that a declaration does not express, each with what to do instead."""

_WITHOUT_EFFECT: Mapping[str, tuple[Value, ...]] = MappingProxyType(
    {"network": ("default",), "isolation": ("default",), "no_cache": ("false",), "privileged": ("false",)}
)


def has_effect(key: str, value: Value) -> bool:
    """Say whether a key with this value is more than the key left out."""
    return bool(value) and value not in _WITHOUT_EFFECT.get(key, ())
