"""What cannot be in a configuration though each value is well formed: values that contradict each other."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from buildonce.dockerfile.problems import did_you_mean
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.keys import VARIANTS
from buildonce.project.links import check_links, linked_name
from buildonce.project.problems import Page
from buildonce.project.templates import LATEST, VARIANT, fill


def check_sense(page: Page, declaration: Declaration, given: Collection[str]) -> None:
    """Add what contradicts itself to the page's findings; ``given`` has the project's keys that were written."""
    is_well_formed = page.is_clean
    names = [variant.name for variant in declaration.variants]
    if {"push", "output"} <= set(given):
        page.complain(
            max(page.key(("push",)), page.key(("output",)), key=lambda place: place.line),
            "`push` and `output` exclude each other",
            help="name one place for the images; on the command line, --push or --output names another one",
        )
    if declaration.default and names and declaration.default not in names:
        page.complain(
            page.value(("default",)),
            f"there is no variant `{declaration.default}` that could be the default",
            help=did_you_mean(declaration.default, names) or f"the variants are {', '.join(names)}",
        )
    if "target" in given and VARIANTS not in given and not names and is_well_formed:
        page.complain(
            page.key(("target",)),
            "`target` is without a variant that it counts for",
            help=f"write [variants.{declaration.default or 'NAME'}]; without variants every final stage is one",
        )
    _check_latest(page, declaration)
    _check_links(page, declaration)
    if is_well_formed:
        _check_places(page, declaration)
        _check_collisions(page, declaration)


def _check_latest(page: Page, declaration: Declaration) -> None:
    for path, templates in _templates(declaration).items():
        for number, template in enumerate(templates):
            if template == LATEST:
                page.complain(
                    page.value((*path, number)),
                    "`latest` is moved by a rule, not by a template",
                    help='write latest = "always", or "release", or "branch main"',
                )


def _check_links(page: Page, declaration: Declaration) -> None:
    """Complain of contexts that are the results of no variant, or of themselves."""

    def complain(name: str, context: str, message: str, cure: str | None) -> None:
        own = page.value((VARIANTS, name, "contexts", context))
        of_project = page.value(("contexts", context))
        is_own = own not in (page.value((VARIANTS, name)), page.value((VARIANTS, name, "contexts")))
        page.complain(own if is_own else of_project, message, help=cure)

    check_links({variant.name: variant for variant in declaration.variants}, complain, what="variant")
    for context, value in declaration.contexts.items():
        if linked_name(value) is not None and not declaration.variants:
            page.complain(
                page.value(("contexts", context)),
                f"the context `{context}` is the result of a variant, and none is declared",
                help=f"write [variants.{linked_name(value)}], and one that has this context",
            )


def _check_places(page: Page, declaration: Declaration) -> None:
    """Complain of a variant whose repository would be that of the cache."""
    cache, push = declaration.cache, declaration.push or declaration.output or ""
    for variant in declaration.variants:
        if VARIANT in push and not variant.push and cache == fill(push, variant=variant.name):
            page.complain(
                page.value(("cache",)),
                f"the images of variant `{variant.name}` and the cache would both be in `{cache}`",
                help=f'for instance cache = "{cache}-cache"',
            )


def _check_collisions(page: Page, declaration: Declaration) -> None:
    """Complain of tags that two variants have in one place, whatever the version, the commit and the branch are."""
    owners: dict[tuple[str, str], VariantDeclaration] = {}
    for variant in declaration.variants:
        place = _place(declaration, variant)
        path = (VARIANTS, variant.name, "tags") if variant.tags else ("tags",)
        for number, template in enumerate((variant.tags or declaration.tags) if place else ()):
            tag = fill(template, variant=variant.name)
            other = owners.setdefault((place, tag), variant)
            if other is not variant:
                page.complain(
                    page.value((*path, number)),
                    f"variants `{other.name}` and `{variant.name}` would both be tagged `{tag}` in `{place}`",
                    help=f"put {VARIANT} into the template, or into the repository's name",
                )
                return


def _place(declaration: Declaration, variant: VariantDeclaration) -> str:
    """Return where a variant goes, empty if the file does not say it."""
    return fill(variant.push or declaration.push or declaration.output or "", variant=variant.name)


def _templates(declaration: Declaration) -> Mapping[tuple[str, ...], tuple[str, ...]]:
    found: dict[tuple[str, ...], tuple[str, ...]] = {("tags",): declaration.tags}
    return found | {(VARIANTS, variant.name, "tags"): variant.tags for variant in declaration.variants}
