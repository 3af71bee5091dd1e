from __future__ import annotations

import pytest

from buildonce.diagnostics import render_diagnostic
from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.problems import SyntaxProblem
from buildonce.dockerfile.stages import (
    ContextSource,
    ImageSource,
    ScratchSource,
    StageGraph,
    StageSource,
    chain,
    check_stage,
    final_stages,
    reachable,
    resolve_stages,
    undefined_stage_diagnostic,
)
from buildonce.oci import Platform

AMD = Platform(os="linux", architecture="amd64")
ARM = Platform(os="linux", architecture="arm64")


def resolve(text: str, *, contexts: tuple[str, ...] = (), target: str = "", **build_args: str) -> StageGraph:
    return resolve_stages(
        parse_dockerfile(text.encode(), "Dockerfile"),
        build_args=build_args,
        target_platform=ARM,
        build_platform=AMD,
        named_contexts=contexts,
        target=target,
    )


def codes(text: str) -> list[str]:
    with pytest.raises(SyntaxProblem) as caught:
        resolve(text)
    return [one.code for one in caught.value.diagnostics]


def test_bases_are_stages_images_and_scratch() -> None:
    graph = resolve("ARG BASE=rust\nFROM $BASE:1 AS a\nFROM a AS b\nFROM scratch\nFROM ${NONE:-debian}\n")
    assert [stage.base for stage in graph.stages] == [
        ImageSource(name="rust:1", platform=ARM),
        StageSource(index=0),
        ScratchSource(),
        ImageSource(name="debian", platform=ARM),
    ]


def test_build_arguments_go_before_defaults() -> None:
    graph = resolve("ARG V=1\nARG IMAGE=rust:${V}\nFROM $IMAGE\n", V="2")
    assert graph.stages[0].base == ImageSource(name="rust:2", platform=ARM)
    assert graph.stages[0].from_args == {"IMAGE", "V"}


def test_a_build_argument_without_arg_does_not_reach_from() -> None:
    assert codes("FROM $X\n") == ["DF018"]


def test_platforms_are_expanded_and_inherited() -> None:
    graph = resolve(
        "FROM --platform=$BUILDPLATFORM a AS x\nFROM --platform=linux/s390x x AS y\nFROM --platform=linux/386 scratch\n"
        "FROM --platform=arm b\nFROM c\nCOPY --from=d / /\n"
    )
    assert [str(stage.platform) for stage in graph.stages] == [
        "linux/amd64",
        "linux/amd64",
        "linux/arm64",
        "linux/arm/v7",
        "linux/arm64",
    ]
    assert graph.stages[0].from_args == {"BUILDPLATFORM"}
    assert graph.stages[4].dependencies[1].source == ImageSource(name="d", platform=ARM)


def test_predefined_arguments() -> None:
    values = resolve("FROM a AS last\n", TARGETARCH="odd").global_args
    assert (values["TARGETPLATFORM"], values["BUILDARCH"], values["TARGETARCH"], values["TARGETSTAGE"]) == (
        "linux/arm64",
        "amd64",
        "odd",
        "last",
    )
    assert resolve("FROM a\n").global_args["TARGETSTAGE"] == "default"


def test_from_finds_only_stages_above_it() -> None:
    graph = resolve("FROM alpine AS alpine\nFROM debian\nFROM alpine AS debian\nFROM debian\n")
    assert [stage.base for stage in graph.stages] == [
        ImageSource(name="alpine", platform=ARM),
        ImageSource(name="debian", platform=ARM),
        StageSource(index=0),
        StageSource(index=2),
    ]


def test_from_finds_stages_in_lower_case_only_but_copy_in_any() -> None:
    assert resolve("FROM a AS Build\nFROM b\nCOPY --from=BUILD / /\n").stages[1].dependencies[1].source == StageSource(
        index=0
    )
    with pytest.raises(SyntaxProblem) as caught:
        resolve("FROM a AS build\nFROM Build\n")
    assert caught.value.diagnostics[0].code == "DF035"
    assert "lower case" in (caught.value.diagnostics[0].help or "")


def test_copy_takes_the_last_of_two_stages_with_one_name() -> None:
    graph = resolve("FROM a AS x\nFROM b AS x\nFROM x\nCOPY --from=x / /\n")
    assert [one.source for one in graph.stages[2].dependencies] == [StageSource(index=1), StageSource(index=1)]


def test_dependencies_have_places() -> None:
    graph = resolve(
        "FROM a AS x\nFROM b\nCOPY \\\n  --from=0 / /\n"
        "RUN --mount=type=bind,from=x,target=/y \\\n --mount=from=img,target=/z z\n"
    )
    uses = graph.stages[1].dependencies[1:]
    assert [(one.kind, one.name, one.place.line, one.place.column, one.place.width) for one in uses] == [
        ("copy", "0", 4, 10, 1),
        ("mount", "x", 5, 28, 1),
        ("mount", "img", 6, 15, 3),
    ]
    assert [one.source for one in uses] == [
        StageSource(index=0),
        StageSource(index=0),
        ImageSource(name="img", platform=ARM),
    ]
    assert [one.name for one in graph.external_images] == ["a", "b", "img"]


def test_copy_from_scratch_and_a_mount_number() -> None:
    graph = resolve("FROM a\nCOPY --from=scratch / /\nRUN --mount=from=0,target=/x y\n")
    assert [one.source for one in graph.stages[0].dependencies[1:]] == [
        ScratchSource(),
        ImageSource(name="0", platform=ARM),
    ]


