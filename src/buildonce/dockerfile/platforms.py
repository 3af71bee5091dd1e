"""Platforms as a Dockerfile sees them: in ``FROM --platform``, and as predefined arguments."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from buildonce.dockerfile.problems import Fault
from buildonce.errors import UsageError
from buildonce.oci import Platform, parse_platform

_SYSTEMS = frozenset(
    ("linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris", "illumos", "plan9", "aix")
)


def predefined_args(
    target: Platform, build: Platform, build_args: Mapping[str, str], stage: str | None
) -> Mapping[str, str]:
    """Return the arguments that BuildKit defines before the first FROM; build arguments go before its own values.

    BuildKit, dockerfile2llb/platform.go.
    """
    values = {
        "BUILDPLATFORM": str(build),
        "BUILDOS": build.os,
        "BUILDOSVERSION": "",
        "BUILDARCH": build.architecture,
        "BUILDVARIANT": build.variant,
        "TARGETPLATFORM": str(target),
        "TARGETOS": target.os,
        "TARGETOSVERSION": "",
        "TARGETARCH": target.architecture,
        "TARGETVARIANT": target.variant,
        "TARGETSTAGE": stage or "default",
    }
    return MappingProxyType({name: build_args.get(name, value) for name, value in values.items()})


def parse_loose_platform(text: str, build: Platform) -> Platform:
    """Return a platform that may lack its system or its architecture, which then is the build platform's.

    Raises `Fault` when the text is no platform (containerd, platforms.Parse).
    """
    if text and "/" not in text:
        name = text.strip().lower()
        text = f"{name}/{build.architecture}" if name in _SYSTEMS else f"{build.os}/{name}"
    try:
        return parse_platform(text)
    except UsageError as error:
        raise Fault("DF019", error.message, needle=text, help=error.help) from error
