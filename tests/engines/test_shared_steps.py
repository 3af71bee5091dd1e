"""Which steps jobs have in common."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from buildonce.engines.protocol import BuildJob
from buildonce.engines.shared_steps import find_steps
from buildonce.oci import parse_platform
from tests.engines.jobs import make_job

FAMILY = """\
ARG BASE=debian:12
FROM $BASE AS common
RUN apt-get install
FROM common AS one
ARG WHAT
RUN one $WHAT
FROM common AS two
COPY --from=common /a /a
RUN two
FROM debian:12 AS other
RUN --mount=from=two,target=/m other
"""


@pytest.fixture
def job(tmp_path: Path) -> BuildJob:
    return make_job(tmp_path, dockerfile=FAMILY)


def steps(job: BuildJob, target: str, text: str = FAMILY, **build_args: str) -> frozenset[str]:
    return find_steps(replace(job, target=target, dockerfile=text, build_args=build_args))


def test_a_stage_that_two_are_built_on_is_what_they_share(job: BuildJob) -> None:
    one, two, common = (steps(job, target) for target in ("one", "two", "common"))
    assert [len(found) for found in (common, one, two, steps(job, "other"))] == [1, 2, 2, 3]
    assert one & two == common
    assert two < steps(job, "other")


@pytest.mark.parametrize(
    ("old", "new", "shared"),
    [
        ("one $WHAT", "another $WHAT", 1),
        ("FROM common AS one", "FROM common AS renamed", 2),
        ("RUN apt-get install", "ENV A=b\nRUN apt-get install", 0),
        ("ARG BASE=debian:12", "ARG BASE=debian:13", 0),
        ("RUN two", "RUN three", 2),
        ("RUN apt-get install", "RUN <<E\napt-get install\nE", 0),
    ],
)
def test_other_dockerfiles_share_what_is_written_the_same(job: BuildJob, old: str, new: str, shared: int) -> None:
    text = FAMILY.replace(old, new)
    target = "renamed" if "renamed" in new else "one"
    assert len(steps(job, "one") & steps(job, target, text)) == shared


def test_contents_of_heredocs_count(job: BuildJob) -> None:
    first, second = (f"FROM scratch AS one\nRUN <<E\n{word}\nE\n" for word in ("a", "b"))
    assert not steps(job, "one", first) & steps(job, "one", second)


def test_arguments_count_where_they_are_declared(job: BuildJob) -> None:
    assert steps(job, "two", WHAT="a") == steps(job, "two")
    assert len(steps(job, "one", WHAT="a") & steps(job, "one", WHAT="b")) == 1
    assert not steps(job, "one", BASE="debian:13") & steps(job, "one")


def test_other_platforms_and_contexts_share_nothing(job: BuildJob, tmp_path: Path) -> None:
    there = replace(job, platform=parse_platform("linux/arm64"))
    assert not steps(job, "one") & steps(there, "one")
    assert not steps(job, "one") & steps(replace(job, context=tmp_path / "elsewhere"), "one")


def test_what_stands_in_for_a_stage_runs_nothing(job: BuildJob) -> None:
    given = replace(job, named_contexts={"common": "oci-layout:///cache@sha256:1"})
    assert len(steps(given, "one")) == 1
    other = replace(job, named_contexts={"common": "oci-layout:///cache@sha256:2"})
    assert not steps(given, "one") & steps(other, "one")
