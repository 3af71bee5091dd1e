"""Tags from a template: ``{variant}``, ``{version}``, ``{sha}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from buildonce.errors import UsageError
from buildonce.reference import is_tag

_FIELD = re.compile(r"\{([^{}]*)\}")
_FIELDS = ("variant", "version", "sha")


def expand_tags(template: str, variants: Sequence[str], lookup: Callable[[str], str]) -> Mapping[str, tuple[str, ...]]:
    """Return each variant's tags. ``lookup`` gives ``version`` or ``sha``, and is called only for what is used.

    Raises `UsageError` for an unknown field, a result that is no tag, and a tag that two variants would share.
    """
    unknown = [name for name in _FIELD.findall(template) if name not in _FIELDS]
    if unknown or set("{}") & set(_FIELD.sub("", template)):
        raise UsageError(
            f"`--tag {template}`: " + (f"there is no field `{{{unknown[0]}}}`" if unknown else "a brace stands alone"),
            help=f"the fields are {', '.join(f'{{{name}}}' for name in _FIELDS)}",
        )
    values = {name: lookup(name) for name in _FIELDS[1:] if f"{{{name}}}" in template}
    tags: dict[str, tuple[str, ...]] = {}
    owners: dict[str, str] = {}
    for variant in variants:
        tag = template.format(variant=variant, **values)
        if not is_tag(tag):
            raise UsageError(
                f"`{tag}` cannot be the tag of variant `{variant}`",
                help="a tag has letters, digits, `_`, `.` and `-`, at most 128; choose another --tag template",
            )
        if tag in owners:
            raise UsageError(
                f"variants `{owners[tag]}` and `{variant}` would both be tagged `{tag}`",
                help="put {variant} into the --tag template",
            )
        owners[tag] = variant
        tags[variant] = (tag,)
    return tags
