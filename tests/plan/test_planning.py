"""Chains, cores and bases of whole plans."""

from __future__ import annotations

import time

import pytest

from buildonce.dockerfile.problems import SyntaxProblem
from buildonce.errors import ContextError, UsageError
from buildonce.oci import Digest
from buildonce.plan.nodes import BaseOrigin
from buildonce.plan.verdicts import VerdictKind
from tests.plan.projects import FakeContext, FakeImages, base_of, image_of, only_core, plan_of

BUILDER = "FROM gcc AS builder\nWORKDIR /src\nRUN make\n"


def test_without_run_the_base_is_the_external_image() -> None:
    plan = plan_of(BUILDER + "FROM debian AS app\nCOPY --from=builder /src/app /bin/\nWORKDIR /data\nCOPY x /\n")
    base = base_of(plan, "app")
    assert base.origin is BaseOrigin.IMAGE
    assert base.name == "docker.io/library/debian"
    assert len(image_of(plan, "app").trailing) == 3


def test_from_scratch_needs_no_engine_for_its_base() -> None:
    plan = plan_of(BUILDER + "FROM scratch AS app\nCOPY --from=builder /src/app /app\n")
    assert base_of(plan, "app").origin is BaseOrigin.SCRATCH


def test_variants_that_differ_after_the_base_share_it() -> None:
    plan = plan_of(
        BUILDER
        + "FROM debian AS runtime\nRUN useradd a\nENV A=1\n"
        + "FROM runtime AS one\nCOPY --from=builder /src/app /bin/\nCMD one\n"
        + "FROM runtime AS two\nCOPY --from=builder /src/app /opt/\nCMD two\n"
    )
    assert len(plan.bases) == 1
    base = base_of(plan, "one")
    assert (base.name, base.origin) == ("runtime", BaseOrigin.ENGINE)
    assert [span.start for span in base.after] == [6], "the ENV after the last RUN is assembly's"


def test_a_hoisted_copy_is_left_out_and_keeps_its_place() -> None:
    plan = plan_of(
        BUILDER + "FROM debian AS app\nRUN useradd a\nENV A=1\nCOPY --from=builder app /bin/\nRUN mkdir /x\nCMD app\n"
    )
    base, image = base_of(plan, "app"), image_of(plan, "app")
    assert [span.start for span in base.hoisted] == [7]
    assert [span.start for span in base.after] == [9]
    assert [step.history for step in image.hoisted] == [2]
    assert image.verdict.kind is VerdictKind.PROVE


def test_a_relative_source_starts_at_the_root_not_at_the_working_directory() -> None:
    plan = plan_of(BUILDER + "FROM debian AS app\nCOPY --from=builder out/app ../lib/ /opt/\n")
    assert only_core(plan).paths == ("/lib", "/out/app")


def test_a_wildcard_is_widened_to_the_directory_before_it() -> None:
    plan = plan_of(BUILDER + "FROM debian AS app\nCOPY --from=builder /src/out/*.so /src/out/bin/app /opt/\n")
    assert only_core(plan).paths == ("/src/out",)


def test_a_stage_that_two_cores_read_is_a_core_itself() -> None:
    plan = plan_of(
        "FROM gcc AS shared\nRUN make\n"
        "FROM gcc AS left\nCOPY --from=shared /l /l\nRUN left\n"
        "FROM gcc AS right\nCOPY --from=shared /r /r\nRUN right\n"
        "FROM debian AS app\nCOPY --from=left /l /\nCOPY --from=right /r /\n"
    )
    cores = {node.name: node for node in plan.cores.values()}
    assert list(cores) == ["shared", "left", "right"], "what is needed comes first"
    assert cores["shared"].paths == ("/l", "/r")
    assert list(cores["left"].needs.values()) == [cores["shared"].key]


def test_a_stage_that_one_core_reads_is_built_inside_of_it() -> None:
    plan = plan_of(
        "FROM gcc AS inner\nRUN make\nFROM gcc AS outer\nCOPY --from=inner /l /l\nRUN outer\n"
        "FROM debian AS app\nCOPY --from=outer /l /\n"
    )
    assert only_core(plan).name == "outer"
    assert not only_core(plan).needs


def test_every_final_stage_is_a_variant() -> None:
    plan = plan_of(BUILDER + "FROM debian AS a\nCOPY --from=builder /x /\nFROM debian AS b\nRUN true\n")
    assert plan.variants == ("a", "b")


