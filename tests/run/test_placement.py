"""Which layers of an image are late copies."""

from __future__ import annotations

import pytest

from buildonce.plan.core_titles import core_titles
from buildonce.run.placement import late_copies
from buildonce.ship.late_copies import LateCopy
from tests.plan.projects import Made, make

BUILDER = "FROM gcc AS builder\nWORKDIR /src\nRUN make\nFROM debian AS app\n"


def copies_of(made: Made, layers: int) -> tuple[LateCopy, ...]:
    (node,) = made.plan.images
    return late_copies(node, core_titles(made.plan, made.graphs, ["Dockerfile"]), layers=layers)


@pytest.mark.parametrize(
    ("lines", "above"),
    [
        pytest.param("", 1, id="the last layer"),
        pytest.param("ENV A=1\nUSER x\nLABEL a=b\nCMD x\n", 1, id="metadata makes no layer"),
        pytest.param("RUN mkdir /x\nENV A=1\nRUN mkdir /y\n", 3, id="RUN"),
        pytest.param("RUN app --version\n", 2, id="an image that the engine builds"),
        pytest.param("WORKDIR /x\nWORKDIR ../\nWORKDIR y\n", 3, id="WORKDIR, but not to the root"),
        pytest.param("COPY a /a\nCOPY <<EOF /b\nb\nEOF\nADD c /c\n", 4, id="other copies"),
        pytest.param("ONBUILD RUN x\nVOLUME /x\n", 1, id="triggers of its own"),
    ],
)
def test_a_late_copy_is_counted_from_the_top(lines: str, above: int) -> None:
    made = make(f"{BUILDER}COPY --from=builder /out/app /bin/\n{lines}", files={"a": "a", "c": "c"})
    (copy,) = copies_of(made, layers=9)
    assert copy == LateCopy(core="builder", layer=9 - above, sources=("/out/app",), destination="/bin/")


def test_sources_and_destinations_are_absolute() -> None:
    made = make(
        BUILDER + "WORKDIR /opt\nARG N=tool\nCOPY --from=builder --parents out/./a /b/../${N} here\n"
        "COPY --from=builder /x /y .\nCOPY --from=builder /z ../z\n"
    )
    assert [(c.layer, c.sources, c.destination, c.parents) for c in copies_of(made, layers=4)] == [
        (1, ("/out/a", "/tool"), "/opt/here", True),
        (2, ("/x", "/y"), "/opt/", False),
        (3, ("/z",), "/z", False),
    ]


def test_copies_from_two_stages_are_told_apart() -> None:
    made = make(
        "FROM gcc AS one\nRUN make\nFROM gcc AS two\nRUN make two\n"
        "FROM debian\nCOPY --from=two /a /a\nRUN x\nCOPY --from=one /b /b\n"
    )
    assert [(copy.core, copy.layer) for copy in copies_of(made, layers=5)] == [("two", 2), ("one", 4)]
