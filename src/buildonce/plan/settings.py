"""What decides, beside the instructions, how BuildKit carries them out."""

from __future__ import annotations

from collections.abc import Mapping

from buildonce.dockerfile.stages import StageGraph
from buildonce.errors import UsageError
from buildonce.plan.secrecy import conceal
from buildonce.reference import parse_reference

_OWN_FRONTENDS = ("docker.io/docker/dockerfile", "docker.io/docker/dockerfile-upstream")
_WITHOUT_EFFECT = frozenset(("BUILDKIT_SYNTAX", "BUILDKIT_DOCKERFILE_CHECK", "BUILDKIT_MULTI_PLATFORM"))
"""``BUILDKIT_SYNTAX`` is a frontend, the others change no file and no config."""


def foreign_frontend(graph: StageGraph) -> str:
    """Return the image that reads the Dockerfile; nothing if it is none or one of Docker's own, in any version.

    Docker's frontend keeps what a Dockerfile means from version to version; what another one does, only its name says.
    """
    name = graph.build_args.get("BUILDKIT_SYNTAX") or graph.dockerfile.syntax or ""
    try:
        repository = str(parse_reference(name).repository) if name else ""
    except UsageError:
        return name
    return "" if repository in _OWN_FRONTENDS else name


def label_settings(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Return labels as what decides, beside the instructions, what an image is."""
    return {f"label {name}": value for name, value in labels.items()}


def settings(graph: StageGraph) -> Mapping[str, str]:
    """Return the build arguments that BuildKit acts upon without any ARG, and that change what it makes.

    Proxies are none of them: BuildKit hands them to RUN, and leaves them out of its own cache keys.
    """
    return {
        name: conceal(name, value)
        for name, value in graph.build_args.items()
        if (name == "SOURCE_DATE_EPOCH" or name.startswith("BUILDKIT_")) and name not in _WITHOUT_EFFECT
    }