def test_a_nameless_last_stage_is_called_after_its_dockerfile() -> None:
    text = BUILDER + "FROM debian\nCOPY --from=builder /x /\n"
    assert plan_of(text, text, paths=["Dockerfile.one", "two.Dockerfile"]).variants == ("one", "two")


def test_a_nameless_stage_of_a_plain_dockerfile_is_called_after_its_folder() -> None:
    text = BUILDER + "FROM debian\nCOPY --from=builder /x /\n"
    assert plan_of(text, paths=["api/Dockerfile"]).variants == ("api",)
    assert plan_of(text, folder="Project").variants == ("project",)


def test_two_variants_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="two variants are called `x`"):
        plan_of("FROM a\nRUN b\n", "FROM a\nRUN c\n", paths=["one/Dockerfile.x", "two/Dockerfile.x"])


def test_an_unknown_variant_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="there is no variant `claud`") as error:
        plan_of("FROM a AS claude\nRUN b\nFROM a AS codex\nRUN b\n", variants=["claud"])
    assert error.value.help == "did you mean `--variant claude`?"
    assert error.value.notes == ("the variants are: claude, codex",)


def test_any_stage_can_be_asked_for_by_name() -> None:
    plan = plan_of("FROM a AS inner\nRUN b\nFROM inner AS outer\nRUN c\n", variants=["inner"])
    assert plan.variants == ("inner",)


def test_an_argument_that_nothing_declares_reaches_no_recipe() -> None:
    images = FakeImages()
    assert plan_of(BUILDER + "FROM debian AS a\nCOPY --from=builder /x /\n", images=images, build_args={"A": "1"}).cores


def test_an_image_under_another_name_is_no_core_of_the_stages_that_read_it() -> None:
    plan = plan_of(
        "FROM xx AS xx\nFROM gcc AS one\nCOPY --from=xx / /\nRUN make one\n"
        "FROM gcc AS two\nCOPY --from=xx / /\nRUN make two\n"
        "FROM debian AS app\nCOPY --from=one /1 /\nCOPY --from=two /2 /\n"
    )
    assert [core.name for core in plan.cores.values()] == ["one", "two"]


def test_an_image_under_another_name_is_a_core_where_its_files_are_copied_late() -> None:
    plan = plan_of("FROM gosu AS gosu\nFROM debian AS app\nCOPY --from=gosu /gosu /bin/\n")
    assert only_core(plan).paths == ("/gosu",)


@pytest.mark.parametrize(
    ("chosen", "variants"),
    {"by name": ("out-$TARGETOS", ("all",)), "as a whole": ("$BASE", ("out-windows", "all"))}.values(),
    ids=["by name", "as a whole"],
)
def test_a_stage_that_another_value_would_choose_is_no_variant(chosen: str, variants: tuple[str, ...]) -> None:
    text = f"ARG BASE=out-linux\nFROM gcc AS out-linux\nFROM gcc AS out-windows\nFROM {chosen} AS all\n"
    assert plan_of(text).variants == variants


def test_what_the_context_lacks_is_named_with_the_line_that_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_context: FakeContext, _sources: object, _exclude: object, *, parents: bool = False) -> Digest:
        raise ContextError("`dist` is not in the build context")

    monkeypatch.setattr(FakeContext, "digest", refuse)
    with pytest.raises(ContextError) as caught:
        plan_of("FROM gcc AS one\nCOPY dist /\nFROM debian AS app\nCOPY --from=one /x /\nRUN true\n")
    assert caught.value.notes == ("Dockerfile:2 takes it: `COPY dist /`",)


def test_a_base_image_without_its_variable_says_which() -> None:
    with pytest.raises(SyntaxProblem) as caught:
        plan_of("ARG VERSION\nFROM debian:$VERSION AS app\n")
    assert "`VERSION` has no value" in str(caught.value.diagnostics[0].help)


def test_thousands_of_stages_are_planned_at_once() -> None:
    lines = "".join(f"FROM s{number} AS s{number + 1}\nRUN echo {number}\n" for number in range(4000))
    started = time.process_time()
    plan = plan_of(f"FROM debian AS s0\n{lines}")
    assert [image.variant for image in plan.images] == ["s4000"]
    assert time.process_time() - started < 15  # it takes one second, and a minute where each stage walks all before it
