"""A run's page and its outputs at a CI provider."""

from __future__ import annotations

import json

from buildonce.events import Activity
from buildonce.oci import digest_of, parse_platform
from buildonce.plan.verdicts import VerdictKind
from buildonce.report.summaries import render_outputs, render_summary
from buildonce.run.outcome import EngineRun, ImageOutcome, Made, Outcome, Traffic
from buildonce.ship.publication import TagOutcome, TagResult

DIGEST, OTHER = digest_of(b"a"), digest_of(b"b")


def image(variant: str, seconds: float) -> ImageOutcome:
    return ImageOutcome(
        variant=variant,
        platform=parse_platform("linux/amd64"),
        made=Made.ASSEMBLED,
        verdict=VerdictKind.ASSEMBLE,
        reason="core builder compiled, | *base* reused\n<b>",
        digest=DIGEST,
        pushed=variant == "a",
        compile_seconds=seconds,
    )


OUTCOME = Outcome(
    target="r.example/a",
    images=(image("a", 60.0), image("b", 60.0), image("c", 0.0)),
    tags=(TagResult(target="r.example/a", variant="a", tag="a-1", digest=OTHER, outcome=TagOutcome.MOVED),),
    engine_runs=(EngineRun(activity=Activity.COMPILE, node="builder linux/amd64", seconds=60.4),),
    traffic=Traffic(requests=3),
    seconds={"total": 61.0},
)


def test_the_page_says_what_and_why_and_what_was_saved() -> None:
    lines = render_summary(OUTCOME).split("\n")
    assert lines[4] == (
        f"| a | linux/amd64 | assembled | `{DIGEST[7:19]}` | core builder compiled, \\| \\*base\\* reused \\<b\\> |"
    )
    assert lines[5].startswith("| b | linux/amd64 | assembled, unchanged |")
    assert "* compiling: 60 s here; 120 s if each of 2 jobs compiled for its image" in lines


def test_nothing_is_said_of_compiling_where_nothing_is_compiled() -> None:
    plain = Outcome(
        target="t", images=(image("c", 0.0),), tags=(), engine_runs=(), traffic=Traffic(), seconds={"total": 1.0}
    )
    assert "compiling:" not in render_summary(plain)


def test_the_outputs_are_json_between_marks() -> None:
    lines = render_outputs(OUTCOME, "m4rk").split("\n")
    assert lines[0] == "images<<m4rk"
    assert json.loads(lines[1])["a"] == {"linux/amd64": DIGEST}
    assert lines[2:4] == ["m4rk", "indexes<<m4rk"]
    assert json.loads(lines[4]) == {"a-1": OTHER}
