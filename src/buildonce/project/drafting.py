"""A declaration from another kind of file, said as buildonce.toml would say it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from buildonce.errors import ConfigurationError, UsageError
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.forms import VARIANT_NAME, find_wrong
from buildonce.project.links import LINK, links_of
from buildonce.project.problems import ConfigurationProblem
from buildonce.project.templates import LATEST, VARIANT, fill
from buildonce.project.toml import read_toml
from buildonce.project.writing import gather_common, render_toml

_OTHER = re.compile(r"[^a-z0-9]+")
_SHA = "{sha}"


class Draft(Struct, frozen=True, kw_only=True):
    """The text of a buildonce.toml, what it declares, and what it says otherwise than where it comes from."""

    text: str
    declaration: Declaration
    changes: tuple[str, ...] = ()


def draft_toml(declaration: Declaration, source: str) -> Draft:
    """Return a buildonce.toml that declares the same images; ``source`` is what messages call the declaration's origin.

    Names that no variant can have are changed, and `latest` becomes a rule; ``changes`` says so. Raises `UsageError`
    where the file cannot say it.
    """
    variants = {one.name for one in declaration.variants}
    if others := [one.name for one in declaration.linked if one.name not in variants]:
        raise UsageError(
            f"{source} takes files from `{others[0]}`, which it does not build as an image of its own",
            notes=("in buildonce.toml, only a variant's result can be a named context",),
            help=f"add `{others[0]}` to what it builds; or go on with -f {source}, without a buildonce.toml",
        )
    if inline := [one.name for one in declaration.variants if one.inline]:
        raise UsageError(
            f"the Dockerfile of `{inline[0]}` stands in {source} itself, which it cannot in buildonce.toml",
            help=f"write it into a file, and name that as the `dockerfile` of `{inline[0]}`",
        )
    renamed, changes = _rename(declaration, source)
    ruled, more = _give_rule(renamed)
    gathered = gather_common(_generalise(ruled))
    text = render_toml(gathered)
    try:
        read = read_toml(text).declaration
    except ConfigurationProblem as problem:
        raise ConfigurationError(
            f"{source} declares what buildonce.toml cannot say",
            notes=tuple(f"{one.message}: {one.source.strip()}" for one in problem.diagnostics),
            help="change it there, or write buildonce.toml by hand",
        ) from problem
    return Draft(text=text, declaration=read, changes=(*changes, *more))


def _rename(declaration: Declaration, source: str) -> tuple[Declaration, list[str]]:
    """Return the declaration with names that variants can have."""
    names = {one.name: _fitting(one.name) for one in declaration.variants}
    doubled = sorted(name for name in names.values() if list(names.values()).count(name) > 1)
    if doubled or "" in names.values():
        raise UsageError(
            f"the names of {source} cannot be those of variants: {', '.join(names)}",
            notes=(f"several would be `{doubled[0]}`" if doubled else "one would be empty",),
            help=VARIANT_NAME.help,
        )
    variants = tuple(replace(one, name=names[one.name], contexts=_relink(one, names)) for one in declaration.variants)
    return (
        replace(declaration, variants=variants),
        [f"`{old}` is called `{new}`" for old, new in names.items() if old != new],
    )


def _relink(variant: VariantDeclaration, names: Mapping[str, str]) -> Mapping[str, str]:
    """Return a variant's named contexts, those that are other variants' results with their new names."""
    links = {context: f"{LINK}{names.get(name, name)}" for context, name in links_of(variant).items()}
    return {**variant.contexts, **links}


def _fitting(name: str) -> str:
    if name != LATEST and find_wrong(VARIANT_NAME, name, name) is None:
        return name
    return f"{LATEST}-image" if name == LATEST else _OTHER.sub("-", name.lower()).strip("-")


def _give_rule(declaration: Declaration) -> tuple[Declaration, list[str]]:
    """Return the declaration with a rule for `latest` in the place of tags of that name."""
    tagged = [one.name for one in declaration.variants if LATEST in one.tags]
    if not tagged:
        return declaration, []
    has_rule = all(LATEST in one.tags for one in declaration.variants if one.push)
    is_alone = len({one.push for one in declaration.variants}) == len(declaration.variants)
    changes = [_about_rule(tagged, has_rule=has_rule, is_alone=is_alone)]
    only = [one.name for one in declaration.variants if one.tags == (LATEST,)]
    changes += [f"`{name}` had no other tag than `latest`, and has {_SHA} now" for name in only]
    variants = tuple(_without_latest(one) for one in declaration.variants)
    return replace(declaration, variants=variants, latest="always" if has_rule and is_alone else None), changes


def _about_rule(tagged: Sequence[str], *, has_rule: bool, is_alone: bool) -> str:
    if not is_alone:
        return "`latest` is left out: choose a default variant, and a rule for it"
    if has_rule:
        return '`latest` is moved by a rule: latest = "always" moves it with every build'
    names = ", ".join(f"`{name}`" for name in tagged)
    return f"`latest` of {names} is left out: a rule moves it for all variants"


def _without_latest(variant: VariantDeclaration) -> VariantDeclaration:
    left = tuple(tag for tag in variant.tags if tag != LATEST)
    return replace(variant, tags=left or ((_SHA,) if variant.tags else ()))


def _generalise(declaration: Declaration) -> Declaration:
    """Return the declaration with {variant} where repositories and tags have the name of each variant."""
    variants = declaration.variants
    push = _pattern({one.name: (one.push,) for one in variants if one.push})
    tags = _pattern({one.name: one.tags for one in variants})
    return replace(
        declaration,
        variants=tuple(
            replace(one, push=push[0] if push and one.push else one.push, tags=tags or one.tags) for one in variants
        ),
    )


def _pattern(texts: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return what gives each name its texts, empty if nothing does or if there is one name alone."""
    if len(texts) <= 1:
        return ()
    first, *_ = texts
    found = tuple(text.replace(first, VARIANT) for text in texts[first])
    fits = all(tuple(fill(one, variant=name) for one in found) == tuple(ones) for name, ones in texts.items())
    return found if fits else ()
