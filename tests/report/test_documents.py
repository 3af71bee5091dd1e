"""What is printed, as tables and as JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildonce.events import Activity, EngineLine, Finished, Started, Warned
from buildonce.oci import Digest, Platform
from buildonce.plan.verdicts import VerdictKind
from buildonce.report.outcomes import outcome_document, render_outcome
from buildonce.report.plans import inspection_document, render_inspection
from buildonce.report.progress import LineProgress
from buildonce.report.tables import count, render_size, render_table
from buildonce.report.wire import DOCUMENTS, render_schema
from buildonce.run.inspection import Action, inspect_plan
from buildonce.run.outcome import EngineRun, ImageOutcome, Made, Outcome, Traffic
from buildonce.ship.publication import TagOutcome, TagResult
from buildonce.store.layout import LayoutStore
from tests.plan.projects import AMD64, ARM64, plan_of

ROOT = Path(__file__).parents[2]
DIGEST = Digest("sha256:" + "ab" * 32)
OUTCOME = Outcome(
    target="registry/x",
    images=(
        ImageOutcome(
            variant="claude",
            platform=Platform(os="linux", architecture="arm64"),
            made=Made.ASSEMBLED,
            verdict=VerdictKind.PROVE,
            reason="core builder compiled, base reused",
            digest=DIGEST,
            pushed=True,
        ),
    ),
    tags=(
        TagResult(
            target="registry.example/acme/family",
            variant="claude",
            tag="claude",
            digest=DIGEST,
            outcome=TagOutcome.MOVED,
        ),
    ),
    engine_runs=(EngineRun(activity=Activity.COMPILE, node="builder linux/arm64", seconds=1.25),),
    traffic=Traffic(requests=53, bytes_up=20_050_000, bytes_down=0),
    seconds={"make": 1.3, "ship": 0.2, "total": 1.5},
)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_published_schema_is_the_one_of_the_code(name: str) -> None:
    published = (ROOT / "docs" / "reference" / f"{name}.schema.json").read_text()
    assert published == render_schema(DOCUMENTS[name]), "run scripts/schemas"


def test_the_outcome_says_what_happened_and_what_it_cost() -> None:
    text = render_outcome(OUTCOME)
    for part in (
        "claude   linux/arm64  assembled  pushed  abababababab  core builder compiled, base reused",
        "engine    1 compile (builder) 1.2 s",
        "1 moved, 0 unchanged in registry/x",
        "53 requests, 20.1 MB up, 0 B down",
        "make 1.30 s, ship 0.20 s, total 1.50 s",
    ):
        assert part in text


def test_the_outcome_as_json() -> None:
    document = outcome_document(OUTCOME)
    assert document.schema == "buildonce.outcome/1"
    assert (document.images[0].made, document.images[0].verdict) == ("assembled", "prove")
    assert document.tags[0].outcome == "moved"
    assert document.engine_runs[0].activity == "compile"


async def test_cores_of_one_stage_for_two_targets_can_be_told_apart(tmp_path: Path) -> None:
    plan = plan_of(
        "FROM --platform=$BUILDPLATFORM gcc AS builder\nARG TARGETARCH\nRUN make $TARGETARCH\n"
        "FROM debian\nCOPY --from=builder /x /bin/x\nRUN mkdir /y\n",
        platforms=(AMD64, ARM64),
    )
    text = render_inspection(await inspect_plan(plan, LayoutStore(tmp_path / "cache")))
    for target in ("linux/amd64", "linux/arm64"):
        assert f"core   builder  linux/amd64 for {target}  compile" in text
    assert "base   image    linux/arm64 " in text, "a stage without name is called as its variant is"


async def test_a_plan_on_an_empty_cache_says_what_would_be_made(tmp_path: Path) -> None:
    plan = plan_of(
        "FROM gcc AS builder\nRUN make\nFROM debian AS one\nCOPY --from=builder /x /bin/x\nRUN mkdir /y\n"
        "FROM debian AS two\nCOPY --from=builder /x /bin/x\nRUN x --version\n"
        "FROM debian AS three\nCOPY --from=builder /x /bin/x\n",
        platforms=(AMD64,),
    )
    inspection = await inspect_plan(plan, LayoutStore(tmp_path / "cache"))
    assert inspection.engine_runs == 4, "a compile, a base with its proof, an image"
    actions = [finding.action for _, finding in inspection.images]
    assert actions == [Action.ASSEMBLE, Action.BUILD, Action.ASSEMBLE]
    text = render_inspection(inspection)
    assert "3 images: 3 variants for 1 platform, from 1 core and 2 bases" in text
    assert "An engine would run 4 times." in text
    document = inspection_document(inspection)
    assert (document.compiles, document.engine_runs) == (1, 4)
    assert [base.action for base in document.bases] == ["build", "read"]


def test_events_are_lines() -> None:
    lines: list[str] = []
    for verbose in (False, True):
        show = LineProgress(lines.append, verbose=verbose)
        show(Started(activity=Activity.COMPILE, node="builder linux/arm64", reason="no core"))
        show(EngineLine(node="builder linux/arm64", text="#4 exporting", is_detail=True))
        show(EngineLine(node="builder linux/arm64", text="#5 make"))
        show(Finished(activity=Activity.COMPILE, node="builder linux/arm64", seconds=2.0))
        show(Warned(message="careful"))
    assert lines == [
        "compiling      builder linux/arm64  (no core)",
        "  [builder linux/arm64] #5 make",
        "compiled       builder linux/arm64  2.0 s",
        "warning: careful",
        "compiling      builder linux/arm64  (no core)",
        "  [builder linux/arm64] #4 exporting",
        "  [builder linux/arm64] #5 make",
        "compiled       builder linux/arm64  2.0 s",
        "warning: careful",
    ]


def test_a_table_is_aligned_and_has_no_trailing_spaces() -> None:
    assert render_table(("A", "LONG"), [("aaa", "b"), ("a", "")]) == "A    LONG\naaa  b\na"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (40_100_000, "40.1 MB"), (2 * 10**9, "2.00 GB")]
)
def test_sizes(size: int, text: str) -> None:
    assert render_size(size) == text


def test_counts() -> None:
    assert [count(number, "tag") for number in (0, 1, 2)] == ["0 tags", "1 tag", "2 tags"]
