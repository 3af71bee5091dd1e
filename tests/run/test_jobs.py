"""Derived Dockerfiles and the arguments that go with them."""

from __future__ import annotations

from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.stages import StageGraph, resolve_stages
from buildonce.plan.nodes import BaseNode, CoreNode
from buildonce.reference import parse_reference
from buildonce.run.jobs import (
    derive_base,
    derive_core,
    derive_faithful,
    derive_proof,
    familiar_name,
    pinned_contexts,
    platform_arguments,
    stage_context_name,
)
from tests.plan.projects import AMD64, FakeImages, base_of, only_core, plan_of

TEXT = """\
FROM gcc AS builder
RUN make

FROM debian AS app
COPY --from=builder \\
     /out/app /bin/
RUN mkdir /x
# why
CMD app
"""


def graph_of(text: str) -> StageGraph:
    dockerfile = parse_dockerfile(text.encode(), "Dockerfile")
    return resolve_stages(dockerfile, build_args={}, target_platform=AMD64, build_platform=AMD64)


def core_of(text: str) -> CoreNode:
    return only_core(plan_of(text))


def base(text: str) -> BaseNode:
    return base_of(plan_of(text), "app")


def test_a_core_is_a_last_stage_with_just_its_files() -> None:
    derived = derive_core(graph_of(TEXT), core_of(TEXT))
    assert derived.text == TEXT + 'FROM scratch AS buildonce-core\nCOPY --from=builder ["/out/app", "/out/app"]\n'
    assert derived.target == "buildonce-core"


def test_directories_on_the_way_count_when_a_copy_asks_for_them() -> None:
    text = TEXT.replace("COPY --from=builder", "COPY --parents --from=builder")
    derived = derive_core(graph_of(text), core_of(text))
    assert derived.text.endswith('COPY --from=builder --parents ["/out/app", "/"]\n')
    assert core_of(text).key != core_of(TEXT).key


def test_a_base_lacks_the_copy_and_what_follows_on_the_same_lines() -> None:
    derived = derive_base(graph_of(TEXT), base(TEXT))
    lines = derived.text.split("\n")
    assert (lines[4], lines[5], lines[8]) == ("", "", "")
    assert lines[6] == "RUN mkdir /x"
    assert len(lines) == len(TEXT.split("\n"))
    assert derived.target == "app"


def test_a_proof_has_the_copy_but_not_what_follows() -> None:
    derived = derive_proof(graph_of(TEXT), base(TEXT), [0])
    assert "COPY --from=builder" in derived.text
    assert "CMD" not in derived.text


def test_a_faithful_build_has_the_users_own_text() -> None:
    assert derive_faithful(graph_of(TEXT), 1, [0]).text == TEXT


def test_a_nameless_stage_gets_a_name_that_a_context_can_replace() -> None:
    text = TEXT.replace(" AS builder", "").replace("--from=builder", "--from=0")
    graph = graph_of(text)
    assert derive_faithful(graph, 1, [0]).text == text.replace("FROM gcc", "FROM gcc AS buildonce-stage-0")
    assert stage_context_name(graph, 0) == "buildonce-stage-0"


def test_a_path_with_a_dollar_sign_is_not_expanded_again() -> None:
    text = TEXT.replace("/out/app", "/out/\\$app")
    assert '["/out/\\\\$app", "/out/\\\\$app"]' in derive_core(graph_of(text), core_of(text)).text


def test_names_are_docker_s_familiar_ones() -> None:
    names = {
        "debian": "debian",
        "debian:latest": "debian",
        "debian:bookworm": "debian:bookworm",
        "docker.io/library/debian:x": "debian:x",
        "grafana/grafana": "grafana/grafana",
        "ghcr.io/a/b:1": "ghcr.io/a/b:1",
    }
    assert {name: familiar_name(parse_reference(name)) for name in names} == names


def test_images_are_pinned_to_what_their_tag_resolved_to() -> None:
    images = FakeImages()
    tagged, pinned = images.image("debian:bookworm", AMD64), images.image(f"gcc@sha256:{'0' * 64}", AMD64)
    assert pinned_contexts([tagged, pinned]) == {
        "debian:bookworm": f"docker-image://docker.io/library/debian@{tagged.pinned}"
    }


def test_the_build_platform_is_passed_on_only_where_it_is_used() -> None:
    assert platform_arguments("FROM --platform=$BUILDPLATFORM x", AMD64) == {"BUILDPLATFORM": "linux/amd64"}
    assert platform_arguments("FROM x\nARG BUILDARCH\n", AMD64) == {"BUILDARCH": "amd64"}
    assert platform_arguments("FROM x\nARG MYBUILDARCH\n", AMD64) == {}
