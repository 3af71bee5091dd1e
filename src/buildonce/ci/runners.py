"""GitHub's machines by the platform whose programs they run themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterable

_AMD64, _ARM64 = "ubuntu-24.04", "ubuntu-24.04-arm"
"""Labels of GitHub's own machines (docs.github.com, "GitHub-hosted runners reference")."""

SMALL = _AMD64
"""For jobs that start no engine."""

_ON_AMD64 = frozenset({"amd64", "386"})
_ON_ARM64 = frozenset({"arm64", "arm"})


def runner_of(platform: str) -> str:
    """Return the label of the machine for a platform (a text like ``linux/arm64``): native where there is one."""
    return _ARM64 if _architecture(platform) in _ON_ARM64 else _AMD64


def emulated(platforms: Iterable[str]) -> tuple[str, ...]:
    """Return the platforms that none of the machines runs by itself, sorted."""
    return tuple(sorted(one for one in set(platforms) if _architecture(one) not in _ON_AMD64 | _ON_ARM64))


def _architecture(platform: str) -> str:
    return platform.partition("/")[2].partition("/")[0]