def test_named_context_stands_in_for_a_stage() -> None:
    graph = resolve("FROM a AS build\nRUN x\nFROM build\nFROM b\nCOPY --from=build / /\n", contexts=("build",))
    build = graph.stages[0]
    assert (build.is_replaced, build.base, build.instructions) == (True, ContextSource(name="build", platform=ARM), ())
    assert [stage.base for stage in graph.stages[1:]] == [StageSource(index=0), ImageSource(name="b", platform=ARM)]


def test_named_context_stands_in_for_an_image() -> None:
    graph = resolve(
        "FROM docker.io/library/alpine:latest\nCOPY --from=other / /\n", contexts=("alpine", "other", "scratch")
    )
    assert [type(one.source) for one in graph.dependencies] == [ContextSource, ContextSource]
    assert not graph.stages[0].is_replaced


def test_onbuild_triggers_of_a_stage_begin_those_built_on_it() -> None:
    graph = resolve("FROM a AS x\nONBUILD COPY --from=x /a /b\nFROM x\nRUN y\n")
    first, second = graph.stages[1].instructions
    assert (first.keyword, second.keyword, graph.stages[1].triggers) == ("COPY", "RUN", 1)
    assert [one.source for one in graph.stages[1].dependencies] == [StageSource(index=0)] * 2
    assert first.span.start == 3


def test_queries() -> None:
    graph = resolve("FROM a AS x\nFROM x AS y\nFROM b AS z\nFROM y AS v1\nCOPY --from=z / /\nFROM y AS v2\n")
    assert [stage.label for stage in final_stages(graph)] == ["v1", "v2"]
    assert [stage.label for stage in chain(graph, graph.stages[4])] == ["x", "y", "v2"]
    assert [stage.label for stage in reachable(graph, graph.stages[3])] == ["x", "y", "z", "v1"]
    assert [getattr(graph.find(name), "label", None) for name in ("V1", "0", "5", "no")] == ["v1", "x", None, None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM $X\n", ["DF018"]),
        ("FROM --platform= a\nFROM --platform=x/y/z/w a\nFROM --platform=$NO b\n", ["DF019", "DF019"]),
        ("FROM a AS x\nCOPY --from=x / /\n", ["DF020"]),
        ("FROM a AS x\nCOPY --from=y / /\nFROM b AS y\nRUN --mount=from=x,target=/z z\n", ["DF020"]),
        ("FROM a\nCOPY --from=1 / /\nCOPY --from=-1 / /\n", ["DF022", "DF022"]),
        ("FROM a\nCOPY --from=0000000001 / /\nCOPY --from=" + "1" * 5000 + " / /\n", ["DF022", "DF022"]),
        ('ARG X\nFROM a\nCOPY --from=$X / /\nCOPY --from="a\\\\b" / /\n', ["DF023", "DF023"]),
        ("FROM ${X:?no}\n", ["DF033"]),
        ("FROM ${X\n", ["DF013"]),
        ("FROM A/B\n", ["DF035"]),
        ("FROM a AS x\nONBUILD FOO x\nFROM x\n", ["DF002"]),
    ],
)
def test_refused(text: str, expected: list[str]) -> None:
    assert codes(text) == expected


@pytest.mark.parametrize(
    "text", ["FROM --platform=linux/$X a\n", "FROM a$X:\n", "ARG X\nFROM --platform=$X/y/z/w/$X a\n"]
)
def test_a_variable_without_value_is_named_with_what_gives_it_one(text: str) -> None:
    with pytest.raises(SyntaxProblem) as caught:
        resolve(text)
    assert "`--build-arg X=VALUE`" in (caught.value.diagnostics[0].help or "")


def test_a_stage_below_is_refused_only_where_it_is_needed() -> None:
    graph = resolve("FROM a AS x\nCOPY --from=y / /\nFROM b AS y\nFROM c AS z\n")
    check_stage(graph, graph.stages[2])
    with pytest.raises(SyntaxProblem) as caught:
        check_stage(graph, graph.stages[0])
    assert [(one.code, one.line, one.column) for one in caught.value.diagnostics] == [("DF021", 2, 13)]


def test_undefined_stage_is_explained() -> None:
    graph = resolve("FROM rust AS build\nFROM debian AS runtime\nCOPY --from=builder /out/app /usr/local/bin/\n")
    diagnostic = undefined_stage_diagnostic(graph, graph.external_images[-1], notes=("needed by variants `api-slim`",))
    assert render_diagnostic(diagnostic) == (
        "error[DF012]: stage `runtime` copies from `builder`, which is not defined\n"
        " --> Dockerfile:3:13\n"
        "  |\n"
        "3 | COPY --from=builder /out/app /usr/local/bin/\n"
        "  |             ^^^^^^^ no stage, image or named context has this name\n"
        "  |\n"
        "  = note: needed by variants `api-slim`\n"
        "help: a stage named `build` is defined at line 1; did you mean `--from=build`?"
    )


def test_undefined_stage_may_be_one_below() -> None:
    graph = resolve("FROM base\nFROM debian AS base\n")
    diagnostic = undefined_stage_diagnostic(graph, graph.external_images[0])
    assert diagnostic.help == "a stage named `base` is defined below, at line 2; a stage can only use those above it"


def test_many_stages_and_long_chains_do_not_overflow() -> None:
    text = "FROM a AS s0\n" + "".join(f"FROM b AS s{n}\nCOPY --from=s{n - 1} / /\n" for n in range(1, 1500))
    graph = resolve(text)
    assert len(reachable(graph, graph.stages[-1])) == 1500
