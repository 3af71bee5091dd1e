"""Variants that a project declares: targets with arguments, contexts and platforms of their own."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.errors import UsageError
from buildonce.oci import Platform
from buildonce.plan.nodes import Plan
from buildonce.plan.planning import make_graphs, make_plan
from buildonce.plan.sources import Declared, Request, SourceFile
from buildonce.run.planned import unused_arguments
from tests.plan.projects import AMD64, ARM64, FakeContext, FakeImages, images_of

ONE_STAGE = """\
FROM debian AS builder
COPY main.c /src/
RUN cc -o /app /src/main.c
FROM debian AS app
ARG AGENT
RUN install-agent $AGENT
COPY --from=builder /app /usr/local/bin/app
"""
USED = ONE_STAGE.replace("RUN cc", "ARG AGENT\nRUN cc")
FILES = {"main.c": "int main;"}


def source(text: str, **args: str) -> SourceFile:
    return SourceFile(
        dockerfile=parse_dockerfile(text.encode(), "Dockerfile"), context=FakeContext(FILES), build_args=args
    )


def request(
    files: Sequence[SourceFile],
    declared: Sequence[Declared],
    *,
    platforms: Sequence[Platform] = (AMD64,),
    variants: tuple[str, ...] = (),
) -> Request:
    return Request(
        files=tuple(files),
        declared=tuple(declared),
        platforms=tuple(platforms),
        build_platform=AMD64,
        variants=variants,
    )


def plan(asked: Request) -> Plan:
    graphs = make_graphs(asked)
    return make_plan(asked, graphs, images_of(asked, graphs, FakeImages()))


def variants(text: str, *names: str) -> Request:
    files = [source(text, AGENT=name) for name in names]
    return request(files, [Declared(name=name, file=number, target="app") for number, name in enumerate(names)])


def test_variants_of_one_stage_share_a_compile_that_does_not_use_their_argument() -> None:
    made = plan(variants(ONE_STAGE, "claude", "codex"))
    assert len(made.cores) == 1
    assert len(made.bases) == 2
    assert [image.variant for image in made.images] == ["claude", "codex"]


def test_an_argument_that_the_compile_uses_splits_it() -> None:
    assert len(plan(variants(USED, "claude", "codex")).cores) == 2


def test_a_variant_has_platforms_of_its_own() -> None:
    declared = [Declared(name="both", file=0), Declared(name="one", file=0, platforms=(ARM64,))]
    made = plan(request([source(ONE_STAGE, AGENT="x")], declared, platforms=(AMD64, ARM64)))
    assert [(image.variant, image.platform) for image in made.images] == [
        ("both", AMD64),
        ("both", ARM64),
        ("one", ARM64),
    ]


def test_a_platform_that_only_one_variant_has_is_planned_for_it_alone() -> None:
    declared = [Declared(name="usual", file=0), Declared(name="far", file=1, platforms=(ARM64,))]
    made = plan(request([source(ONE_STAGE), source(ONE_STAGE)], declared))
    assert [(image.variant, image.platform) for image in made.images] == [("usual", AMD64), ("far", ARM64)]


def test_some_of_the_declared_variants_can_be_chosen_and_leave_the_cores_as_they_are() -> None:
    asked = variants(ONE_STAGE, "claude", "codex")
    chosen = plan(request(asked.files, asked.declared, variants=("codex",)))
    assert [image.variant for image in chosen.images] == ["codex"]
    assert chosen.cores.keys() == plan(asked).cores.keys()


@pytest.mark.parametrize(("target", "stage"), [("app", 1), ("APP", 1), ("1", 1), (None, 1), ("builder", 0), ("0", 0)])
def test_a_target_is_found_as_buildkit_finds_it(target: str | None, stage: int) -> None:
    (image,) = plan(request([source(ONE_STAGE, AGENT="x")], [Declared(name="x", file=0, target=target)])).images
    assert image.stage == stage


@pytest.mark.parametrize("target", ["2", "ap", "", "-1", "１"])
def test_a_target_that_is_no_stage_is_an_error_that_names_all(target: str) -> None:
    declared = [Declared(name=name, file=0, target=target) for name in ("one", "two")]
    with pytest.raises(UsageError) as caught:
        plan(request([source(ONE_STAGE, AGENT="x")], declared))
    assert caught.value.message == (
        f"the target `{target}` of variant `one` is no stage of Dockerfile; "
        f"the target `{target}` of variant `two` is no stage of Dockerfile"
    )
    near = "did you mean `app`?" if target == "ap" else "the stages are app, builder"
    assert caught.value.help == near


def test_a_variant_that_is_not_declared_is_an_error_that_names_the_declared_ones() -> None:
    asked = variants(ONE_STAGE, "claude", "codex")
    with pytest.raises(UsageError, match="there is no variant `cladue`") as caught:
        plan(request(asked.files, asked.declared, variants=("cladue",)))
    assert caught.value.help == "did you mean `--variant claude`?"


def test_an_argument_is_unused_if_no_file_that_gets_it_takes_it() -> None:
    files = [source(ONE_STAGE, AGENT="a", LOST="1"), source("FROM scratch", AGENT="b", OTHER="2")]
    assert unused_arguments(make_graphs(request(files, []))) == ("LOST", "OTHER")
