"""What was measured, as values, tables and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from benchmarks.proxy import Traffic
from benchmarks.sides import PLATFORMS, VARIANTS, Sample

SCHEMA = "buildonce.benchmark.family/1"
OURS, PEER = "buildonce", "bake"
_CASES = {"changed": "one source line changed", "unchanged": "nothing changed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One round: a sample of each side, who went first, and the machine's load average when it began."""

    load: float
    first: str
    samples: Mapping[str, Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The rounds of one case, and what both sides sent in runs that were counted instead of timed."""

    name: str
    runs: tuple[Run, ...]
    traffic: Mapping[str, tuple[Traffic, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All cases with a program that is ``size`` MB larger."""

    size: int
    cases: tuple[Case, ...]


def seconds_of(case: Case, side: str, field: Callable[[Sample], float]) -> float:
    """Return the median over the rounds."""
    return median(field(run.samples[side]) for run in case.runs)


def ratio_of(case: Case) -> float:
    """Return the ratio of the medians beyond the compile: ours to the peer's."""
    return seconds_of(case, OURS, lambda one: one.beyond) / seconds_of(case, PEER, lambda one: one.beyond)


def round_ratios(case: Case) -> tuple[float, ...]:
    """Return the same ratio of each round by itself."""
    return tuple(run.samples[OURS].beyond / run.samples[PEER].beyond for run in case.runs)


def render_tables(results: Sequence[Result]) -> str:
    """Return all tables as text, which is Markdown too."""
    return "\n\n".join(_render_case(result.size, case) for result in results for case in result.cases)


def render_markdown(document: Mapping[str, object], results: Sequence[Result]) -> str:
    """Return a page with the facts and the tables."""
    facts = document["machine"]
    assert isinstance(facts, Mapping)
    loads = [run.load for result in results for case in result.cases for run in case.runs]
    lines = [
        "# The family, side by side",
        "",
        f"{len(VARIANTS)} variants for {len(PLATFORMS)} platforms: `buildonce build --push` against `docker buildx",
        "bake --push --provenance=false`; how to read this: [README](../README.md).",
        "",
        *(f"* {name}: {value}" for name, value in facts.items()),
        f"* load average during the rounds: {min(loads):.1f} to {max(loads):.1f}",
        "",
        render_tables(results),
    ]
    return "\n".join(lines) + "\n"


def to_document(facts: Mapping[str, str], results: Sequence[Result]) -> Mapping[str, object]:
    """Return everything as JSON values."""
    return {
        "schema": SCHEMA,
        "machine": facts,
        "variants": VARIANTS,
        "platforms": PLATFORMS,
        "results": [
            {"size_mb": result.size, "cases": [_case_document(case) for case in result.cases]} for result in results
        ],
    }


def _render_case(size: int, case: Case) -> str:
    program = f"a program of {size} MB" if size else "the program as it is"
    ratios = ", ".join(f"{ratio:.2f}" for ratio in sorted(round_ratios(case)))
    return "\n".join(
        (
            f"## {_CASES[case.name].capitalize()}, {program}",
            "",
            f"Medians of {len(case.runs)} rounds.",
            "",
            *_rows(case),
            "",
            f"Beyond the compile, buildonce takes **{ratio_of(case):.2f}** of bake's time (by round: {ratios}).",
        )
    )


def _rows(case: Case) -> Iterator[str]:
    yield "| side | total | compile | beyond the compile | requests | up | down |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for side in (OURS, PEER):
        total, compiling, beyond = (
            seconds_of(case, side, field)
            for field in (lambda one: one.total, lambda one: one.compile, lambda one: one.beyond)
        )
        counted = case.traffic.get(side, ())
        cells = [side, f"{total:.2f} s", f"{compiling:.2f} s", f"{beyond:.2f} s", *_traffic_cells(counted)]
        yield f"| {' | '.join(cells)} |"


def _traffic_cells(counted: tuple[Traffic, ...]) -> tuple[str, ...]:
    if not counted:
        return ("", "", "")
    return (
        f"{median(one.requests for one in counted):.0f}",
        f"{median(one.bytes_up for one in counted) / 1e6:.2f} MB",
        f"{median(one.bytes_down for one in counted) / 1e6:.2f} MB",
    )


def _case_document(case: Case) -> Mapping[str, object]:
    return {
        "case": case.name,
        "medians": {
            side: {
                "total_s": round(seconds_of(case, side, lambda one: one.total), 3),
                "compile_s": round(seconds_of(case, side, lambda one: one.compile), 3),
                "beyond_s": round(seconds_of(case, side, lambda one: one.beyond), 3),
            }
            for side in (OURS, PEER)
        },
        "ratio_beyond": round(ratio_of(case), 3),
        "ratio_beyond_by_round": [round(ratio, 3) for ratio in round_ratios(case)],
        "rounds": [
            {
                "load": round(run.load, 2),
                "first": run.first,
                **{
                    side: {
                        "total_s": round(one.total, 3),
                        "compile_s": round(one.compile, 3),
                        "beyond_s": round(one.beyond, 3),
                        **{name: one.said[name] for name in ("seconds", "engine_runs", "requests") if name in one.said},
                    }
                    for side, one in run.samples.items()
                },
            }
            for run in case.runs
        ],
        "traffic": {side: [asdict(one) for one in counted] for side, counted in case.traffic.items()},
    }
