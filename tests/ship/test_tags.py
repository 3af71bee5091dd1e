"""Tag templates."""

from __future__ import annotations

import pytest

from buildonce.errors import UsageError
from buildonce.ship.tags import expand_tags


def lookup(name: str) -> str:
    return {"version": "1.2.3", "sha": "0123456789ab"}[name]


@pytest.mark.parametrize(
    ("template", "tag"),
    [
        ("{variant}", "claude"),
        ("{version}-{variant}", "1.2.3-claude"),
        ("{variant}-{sha}", "claude-0123456789ab"),
        ("x{variant}{variant}", "xclaudeclaude"),
    ],
)
def test_a_template_gives_a_tag(template: str, tag: str) -> None:
    assert expand_tags([template], {"claude": "r"}, lookup) == {"claude": (tag,)}


def test_fields_that_are_not_used_are_not_looked_up() -> None:
    def refuse(name: str) -> str:
        raise AssertionError(name)

    assert expand_tags(["{variant}"], {"a": "r"}, refuse) == {"a": ("a",)}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("latest", "variants `a` and `b` would both be tagged `latest`"),
        ("{branch}", "there is no field `{branch}`"),
        ("{variant", "a brace stands alone"),
        ("{variant}/x", "`a/x` cannot be the tag of variant `a`"),
        ("{variant.__class__}", "there is no field `{variant.__class__}`"),
        ("-{variant}", "`-a` cannot be the tag"),
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
