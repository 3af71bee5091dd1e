"""Contexts that are the results of other targets, as bake files, Compose files and buildonce.toml declare them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buildonce.errors import UsageError
from buildonce.oci import parse_platform
from buildonce.plan.sources import TargetContext
from buildonce.project.bake import declare_bake
from buildonce.project.bake_resolution import resolve_bake
from buildonce.project.compose import read_compose
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.drafting import draft_toml
from buildonce.project.layers import Fallbacks, Layer, resolve_layers
from buildonce.project.links import check_links
from buildonce.project.toml import Configuration, read_toml
from buildonce.run.declared import load_declared
from buildonce.run.named_contexts import load_named_contexts
from buildonce.run.plan_secrets import with_secrets, without_secrets
from tests.project.bake_documents import Json

CHAIN: Json = {
    "target": {
        "app": {"contexts": {"base": "target:base", "data": "./data"}},
        "base": {"context": "base", "tags": ["r.io/a:1", "r.io/b:1"], "contexts": {"tool": "target:Tool"}},
        "Tool": {"args": {"A": "1"}, "platforms": ["linux/amd64"]},
        "unused": {"labels": {"a": "b"}},
    }
}


def bake(document: Json, *wanted: str) -> Declaration:
    return declare_bake(resolve_bake([document], wanted, {}, path="B"), path="B")


def message(error: UsageError) -> str:
    return "\n".join((error.message, *error.notes, error.help or ""))


def test_a_bake_target_is_linked_to_others_that_are_no_variants() -> None:
    declared = bake(CHAIN, "app")
    assert [one.name for one in declared.variants] == ["app"]
    assert declared.variants[0].contexts == {"base": "target:base", "data": "data"}
    assert [(one.name, one.args) for one in declared.linked] == [("Tool", {"A": "1"}), ("base", {})]


def test_a_bake_target_that_is_linked_and_wanted_is_both() -> None:
    targets = {name: dict(target) for name, target in CHAIN["target"].items()}
    targets["base"].pop("tags")
    declared = bake({"target": targets}, "app", "base")
    assert [one.name for one in declared.variants] == ["app", "base"]
    assert [one.name for one in declared.linked] == ["Tool", "base"]


@pytest.mark.parametrize(
    ("links", "said"),
    [
        (
            {"app": "bsae", "base": "tool", "tool": None},
            (
                "the context `x` is the result of `bsae`, which is no target\nB, target.app.contexts.x\n"
                "did you mean `base`?"
            ),
        ),
        (
            {"app": "base", "base": "base"},
            (
                "the context `x` is a result that is made from itself: base -> base\nB, target.base.contexts.x\n"
                "take the target out of its own `contexts`"
            ),
        ),
        (
            {"app": "base", "base": "tool", "tool": "base"},
            (
                "2 things are wrong in B\n"
                "B, target.base.contexts.x: the context `x` is a result that is made from itself: "
                "base -> tool -> base (help: take one of them out of the other's contexts)\n"
                "B, target.tool.contexts.x: the context `x` is a result that is made from itself: tool -> base -> tool "
                "(help: take one of them out of the other's contexts)\n"
            ),
        ),
    ],
)
def test_links_that_lead_nowhere_or_in_a_circle_are_said_at_their_places(links: dict[str, Any], said: str) -> None:
    targets = {name: {"contexts": {"x": f"target:{to}"}} if to else {} for name, to in links.items()}
    with pytest.raises(UsageError) as caught:
        bake({"target": targets}, "app")
    assert message(caught.value) == said


def test_a_target_with_a_circle_behind_it_is_not_blamed_for_it() -> None:
    targets = {
        name: VariantDeclaration(name=name, contexts={"x": f"target:{to}"})
        for name, to in {"a": "b", "b": "c", "c": "b"}.items()
    }
    blamed: list[str] = []
    check_links(targets, lambda name, *_: blamed.append(name), what="target")
    assert blamed == ["b", "c"]


def test_a_compose_service_is_linked_to_another_one() -> None:
    text = (
        "services:\n  app: {build: {context: ., additional_contexts: {base: 'service:base'}}}\n  base: {build: base}\n"
    )
    declared = read_compose(text.encode(), path="compose.yaml", environment={})
    assert declared.variants[0].contexts == {"base": "target:base"}
    assert [one.context for one in declared.linked] == ["base"]


def test_a_compose_service_that_is_not_built_has_no_result() -> None:
    text = "services:\n  app: {build: {context: ., additional_contexts: ['base=service:db']}}\n  db: {image: x}\n"
    with pytest.raises(UsageError, match="the result of `db`, which is no service with a `build`"):
        read_compose(text.encode(), path="compose.yaml", environment={})


LINKED = """\
platforms = ["linux/amd64", "linux/arm64"]
[variants.app]
contexts.base = "target:base"
[variants.base]
dockerfile = "Dockerfile.base"
"""


def test_a_variant_of_a_toml_file_is_linked_to_another_one() -> None:
    declared = read_toml(LINKED).declaration
    assert declared.variants[0].contexts == {"base": "target:base"}
    assert declared.linked == (declared.variants[1],)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (LINKED.replace('"target:base"', '"target:bsae"'), 3, "`bsae`, which is no variant"),
        (LINKED.replace('"target:base"', '"target:app"'), 3, "made from itself: app -> app"),
        ('contexts.base = "target:base"\n[variants.base]\n[variants.app]\n', 1, "made from itself: base -> base"),
        ('[contexts]\nbase = "target:base"\n', 2, "is the result of a variant, and none is declared"),
    ],
)
def test_a_wrong_link_of_a_toml_file_is_said_at_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_toml(text)
    assert said in str(caught.value)
    assert f"buildonce.toml:{line}:" in str(caught.value)


def test_a_draft_keeps_links_under_the_names_that_variants_get() -> None:
    variants = (
        VariantDeclaration(name="App", contexts={"x": "target:Base"}),
        VariantDeclaration(name="Base", dockerfile="B"),
    )
    draft = draft_toml(Declaration(variants=variants, linked=variants[1:]), "docker-bake.json")
    assert draft.declaration.variants[0].contexts == {"x": "target:base"}
    assert [one.name for one in draft.declaration.linked] == ["base"]


def test_a_draft_cannot_have_a_link_to_what_is_no_variant() -> None:
    with pytest.raises(UsageError, match=r"docker-bake\.json takes files from `Tool`, which it does not build"):
        draft_toml(bake(CHAIN, "app"), "docker-bake.json")


def test_options_count_for_what_is_only_linked_too_but_for_its_platforms() -> None:
    layer = Layer(args={"A": "2"}, platforms=("linux/arm64",))
    laid = resolve_layers(
        Configuration(declaration=bake(CHAIN, "app")), layer, Fallbacks(platform="linux/amd64", folder=".")
    )
    tool = laid.declaration.linked[0]
    assert (tool.args, tool.platforms) == ({"A": "2"}, ("linux/amd64",))


def test_what_is_only_linked_is_a_source_file_without_a_variant(tmp_path: Path) -> None:
    for folder in (".", "base", "data"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "Dockerfile").write_text("FROM scratch\n")
    project, declared = load_declared(bake(CHAIN, "app"), tmp_path)
    assert [one.file for one in declared] == [0]
    base = project.files[0].named_contexts["base"]
    assert base == TargetContext(name="base", file=2)
    tool = project.files[2].named_contexts["tool"]
    assert tool == TargetContext(name="Tool", file=1, platforms=(parse_platform("linux/amd64"),))


def test_a_plan_file_has_no_secrets_of_what_is_only_linked() -> None:
    targets = {"app": {"contexts": {"x": "target:base"}}, "base": {"args": {"API_TOKEN": "hidden", "A": "1"}}}
    opened, secrets = without_secrets(bake({"target": targets}, "app"))
    assert opened.linked[0].args == {"A": "1"}
    assert with_secrets(opened, secrets, {}, {"API_TOKEN": "hidden"}).linked[0].args["API_TOKEN"] == "hidden"


INLINE = "FROM busybox AS app\nRUN echo $${HOME} > /x\n"


def test_a_dockerfile_in_a_bake_file_is_called_after_its_place(tmp_path: Path) -> None:
    target = {"dockerfile-inline": INLINE, "dockerfile": "not-read", "context": "sub"}
    declared = bake({"target": {"app": target}}, "app")
    (app,) = declared.variants
    assert app.inline == INLINE.replace("$$", "$")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".dockerignore").write_text("junk\n")
    project, _ = load_declared(declared, tmp_path)
    assert project.files[0].dockerfile.path == "B, target.app.dockerfile-inline"
    assert project.ignore_text(0).startswith("junk")


def test_two_dockerfiles_in_one_file_are_two(tmp_path: Path) -> None:
    targets = {name: {"dockerfile-inline": f"FROM scratch AS {name}\n"} for name in ("a", "b")}
    project, declared = load_declared(bake({"target": targets}, "a", "b"), tmp_path)
    assert [project.files[one.file].dockerfile.stages[0].name for one in declared] == ["a", "b"]


def test_a_dockerfile_in_a_compose_file_excludes_another_one() -> None:
    text = "services:\n  app:\n    build:\n      dockerfile_inline: FROM scratch\n"
    (app,) = read_compose(text.encode(), path="compose.yaml", environment={}).variants
    assert (app.inline, app.dockerfile) == ("FROM scratch", "compose.yaml, services.app.build.dockerfile_inline")
    with pytest.raises(UsageError, match="`dockerfile` names another one"):
        read_compose(f"{text}      dockerfile: D\n".encode(), path="compose.yaml", environment={})


def test_a_draft_cannot_have_a_dockerfile_in_it() -> None:
    with pytest.raises(UsageError, match=r"the Dockerfile of `app` stands in docker-bake\.json itself"):
        draft_toml(bake({"target": {"app": {"dockerfile-inline": "FROM scratch"}}}, "app"), "docker-bake.json")


def test_an_option_cannot_name_a_target() -> None:
    with pytest.raises(UsageError, match="the named context `base` cannot be the result of `app`"):
        load_named_contexts(["base=target:app"])
