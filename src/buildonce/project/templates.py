"""Templates for tags: text with ``{version}``, ``{sha}``, ``{branch}`` and ``{variant}`` in it."""

from __future__ import annotations

import re

from buildonce.dockerfile.problems import did_you_mean
from buildonce.errors import UsageError

FIELDS = ("version", "sha", "branch", "variant")
VARIANT = "{variant}"
LATEST = "latest"

_FIELD = re.compile(r"\{([^{}]*)\}")
_SEPARATOR = r"[._-]+"
_NAME = re.compile(rf"(?:{_SEPARATOR})?{re.escape(VARIANT)}")
_EDGES = re.compile(rf"^{_SEPARATOR}")


def check_template(template: str) -> None:
    """Raise `UsageError` if the template has a field that there is not, or a brace that stands alone."""
    for name in _FIELD.findall(template):
        if name not in FIELDS:
            raise UsageError(
                f"`{template}`: there is no field `{{{name}}}`",
                help=did_you_mean(name, FIELDS, "{{{}}}") or f"the fields are {_listed()}",
            )
    if set("{}") & set(_FIELD.sub("", template)):
        raise UsageError(f"`{template}`: a brace stands alone", help=f"the fields are {_listed()}")


def used_fields(template: str) -> frozenset[str]:
    """Return the names of the fields that a template has."""
    return frozenset(_FIELD.findall(template))


def fill(template: str, **values: str) -> str:
    """Return the template with these values for its fields; other fields stay."""
    return _FIELD.sub(lambda found: values.get(found[1], found[0]), template)


def bare_template(template: str) -> str | None:
    """Return the template without the variant's name and its separator, None where nothing is left or none was in it.

    ``{version}-{variant}`` and ``{variant}-{version}`` both become ``{version}``.
    """
    if VARIANT not in template:
        return None
    return _EDGES.sub("", _NAME.sub("", template)) or None


def _listed() -> str:
    return ", ".join(f"{{{name}}}" for name in FIELDS)
