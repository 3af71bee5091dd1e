"""The tags of a release: templates, the default variant, and `latest`. What is not used is not looked up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct, field

from buildonce.errors import NothingToFill, UsageError
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.templates import (
    FIELDS,
    LATEST,
    VARIANT,
    bare_template,
    check_template,
    fill,
    used_fields,
)
from buildonce.reference import is_tag

_VARIANT_FIELD = "variant"


class TagRules(Struct, frozen=True, kw_only=True):
    """How variants are tagged: by ``templates``, or by ``own`` for one that has its own.

    ``default`` gets each tag without its name in it, too. ``latest_of`` are the variants whose images are `latest` in
    their repositories when ``moves_latest`` says that the tag moves with this release.
    """

    templates: tuple[str, ...]
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default: str | None = None
    moves_latest: bool = False
    latest_of: frozenset[str] = frozenset()


def expand_rules(
    rules: TagRules, places: Mapping[str, str], lookup: Callable[[str], str]
) -> Mapping[str, tuple[str, ...]]:
    """Return the tags of each variant in ``places``, which has the store that each goes to.

    ``lookup`` gives ``version``, ``sha`` or ``branch``, and is called only for what is used. A template with a field
    that stands for nothing here (`NothingToFill`) is left out where the variant has another one: a commit of a branch
    is no version, a version need be on no branch. Raises `UsageError` for an unknown field, a result that is no tag, a
    template that gives `latest`, a tag that two variants would share, and a `latest` that moves and is nobody's.
    """
    used = {variant: rules.own.get(variant) or rules.templates for variant in places}
    for template in dict.fromkeys(template for templates in used.values() for template in templates):
        check_template(template)
    fields = {name for templates in used.values() for template in templates for name in used_fields(template)}
    values, absent = _look_up([name for name in FIELDS if name in fields and name != _VARIANT_FIELD], lookup)
    kept = {variant: _with_values(templates, absent) for variant, templates in used.items()}
    tags = {variant: _tags_of(variant, templates, rules, values) for variant, templates in kept.items()}
    _check_owners(tags, places)
    if rules.moves_latest and not any(LATEST in ones for ones in tags.values()):
        _check_latest(rules, places)
    return tags


def _look_up(
    names: Sequence[str], lookup: Callable[[str], str]
) -> tuple[Mapping[str, str], Mapping[str, NothingToFill]]:
    """Return what fields stand for, and why some stand for nothing."""
    values: dict[str, str] = {}
    absent: dict[str, NothingToFill] = {}
    for name in names:
        try:
            values[name] = lookup(name)
        except NothingToFill as error:
            absent[name] = error
    return values, absent


def _with_values(templates: tuple[str, ...], absent: Mapping[str, NothingToFill]) -> tuple[str, ...]:
    """Return the templates whose fields all stand for something. Raises `NothingToFill` if none is left of some."""
    left = tuple(template for template in templates if not absent.keys() & set(used_fields(template)))
    if templates and not left:
        raise next(error for name, error in absent.items() if name in used_fields(templates[0]))
    return left


def _tags_of(variant: str, templates: tuple[str, ...], rules: TagRules, values: Mapping[str, str]) -> tuple[str, ...]:
    found = [_checked(fill(template, variant=variant, **values), template, variant) for template in templates]
    if variant == rules.default:
        bare = [(template, shorter) for template in templates if (shorter := bare_template(template))]
        filled = [(template, fill(shorter, **values)) for template, shorter in bare]
        found += [_checked(tag, template, variant) for template, tag in filled if tag != LATEST]
    if rules.moves_latest and variant in rules.latest_of:
        found.append(LATEST)
    return tuple(dict.fromkeys(found))


def _checked(tag: str, template: str, variant: str) -> str:
    if not is_tag(tag):
        raise UsageError(
            f"`{tag}` cannot be the tag of variant `{variant}`",
            notes=(f"it comes from the template `{template}`",),
            help="a tag has letters, digits, `_`, `.` and `-`, at most 128; choose another template for tags",
        )
    if tag == LATEST != template:
        raise UsageError(
            f"`{template}` gives the tag `latest` to variant `{variant}`",
            notes=("that tag is moved by a rule, so that no name of a branch or variant moves it by chance",),
            help='choose another template for tags; the rule is written as latest = "branch main"',
        )
    return tag


def _check_owners(tags: Mapping[str, tuple[str, ...]], places: Mapping[str, str]) -> None:
    """Raise `UsageError` for a tag that two variants would have in one place."""
    owners: dict[tuple[str, str], str] = {}
    for variant, ones in tags.items():
        for tag in ones:
            other = owners.setdefault((places[variant], tag), variant)
            if other != variant:
                raise UsageError(
                    f"variants `{other}` and `{variant}` would both be tagged `{tag}`",
                    notes=(f"both go to {places[variant]}",),
                    help=f"put {VARIANT} into the template for tags, or into the place for one of each variant",
                )


def _check_latest(rules: TagRules, places: Mapping[str, str]) -> None:
    """Raise `UsageError` if `latest` is nobody's; that its variant is not built this time is no mistake."""
    if rules.default is None and not rules.latest_of:
        names = ", ".join(f"`{variant}`" for variant in places)
        raise UsageError(
            f"`latest` would be moved, and nothing says to which variant: {names}",
            help='name it with default = "NAME" in buildonce.toml',
        )


def tag_rules(
    declaration: Declaration,
    variants: Sequence[str],
    *,
    moves_latest: bool,
    left_out: Collection[VariantDeclaration] = (),
) -> TagRules:
    """Return how the ``variants`` that are built are tagged.

    `latest` is the default variant's, and that of each one that has its place to itself: of all that are declared, also
    of those that are ``left_out`` this time.
    """
    family = {one.name: one for one in (*declaration.variants, *left_out)}
    project = declaration.push or declaration.output or ""
    places = {
        name: fill((family[name].push if name in family else None) or project, variant=name)
        for name in dict.fromkeys((*family, *variants))
    }
    shared = Counter(places.values())
    is_known = bool(family) or VARIANT in project
    alone = {name for name, place in places.items() if is_known and shared[place] == 1}
    return TagRules(
        templates=declaration.tags,
        own={name: one.tags for name, one in family.items() if one.tags},
        default=declaration.default,
        moves_latest=moves_latest,
        latest_of=frozenset({*alone, *((declaration.default,) if declaration.default else ())}),
    )
