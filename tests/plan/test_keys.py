"""What changes a key, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from tests.plan.projects import AMD64, ARM64, FakeImages, image_of, only_core, plan_of

DOCKERFILE = """\
ARG BASE=debian:bookworm
FROM gcc:12 AS builder
ARG OPTIMIZE=-O2
ENV LANG=C
WORKDIR /src
COPY src/ ./
RUN make OPTIMIZE="$OPTIMIZE"
LABEL stage=builder

FROM ${BASE} AS runtime
RUN useradd agent

FROM runtime AS one
COPY --from=builder /src/out/app /usr/local/bin/app
RUN mkdir /one
CMD ["app"]

FROM runtime AS two
COPY --from=builder /src/out/app /usr/local/bin/app
CMD ["app", "two"]
"""
FILES = {"src/main.c": "int main;", "src/util.h": "", "README": "read me"}


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change to the project, and what of it gets another key: names of cores, bases and images."""

    replace: tuple[str, str] = ("", "")
    files: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    build_args: Mapping[str, str] = field(default_factory=dict)
    flips: frozenset[str] = frozenset()


CORE, RUNTIME, ONE = "core builder", "base runtime", "base one"
RELEVANT = {
    "a source file's content": Change(files={"src/main.c": "int other;"}, flips=frozenset({CORE})),
    "a new source file": Change(files={"src/new.c": ""}, flips=frozenset({CORE})),
    "the compile's RUN": Change(replace=("make OPT", "make -j OPT"), flips=frozenset({CORE})),
    "a used argument's default": Change(replace=("=-O2", "=-O3"), flips=frozenset({CORE})),
    "a used argument's value": Change(build_args={"OPTIMIZE": "-Os"}, flips=frozenset({CORE})),
    "an ENV before the compile": Change(replace=("LANG=C", "LANG=de"), flips=frozenset({CORE})),
    "the compile's WORKDIR": Change(replace=("WORKDIR /src", "WORKDIR /source"), flips=frozenset({CORE})),
    "the compiler's image": Change(versions={"gcc:12": "2"}, flips=frozenset({CORE})),
    "the copied path": Change(replace=("/src/out/app /usr", "/src/out/app2 /usr"), flips=frozenset({CORE, ONE})),
    "the runtime's image": Change(versions={"debian:bookworm": "2"}, flips=frozenset({RUNTIME, ONE})),
    "another runtime image": Change(build_args={"BASE": "debian:trixie"}, flips=frozenset({RUNTIME, ONE})),
    "a shared RUN": Change(replace=("useradd agent", "useradd bot"), flips=frozenset({RUNTIME, ONE})),
    "a variant's RUN": Change(replace=("mkdir /one", "mkdir /uno"), flips=frozenset({ONE})),
    "a hoisted copy's destination": Change(
        replace=("/usr/local/bin/app\nRUN", "/opt/app\nRUN"), flips=frozenset({ONE})
    ),
}
IRRELEVANT = {
    "a file that nothing copies": Change(files={"README": "other"}),
    "a comment": Change(replace=("RUN make", "# why\nRUN make")),
    "a comment inside a continuation": Change(replace=("RUN make", "RUN \\\n# why\n make")),
    "blank lines": Change(replace=("FROM runtime AS two", "\n\n\nFROM runtime AS two")),
    "an unused argument": Change(build_args={"UNUSED": "1"}),
    "a label of the compile stage": Change(replace=("stage=builder", "stage=compiler")),
    "metadata after a variant's copy": Change(replace=('CMD ["app", "two"]', 'CMD ["app", "2"]')),
    "an instruction in lower case": Change(replace=("RUN useradd", "run useradd")),
}


def keys(change: Change, *, before: bool) -> dict[str, str]:
    """Return the keys of the project before or after a change, by name."""
    text = DOCKERFILE if before or not change.replace[0] else DOCKERFILE.replace(*change.replace, 1)
    plan = plan_of(
        text,
        files=FILES if before else {**FILES, **change.files},
        images=FakeImages() if before else FakeImages(change.versions),
        build_args={} if before else change.build_args,
        platforms=(AMD64, ARM64),
    )
    cores = {f"core {node}": str(key) for key, node in plan.cores.items()}
    return cores | {f"base {node}": str(key) for key, node in plan.bases.items()}


def flipped(change: Change) -> set[str]:
    """Return the names, without platforms, of what has another key after a change."""
    old, new = keys(change, before=True), keys(change, before=False)
    assert old.keys() == new.keys()
    different = {name for name in old if old[name] != new[name]}
    names = {name.rpartition(" ")[0] for name in different}
    assert len(different) == 2 * len(names), "both platforms change together"
    return names


@pytest.mark.parametrize("change", RELEVANT.values(), ids=RELEVANT)
def test_a_relevant_change_flips_exactly_what_is_downstream(change: Change) -> None:
    assert flipped(change) == change.flips


@pytest.mark.parametrize("change", IRRELEVANT.values(), ids=IRRELEVANT)
def test_an_irrelevant_change_flips_nothing(change: Change) -> None:
    assert flipped(change) == set()


def test_another_platform_changes_nothing_for_this_one() -> None:
    alone = plan_of(DOCKERFILE, files=FILES)
    together = plan_of(DOCKERFILE, files=FILES, platforms=(AMD64, ARM64))
    assert set(alone.cores) < set(together.cores)
    assert set(alone.bases) < set(together.bases)


def test_asking_for_one_variant_gives_the_cores_that_all_give() -> None:
    text = DOCKERFILE.replace("COPY --from=builder /src/out/app /usr", "COPY --from=builder /src/out/other /usr", 1)
    both, one = plan_of(text, files=FILES), plan_of(text, files=FILES, variants=["two"])
    assert set(one.cores) == set(both.cores)
    assert only_core(one).paths == ("/src/out/app", "/src/out/other")


def test_the_same_builder_in_several_dockerfiles_is_one_core() -> None:
    builder = (
        "FROM gcc:12 AS {name}\nCOPY src/ /src/\nRUN make -C /src\n"
        "FROM debian AS {variant}\nCOPY --from={name} {file} /bin/\n"
    )
    plan = plan_of(
        builder.format(name="builder", variant="a", file="/src/x"),
        builder.format(name="compile", variant="b", file="/src/y"),
        files=FILES,
    )
    assert only_core(plan).paths == ("/src/x", "/src/y")
    assert only_core(plan).name == "builder"
    assert set(image_of(plan, "a").cores.values()) == set(image_of(plan, "b").cores.values())


def test_a_stage_on_the_build_platform_is_one_core_for_all_targets() -> None:
    text = (
        "FROM --platform=$BUILDPLATFORM node AS assets\nCOPY src/ /src/\nRUN pack\n"
        "FROM debian AS site\nCOPY --from=assets /out /www\n"
    )
    plan = plan_of(text, files=FILES, platforms=(AMD64, ARM64))
    assert only_core(plan).platform == AMD64
    assert len(plan.images) == 2


def test_a_target_argument_splits_a_stage_on_the_build_platform() -> None:
    text = (
        "FROM --platform=$BUILDPLATFORM gcc AS cross\nARG TARGETARCH\nRUN build $TARGETARCH\n"
        "FROM debian AS app\nCOPY --from=cross /out /bin/\n"
    )
    plan = plan_of(text, platforms=(AMD64, ARM64))
    assert len(plan.cores) == 2
