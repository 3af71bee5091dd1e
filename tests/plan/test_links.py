"""Links: targets whose named contexts are the results of other targets."""

from __future__ import annotations

import pytest

from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.errors import UsageError
from buildonce.oci import Platform
from buildonce.plan.accounts import Accountant
from buildonce.plan.nodes import BaseOrigin, Plan
from buildonce.plan.planning import make_graphs, make_plan
from buildonce.plan.sources import Declared, Request, SourceFile, TargetContext
from buildonce.plan.verdicts import VerdictKind
from tests.plan.projects import AMD64, ARM64, FakeContext, FakeImages, image_of, images_of

TOOL = "FROM debian AS builder\nARG FLAVOUR\nRUN cc $FLAVOUR\n"
BASE = "FROM debian\nENV NAME=base\nRUN install\nWORKDIR /srv\n"
APP = "FROM base\nCOPY --from=tool /out/app bin/\n"


def source(text: str, path: str = "Dockerfile", *, args: dict[str, str] | None = None, **links: object) -> SourceFile:
    named = {name: link for name, link in links.items() if isinstance(link, TargetContext)}
    return SourceFile(
        dockerfile=parse_dockerfile(text.encode(), path),
        context=FakeContext({}),
        build_args=args or {},
        named_contexts=named,
    )


def link(name: str, file: int, target: str | None = None, *platforms: Platform) -> TargetContext:
    return TargetContext(name=name, file=file, target=target, platforms=platforms)


def plan(*files: SourceFile, platforms: tuple[Platform, ...] = (AMD64,), wanted: int = 1) -> Plan:
    """Return the plan for the first ``wanted`` files, each one variant; the others are only linked."""
    declared = tuple(Declared(name=f"v{number}", file=number) for number in range(wanted))
    asked = Request(files=files, platforms=platforms, build_platform=AMD64, declared=declared)
    graphs = make_graphs(asked)
    return make_plan(asked, graphs, images_of(asked, graphs, FakeImages()))


def test_what_is_copied_from_a_target_is_a_core_of_its_own_dockerfile() -> None:
    made = plan(source(APP, base=link("base", 1), tool=link("tool", 2, "builder")), source(BASE), source(TOOL))
    (core,) = made.cores.values()
    assert (core.name, core.file, core.paths) == ("builder", 2, ("/out/app",))
    image = image_of(made, "v0")
    assert image.verdict.kind is VerdictKind.ASSEMBLE
    assert [step.step.workdir for step in image.trailing] == ["/srv"]


def test_what_is_built_on_a_target_starts_from_its_image_which_nobody_ships() -> None:
    made = plan(source(APP, base=link("base", 1), tool=link("tool", 2, "builder")), source(BASE), source(TOOL))
    (linked,) = made.linked
    assert (linked.variant, linked.file, linked.platform) == ("base", 1, AMD64)
    base = made.bases[image_of(made, "v0").base]
    assert (base.origin, base.external, base.built_on) == (BaseOrigin.ENGINE, None, made.images[0].built_on)
    assert [image.variant for image in made.images] == ["v0"]


def test_the_config_of_a_target_is_an_input_of_what_is_built_on_it() -> None:
    keys = {
        image_of(plan(source("FROM base\nRUN x\n", base=link("base", 1)), source(text)), "v0").base
        for text in (BASE, BASE + "LABEL a=b\n", BASE.replace("install", "install more"))
    }
    assert len(keys) == 3


def test_a_target_that_several_link_to_under_several_names_is_compiled_once() -> None:
    one = source("FROM debian\nCOPY --from=tool /out/a /a\n", tool=link("tool", 2))
    other = source("FROM debian\nCOPY --from=same /out/b /b\n", same=link("tool", 2))
    (core,) = plan(one, other, source(TOOL), wanted=2).cores.values()
    assert core.paths == ("/out/a", "/out/b")


def test_a_linked_stage_is_the_same_core_as_where_it_is_a_stage() -> None:
    linked = source("FROM debian\nCOPY --from=tool /out/a /a\n", tool=link("tool", 1, "builder"))
    own = source(TOOL + "FROM debian\nCOPY --from=builder /out/a /a\n")
    made = plan(linked, own, wanted=2)
    assert len(made.cores) == 1
    assert image_of(made, "v0").base == image_of(made, "v1").base


