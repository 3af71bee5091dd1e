"""A buildonce.toml from what other files declare."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from buildonce.errors import UsageError
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.drafting import draft_toml
from buildonce.project.templates import fill
from tests.project.test_writing import declarations


def family(**tags: tuple[str, ...]) -> Declaration:
    return Declaration(
        variants=tuple(
            VariantDeclaration(name=name, push=f"r.example/acme/{name.lower()}", tags=ones)
            for name, ones in tags.items()
        )
    )


def test_repositories_and_tags_with_the_name_of_each_variant_become_patterns() -> None:
    declaration = draft_toml(family(claude=("1.0-claude",), codex=("1.0-codex",)), "compose.yaml").declaration
    assert (declaration.push, declaration.tags) == ("r.example/acme/{variant}", ("1.0-{variant}",))
    assert [(one.push, one.tags) for one in declaration.variants] == [(None, ()), (None, ())]


def test_one_variant_alone_shows_no_pattern() -> None:
    assert draft_toml(family(claude=("claude",)), "compose.yaml").declaration.push == "r.example/acme/claude"


def test_names_that_no_variant_can_have_are_changed() -> None:
    draft = draft_toml(family(Web=("1",), my__app=("1",), latest=("1",)), "compose.yaml")
    assert [one.name for one in draft.declaration.variants] == ["web", "my__app", "latest-image"]
    assert draft.changes == ("`Web` is called `web`", "`latest` is called `latest-image`")


@pytest.mark.parametrize("names", [("Web", "web"), ("日本", "web")])
def test_names_that_cannot_be_changed_are_an_error(names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"the names of compose.yaml cannot be those of variants"):
        draft_toml(family(**dict.fromkeys(names, ())), "compose.yaml")


def test_latest_becomes_a_rule() -> None:
    draft = draft_toml(family(a=("1.0", "latest"), b=("2.0", "latest")), "compose.yaml")
    assert draft.declaration.latest == "always"
    assert [one.tags for one in draft.declaration.variants] == [("1.0",), ("2.0",)]
    assert draft.changes == ('`latest` is moved by a rule: latest = "always" moves it with every build',)


def test_latest_of_some_is_left_out() -> None:
    draft = draft_toml(family(a=("1.0",), b=("latest",)), "compose.yaml")
    assert draft.declaration.latest is None
    assert [one.tags for one in draft.declaration.variants] == [("1.0",), ("{sha}",)]
    assert draft.changes == (
        "`latest` of `b` is left out: a rule moves it for all variants",
        "`b` had no other tag than `latest`, and has {sha} now",
    )


def test_what_the_file_cannot_say_is_named() -> None:
    declaration = Declaration(variants=(VariantDeclaration(name="a", platforms=("any",)),))
    with pytest.raises(UsageError) as caught:
        draft_toml(declaration, "docker-bake.json")
    assert str(caught.value) == (
        "docker-bake.json declares what buildonce.toml cannot say\n"
        '  = note: `any` is not a platform: platforms = ["any"]\n'
        "help: change it there, or write buildonce.toml by hand"
    )


@settings(deadline=None)
@given(declarations())
def test_a_draft_declares_the_same_images(declaration: Declaration) -> None:
    drafted = draft_toml(replace(declaration, args={}, contexts={}), "x").declaration
    assert [meant(one, drafted) for one in drafted.variants] == [
        meant(one, declaration) for one in declaration.variants
    ]


def meant(variant: VariantDeclaration, declaration: Declaration) -> VariantDeclaration:
    """Return a variant with what it has from its project, and its name filled in."""
    push = variant.push or declaration.push
    return replace(
        variant,
        platforms=variant.platforms or declaration.platforms,
        tags=tuple(fill(tag, variant=variant.name) for tag in variant.tags or declaration.tags or ("{variant}",)),
        push=push and fill(push, variant=variant.name),
    )
