"""Tags from a template: ``{variant}``, ``{version}``, ``{sha}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from buildonce.errors import UsageError
from buildonce.reference import is_tag

_FIELD = re.compile(r"\{([^{}]*)\}")
_FIELDS = ("variant", "version", "sha")


def expand_tags(
    templates: Sequence[str], places: Mapping[str, str], lookup: Callable[[str], str]
) -> Mapping[str, tuple[str, ...]]:
    """Return the tags of each variant in ``places``, which has the store that each goes to.

    ``lookup`` gives ``version`` or ``sha``, and is called only for what is used. Raises `UsageError` for an unknown
    field, a result that is no tag, and a tag that two variants would share.
    """
    for template in templates:
        _check_fields(template)
    values = {name: lookup(name) for name in _FIELDS[1:] if any(f"{{{name}}}" in one for one in templates)}
    tags: dict[str, tuple[str, ...]] = {}
    owners: dict[tuple[str, str], str] = {}
    for variant, place in places.items():
        tags[variant] = tuple(dict.fromkeys(one.format(variant=variant, **values) for one in templates))
        for tag in tags[variant]:
            _check_tag(tag, variant)
            if other := owners.get((place, tag)):
                raise UsageError(
                    f"variants `{other}` and `{variant}` would both be tagged `{tag}`",
                    help="put {variant} into the --tag template, or into --push for a repository each",
                )
            owners[place, tag] = variant
    return tags


def _check_fields(template: str) -> None:
    unknown = [name for name in _FIELD.findall(template) if name not in _FIELDS]
    if unknown or set("{}") & set(_FIELD.sub("", template)):
        raise UsageError(
            f"`--tag {template}`: " + (f"there is no field `{{{unknown[0]}}}`" if unknown else "a brace stands alone"),
            help=f"the fields are {', '.join(f'{{{name}}}' for name in _FIELDS)}",
        )


def _check_tag(tag: str, variant: str) -> None:
    if not is_tag(tag):
        raise UsageError(
            f"`{tag}` cannot be the tag of variant `{variant}`",
            help="a tag has letters, digits, `_`, `.` and `-`, at most 128; choose another --tag template",
        )
