"""What a project or a variant says of its build besides the Dockerfile: the options, labels and annotations, by key."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct, field

from buildonce.build_options import BuildOptions, identity

Value = str | bool | tuple[str, ...] | Mapping[str, str]
"""A value in a configuration."""

NAMES = (
    "labels",
    "annotations",
    "network",
    "extra-hosts",
    "ulimits",
    "shm-size",
    "allow",
    "secrets",
    "ssh",
    "cache-from",
    "cache-to",
    "no-cache",
    "no-cache-filter",
)
"""The keys, in the order in which they are shown."""

_IMAGE_KEYS = ("labels", "annotations")
_IDENTIFIED = ("secrets", "ssh")
"""Lists in which each text begins with what it is called by."""
_REPLACED = ("cache-from", "cache-to")


class BuildSettings(Struct, frozen=True, kw_only=True):
    """What a project, a variant, the environment or the command line says of these keys."""

    options: BuildOptions = field(default_factory=BuildOptions)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    def values(self) -> Mapping[str, Value]:
        """Return what is said, by key; what is empty is not said."""
        found: dict[str, Value] = {}
        for name in NAMES:
            owner = self if name in _IMAGE_KEYS else self.options
            value: Value = getattr(owner, name.replace("-", "_"))
            if value:
                found[name] = value
        return found


def settings_of(values: Mapping[str, Value]) -> BuildSettings:
    """Return what these values say; other keys may be among them."""
    own = {name: values[name] for name in NAMES if name in values}
    fields = {name.replace("-", "_"): value for name, value in own.items() if name not in _IMAGE_KEYS}
    marks = {name: own[name] for name in _IMAGE_KEYS if name in own}
    return msgspec.convert({"options": fields, **marks}, BuildSettings)


def lay_over(lower: BuildSettings, upper: BuildSettings) -> BuildSettings:
    """Return both as one: tables and lists are added to, and the upper one counts where both say something.

    Caches are replaced: where they are is one decision. A secret takes the place of one with the same ID.
    """
    below, above = lower.values(), upper.values()
    laid: dict[str, Value] = {**below, **above}
    for name in below.keys() & above.keys():
        laid[name] = _joined(name, below[name], above[name])
    return settings_of(laid)


def _joined(name: str, below: Value, above: Value) -> Value:
    match below, above:
        case Mapping(), Mapping():
            return {**below, **above}
        case tuple(), tuple() if name not in _REPLACED:
            named = {identity(text) for text in above}
            kept = [text for text in below if name not in _IDENTIFIED or identity(text) not in named]
            return tuple(dict.fromkeys((*kept, *above)))
        case _:
            return above
