"""What cores are called in indexes: the same for what should be the same, whatever else a run makes."""

from __future__ import annotations

from buildonce.plan.core_titles import core_titles
from tests.plan.projects import AMD64, ARM64, Made, make

BUILDER = "FROM gcc AS builder\nCOPY src /src\nRUN make\n"
ONE = "FROM debian AS one\nCOPY --from=builder /out /bin/\n"
TWO = "FROM debian AS two\nCOPY --from=builder /out /bin/\n"


def titles_of(made: Made) -> dict[tuple[str, str], str]:
    """Return each image's core's title by variant and architecture."""
    titles = core_titles(made.plan, made.graphs, [file.dockerfile.path for file in made.request.files])
    return {
        (image.variant, image.platform.architecture): titles.get((image.file, stage, image.platform), "")
        for image in made.plan.images
        for stage in image.cores
    }


def test_a_core_has_the_name_of_its_stage_on_every_platform() -> None:
    made = make(BUILDER + ONE + TWO, platforms=(AMD64, ARM64))
    assert titles_of(made) == {(v, a): "builder" for v in ("one", "two") for a in ("amd64", "arm64")}


def test_a_pasted_stage_is_one_core() -> None:
    made = make(BUILDER + ONE, BUILDER + TWO)
    assert titles_of(made) == {("one", "amd64"): "builder", ("two", "amd64"): "builder"}


def test_stages_that_only_share_a_name_are_told_apart_by_their_dockerfiles() -> None:
    made = make(BUILDER + ONE, BUILDER.replace("make", "make two") + TWO, paths=("a/Dockerfile", "b/Dockerfile"))
    assert titles_of(made) == {("one", "amd64"): "builder (a/Dockerfile)", ("two", "amd64"): "builder (b/Dockerfile)"}


def test_a_title_does_not_depend_on_which_variants_are_asked_for() -> None:
    files = (BUILDER + ONE, BUILDER.replace("make", "make two") + TWO)
    alone = titles_of(make(*files, variants=("one",)))
    assert alone == {("one", "amd64"): "builder (Dockerfile)"}
    assert alone.items() <= titles_of(make(*files)).items()


def test_the_same_lines_on_another_base_are_another_core() -> None:
    builder = BUILDER.replace("gcc", "$BASE")
    made = make(f"ARG BASE=gcc:12\n{builder}{ONE}", f"ARG BASE=gcc:13\n{builder}{TWO}")
    assert titles_of(made)["one", "amd64"] == "builder (Dockerfile)"