def test_an_argument_that_the_linked_target_uses_splits_it() -> None:
    users = [source("FROM debian\nCOPY --from=tool /a /a\n", tool=link(name, 2 + n)) for n, name in enumerate("ab")]
    tools = [source(TOOL, args={"FLAVOUR": name}) for name in "ab"]
    assert len(plan(*users, *tools, wanted=2).cores) == 2


def test_a_link_stands_in_for_the_stage_of_its_name_by_name_and_number() -> None:
    text = "FROM gcc AS builder\nRUN make\nFROM debian\nCOPY --from=builder /a /a\nCOPY --from=0 /b /b\n"
    (core,) = plan(source(text, builder=link("tool", 1)), source(TOOL)).cores.values()
    assert (core.file, core.paths) == (1, ("/a", "/b"))


def test_a_stage_that_takes_from_a_target_is_a_core_so_that_no_engine_has_to_know_the_target() -> None:
    text = (
        "FROM debian AS middle\nCOPY --from=tool /a /a\nFROM debian AS made\nCOPY --from=middle /a /b\nRUN x\n"
        "FROM debian\nCOPY --from=made /b /b\n"
    )
    made = plan(source(text, tool=link("tool", 1)), source(TOOL))
    assert [core.name for core in made.cores.values()] == ["builder", "middle", "made"]


@pytest.mark.parametrize(
    ("built_for", "taken"), [((), (AMD64, ARM64)), ((AMD64, ARM64), (AMD64, ARM64)), ((ARM64,), (ARM64,))]
)
def test_a_platform_takes_the_same_one_of_the_target_or_the_only_one(
    built_for: tuple[Platform, ...], taken: tuple[Platform, ...]
) -> None:
    user = source("FROM debian\nCOPY --from=tool /a /a\n", tool=link("tool", 1, None, *built_for))
    made = plan(user, source(TOOL), platforms=(AMD64, ARM64))
    assert {core.platform for core in made.cores.values()} == set(taken)
    assert len(made.images) == 2


def test_a_platform_that_the_target_is_not_built_for_is_an_error() -> None:
    riscv = Platform(os="linux", architecture="riscv64")
    user = source("FROM debian\nCOPY --from=it /a /a\n", it=link("tool", 1, None, ARM64, riscv))
    with pytest.raises(UsageError, match="`tool` is not built for linux/amd64") as caught:
        plan(user, source(TOOL))
    assert caught.value.help == "it is built for linux/arm64, linux/riscv64: add linux/amd64 there"


def test_a_linked_target_that_is_no_stage_is_an_error() -> None:
    with pytest.raises(UsageError, match="the target `bilder` of `tool` is no stage of tool/Dockerfile") as caught:
        plan(
            source("FROM debian\nCOPY --from=it /a /a\n", it=link("tool", 1, "bilder")),
            source(TOOL, "tool/Dockerfile"),
        )
    assert caught.value.help == "did you mean `builder`?"


def test_an_account_follows_a_link_to_the_lines_of_its_dockerfile() -> None:
    files = (source(APP, base=link("base", 1), tool=link("tool", 2)), source(BASE, "b/Dockerfile"), source(TOOL, "t"))
    asked = Request(files=files, platforms=(AMD64,), build_platform=AMD64, declared=(Declared(name="v0", file=0),))
    graphs = make_graphs(asked)
    images = images_of(asked, graphs, FakeImages())
    made = make_plan(asked, graphs, images)
    accountant = Accountant(asked, graphs, images)
    base = accountant.base(made.bases[image_of(made, "v0").base])
    linked = base.stages[base.stage.origin]
    assert (linked.name, linked.dockerfile, [step.text for step in linked.steps][:2]) == (
        "base",
        "b/Dockerfile",
        ["ENV NAME=base", "RUN install"],
    )
    (core,) = made.cores.values()
    assert accountant.core(core).stage.dockerfile == "t"


def test_onbuild_triggers_of_a_target_are_seen_where_something_is_built_on_it() -> None:
    made = plan(source("FROM it\nENV A=1\n", it=link("t", 1)), source("FROM debian\nONBUILD RUN x\n"))
    assert image_of(made, "v0").verdict.kind is VerdictKind.ENGINE


def test_one_link_for_two_platforms_is_refused() -> None:
    text = "FROM --platform=linux/arm64 it AS far\nRUN x\nFROM it\nCOPY --from=far /a /a\n"
    with pytest.raises(UsageError, match="takes the named context `it` for two platforms"):
        plan(source(text, it=link("t", 1, None, AMD64, ARM64)), source(TOOL))
