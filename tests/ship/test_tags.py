"""Tag templates, the default variant, and `latest`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildonce.errors import NothingToFill, UsageError
from buildonce.project.declaration import Declaration
from buildonce.project.templates import bare_template
from buildonce.project.toml import read_toml
from buildonce.reference import is_tag
from buildonce.ship.tags import TagRules, expand_rules, tag_rules

FAMILY = {"claude": "r.example/app", "grok": "r.example/app"}
OWN = {"claude": "r.example/claude", "grok": "r.example/grok"}


def expand_tags(
    templates: Sequence[str], places: Mapping[str, str], look_up: Callable[[str], str]
) -> Mapping[str, tuple[str, ...]]:
    """Return the tags of each variant by these templates alone."""
    return expand_rules(TagRules(templates=tuple(templates)), places, look_up)


def lookup(name: str) -> str:
    return {"version": "1.2.3", "sha": "0123456789ab", "branch": "feature-x"}[name]


def expand(places: Mapping[str, str], *templates: str, default: str | None = None) -> Mapping[str, tuple[str, ...]]:
    return expand_rules(TagRules(templates=templates, default=default), places, lookup)


@pytest.mark.parametrize(
    ("template", "tag"),
    [
        ("{variant}", "claude"),
        ("{version}-{variant}", "1.2.3-claude"),
        ("{variant}-{sha}", "claude-0123456789ab"),
        ("{branch}_{variant}", "feature-x_claude"),
        ("x{variant}{variant}", "xclaudeclaude"),
    ],
)
def test_a_template_gives_a_tag(template: str, tag: str) -> None:
    assert expand_tags([template], {"claude": "r"}, lookup) == {"claude": (tag,)}


def on_a_branch(name: str) -> str:
    if name == "version":
        raise NothingToFill("no version")
    return lookup(name)


def test_a_template_that_stands_for_nothing_here_gives_way_to_others() -> None:
    rules = TagRules(
        templates=("{version}-{variant}", "{branch}-{variant}"), own={"grok": ("{sha}-grok",)}, default="claude"
    )
    assert expand_rules(rules, FAMILY, on_a_branch) == {
        "claude": ("feature-x-claude", "feature-x"),
        "grok": ("0123456789ab-grok",),
    }


def test_where_no_template_stands_for_anything_the_reason_is_said() -> None:
    rules = TagRules(templates=("{branch}-{variant}",), own={"grok": ("{version}-grok",)})
    with pytest.raises(UsageError, match="no version"):
        expand_rules(rules, FAMILY, on_a_branch)


def test_fields_that_are_not_used_are_not_looked_up() -> None:
    def refuse(name: str) -> str:
        raise AssertionError(name)

    assert expand_tags(["{variant}"], {"a": "r"}, refuse) == {"a": ("a",)}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("latest", "variants `a` and `b` would both be tagged `latest`"),
        ("{branc}", "there is no field `{branc}`"),
        ("{variant", "a brace stands alone"),
        ("{variant}/x", "`a/x` cannot be the tag of variant `a`"),
        ("{variant.__class__}", "there is no field `{variant.__class__}`"),
        ("-{variant}", "`-a` cannot be the tag"),
        ("{variant}-" + "x" * 128, "cannot be the tag of variant `a`"),
    ],
)
def test_a_bad_template_is_refused(template: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        expand_tags([template], {"a": "r", "b": "r"}, lookup)
    assert message in error.value.message


def test_a_variant_can_have_several_tags() -> None:
    found = expand_tags(["{variant}", "{variant}-{version}", "{variant}"], {"a": "r"}, lookup)
    assert found == {"a": ("a", "a-1.2.3")}


def test_variants_in_repositories_of_their_own_may_share_a_tag() -> None:
    assert expand_tags(["latest"], {"a": "r/a", "b": "r/b"}, lookup) == {"a": ("latest",), "b": ("latest",)}


@pytest.mark.parametrize(
    ("template", "bare"),
    [
        ("{version}-{variant}", "{version}"),
        ("{variant}-{version}", "{version}"),
        ("{variant}_{version}", "{version}"),
        ("{version}.{variant}.{sha}", "{version}.{sha}"),
        ("v{version}-{variant}-{sha}", "v{version}-{sha}"),
        ("nightly-{variant}", "nightly"),
        ("{version}{variant}", "{version}"),
        ("{variant}{version}", "{version}"),
        ("{variant}-{variant}", None),
        ("{variant}", None),
        ("{version}", None),
    ],
)
def test_a_bare_template_has_no_name_and_no_separator(template: str, bare: str | None) -> None:
    assert bare_template(template) == bare


@given(st.lists(st.sampled_from(["a", "1", "-", ".", "_", "{version}", "{variant}", "{sha}"]), min_size=1).map("".join))
def test_a_bare_template_gives_a_tag_where_the_whole_one_does(template: str) -> None:
    bare = bare_template(template)
    if bare is None:
        return
    assert "{variant}" not in bare
    whole = template.format(variant="x", version="1.2", sha="ab")
    if is_tag(whole):
        assert is_tag(bare.format(version="1.2", sha="ab"))


def test_the_default_variant_has_each_tag_without_its_name_too() -> None:
    found = expand(FAMILY, "{version}-{variant}", "{variant}", "{variant}-{branch}", default="claude")
    assert found == {
        "claude": ("1.2.3-claude", "claude", "claude-feature-x", "1.2.3", "feature-x"),
        "grok": ("1.2.3-grok", "grok", "grok-feature-x"),
    }


def test_a_default_that_is_not_built_this_time_is_no_mistake() -> None:
    assert expand({"grok": "r"}, "{version}-{variant}", default="claude") == {"grok": ("1.2.3-grok",)}


def test_a_bare_tag_that_another_variant_has_is_a_collision() -> None:
    with pytest.raises(UsageError) as caught:
        expand({"claude": "r", "nightly": "r"}, "nightly-{variant}", "{variant}", default="claude")
    assert str(caught.value) == (
        "variants `claude` and `nightly` would both be tagged `nightly`\n"
        "  = note: both go to r\n"
        "help: put {variant} into the template for tags, or into the place for one of each variant"
    )


def test_a_collision_may_come_from_values() -> None:
    with pytest.raises(UsageError, match=r"`claude` and `feature-x` would both be tagged `feature-x`"):
        expand({"claude": "r", "feature-x": "r"}, "{variant}", "{branch}-{variant}", default="claude")


def test_latest_is_moved_by_a_rule_and_not_by_chance() -> None:
    for template, name in (("{branch}", "latest"), ("{version}", "latest")):
        rules = TagRules(templates=(template,))
        with pytest.raises(UsageError, match=r"gives the tag `latest` to variant `claude`"):
            expand_rules(rules, {"claude": "r"}, {"branch": name, "version": name}.__getitem__)
    assert expand(FAMILY, "latest-{variant}", default="claude")["claude"] == ("latest-claude",)


def test_a_variant_may_have_templates_of_its_own() -> None:
    rules = TagRules(templates=("{version}-{variant}",), own={"grok": ("grok", "{variant}-x")}, default="grok")
    assert expand_rules(rules, FAMILY, lookup) == {"claude": ("1.2.3-claude",), "grok": ("grok", "grok-x", "x")}


def rules_for(text: str, *, moves: bool = True) -> TagRules:
    declaration: Declaration = read_toml(text).declaration
    return tag_rules(declaration, [one.name for one in declaration.variants], moves_latest=moves)


TWO = "[variants.claude]\n[variants.grok]\n"


@pytest.mark.parametrize(
    ("text", "places", "owners"),
    [
        ("push = 'r.example/app'\ndefault = 'claude'\n" + TWO, FAMILY, ["claude"]),
        ("push = 'r.example/{variant}'\n" + TWO, OWN, ["claude", "grok"]),
        ("push = 'r.example/app'\n[variants.claude]\n", {"claude": "r.example/app"}, ["claude"]),
        ("push = 'r.example/claude'\n" + TWO + "push = 'r.example/grok'\n", OWN, ["claude", "grok"]),
        ("push = 'r.example/app'\ndefault = 'claude'\n" + TWO, {"grok": "r.example/app"}, []),
    ],
)
def test_latest_is_of_the_default_or_of_who_is_alone(text: str, places: dict[str, str], owners: list[str]) -> None:
    found = expand_rules(rules_for("tags = ['{version}-{variant}']\n" + text), places, lookup)
    assert [variant for variant, tags in found.items() if "latest" in tags] == owners
    still = expand_rules(rules_for("tags = ['{version}-{variant}']\n" + text, moves=False), places, lookup)
    assert not any("latest" in tags for tags in still.values())


def test_latest_that_is_nobodys_is_an_error() -> None:
    rules = rules_for("tags = ['{variant}']\npush = 'r.example/app'\n" + TWO)
    with pytest.raises(UsageError) as caught:
        expand_rules(rules, FAMILY, lookup)
    assert str(caught.value) == (
        "`latest` would be moved, and nothing says to which variant: `claude`, `grok`\n"
        'help: name it with default = "NAME" in buildonce.toml'
    )


def test_a_variant_that_is_built_alone_is_not_alone_in_its_repository() -> None:
    declaration = read_toml("push = 'r.example/app'\ntags = ['{variant}']\n" + TWO).declaration
    (claude, grok) = declaration.variants
    assert tag_rules(declaration, ["grok"], moves_latest=True).latest_of == frozenset()
    from msgspec.structs import replace

    left = replace(declaration, variants=(grok,))
    assert tag_rules(left, ["grok"], moves_latest=True, left_out=(claude,)).latest_of == frozenset()


def test_without_declared_variants_latest_needs_a_default_or_a_repository_for_each() -> None:
    one, own = Declaration(push="r.example/app"), Declaration(push="r.example/{variant}")
    assert tag_rules(one, ["a"], moves_latest=True).latest_of == frozenset()
    assert tag_rules(own, ["a", "b"], moves_latest=True).latest_of == {"a", "b"}
