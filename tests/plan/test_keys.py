"""What changes a key, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from buildonce.build_options import BuildOptions
from tests.plan.projects import AMD64, ARM64, FakeImages, Made, image_of, make, only_core, plan_of

DOCKERFILE = """\
ARG BASE=debian:bookworm
FROM alpine:3 AS tools
RUN get-tools

FROM gcc:12 AS builder
ARG OPTIMIZE=-O2
ARG SUM=sha256:aa
ENV LANG=C
USER root
SHELL ["/bin/sh", "-c"]
WORKDIR /src
COPY --chown=1:1 --chmod=0755 src/ ./
COPY --from=tools /bin/tool /bin/tool
COPY <<END /etc/made
one $LANG
END
ADD --checksum=$SUM https://example.com/x /x
ADD https://example.com/y.git#v1 /y
RUN --mount=type=secret,id=token --mount=type=cache,target=/cache --mount=type=ssh --network=none fetch
RUN --mount=type=bind,source=scripts,target=/scripts --mount=from=tools,target=/tools make OPTIMIZE="$OPTIMIZE"
RUN ["strip", "a"]
RUN <<END
echo body
END
LABEL stage=builder

FROM node:20 AS other
RUN pack

FROM ${BASE} AS runtime
RUN useradd agent

FROM runtime AS one
COPY --from=builder /src/out/app /usr/local/bin/app
RUN mkdir /one
CMD ["app"]

FROM runtime AS two
COPY --from=builder /src/out/app /usr/local/bin/app
CMD ["app", "two"]

FROM scratch AS three
COPY --from=other /o /usr/local/bin/o
"""
FILES = {"src/main.c": "int main;", "src/util.h": "", "README": "read me", "scripts/x": "x"}


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change to the project, and what of it gets another key: names of cores, bases and images."""

    replace: tuple[str, str] = ("", "")
    files: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    build_args: Mapping[str, str] = field(default_factory=dict)
    options: BuildOptions = field(default_factory=BuildOptions)
    flips: frozenset[str] = frozenset()


CORE, RUNTIME, ONE = "core builder", "base runtime", "base one"
BUILDER = frozenset({CORE})
ALL_ENGINE = frozenset({CORE, RUNTIME, ONE, "core other"})


def in_core(old: str, new: str) -> Change:
    """Return a change of the compile stage's text."""
    return Change(replace=(old, new), flips=BUILDER)


RELEVANT = {
    "a source file's content": Change(files={"src/main.c": "int other;"}, flips=BUILDER),
    "a new source file": Change(files={"src/new.c": ""}, flips=BUILDER),
    "a file that a mount binds": Change(files={"scripts/x": "y"}, flips=BUILDER),
    "the compile's RUN": in_core("make OPT", "make -j OPT"),
    "a used argument's default": in_core("=-O2", "=-O3"),
    "a used argument's value": Change(build_args={"OPTIMIZE": "-Os"}, flips=BUILDER),
    "an ENV before the compile": in_core("LANG=C", "LANG=de"),
    "the USER of a RUN": in_core("USER root", "USER build"),
    "the SHELL of a RUN": in_core('"/bin/sh", "-c"', '"/bin/bash", "-c"'),
    "the compile's WORKDIR": in_core("WORKDIR /src", "WORKDIR /source"),
    "an owner": in_core("--chown=1:1", "--chown=1:2"),
    "a mode": in_core("--chmod=0755", "--chmod=0700"),
    "--link": in_core("--chmod=0755", "--chmod=0755 --link"),
    "--exclude": in_core("--chmod=0755", "--chmod=0755 --exclude=*.h"),
    "--parents": in_core("--chmod=0755", "--chmod=0755 --parents"),
    "a destination": in_core("src/ ./", "src/ ./sub/"),
    "a here-document of COPY": in_core("one $LANG", "two $LANG"),
    "a here-document of RUN": in_core("echo body", "echo other"),
    "a checksum through an argument": Change(build_args={"SUM": "sha256:bb"}, flips=BUILDER),
    "a URL": in_core("example.com/x", "example.com/z"),
    "a Git reference": in_core("#v1", "#v2"),
    "the exec form": in_core('["strip", "a"]', "strip a"),
    "a secret's name": in_core("id=token", "id=other"),
    "a secret that is required": in_core("id=token", "id=token,required"),
    "where a cache is mounted": in_core("target=/cache", "target=/cached"),
    "a cache's sharing": in_core("target=/cache", "target=/cache,sharing=locked"),
    "an SSH agent": in_core("--mount=type=ssh ", ""),
    "the network": in_core("--network=none", "--network=host"),
    "the security mode": in_core("--network=none", "--network=none --security=insecure"),
    "the compiler's image": Change(versions={"gcc:12": "2"}, flips=BUILDER),
    "an argument that no text names": in_core("ARG OPT", "ARG QUIET=1\nARG OPT"),
    "a platform argument": in_core("ARG OPT", "ARG TARGETOS\nARG OPT"),
    "a stage that is read": Change(replace=("get-tools", "get-other-tools"), flips=BUILDER),
    "the image of a stage that is read": Change(versions={"alpine:3": "2"}, flips=BUILDER),
    "the copied path": Change(replace=("/src/out/app /usr", "/src/out/app2 /usr"), flips=frozenset({CORE, ONE})),
    "the runtime's image": Change(versions={"debian:bookworm": "2"}, flips=frozenset({RUNTIME, ONE})),
    "another runtime image": Change(build_args={"BASE": "debian:trixie"}, flips=frozenset({RUNTIME, ONE})),
    "a shared RUN": Change(replace=("useradd agent", "useradd bot"), flips=frozenset({RUNTIME, ONE})),
    "a variant's RUN": Change(replace=("mkdir /one", "mkdir /uno"), flips=frozenset({ONE})),
    "another stage's RUN": Change(replace=("RUN pack", "RUN pack -v"), flips=frozenset({"core other"})),
    "a hoisted copy's destination": Change(
        replace=("/usr/local/bin/app\nRUN", "/opt/app\nRUN"), flips=frozenset({ONE})
    ),
    "another frontend": Change(replace=("ARG BASE", "# syntax=example.com/mine:1\nARG BASE"), flips=ALL_ENGINE),
    "what BuildKit acts upon": Change(build_args={"SOURCE_DATE_EPOCH": "1"}, flips=ALL_ENGINE),
    "the network of every RUN": Change(options=BuildOptions(network="host"), flips=ALL_ENGINE),
    "a host's address": Change(options=BuildOptions(extra_hosts={"a": "1.1.1.1"}), flips=ALL_ENGINE),
    "a limit": Change(options=BuildOptions(ulimits={"nofile": "1"}), flips=ALL_ENGINE),
    "the size of shared memory": Change(options=BuildOptions(shm_size="1g"), flips=ALL_ENGINE),
}
IRRELEVANT = {
    "what a build is handed": Change(
        options=BuildOptions(secrets=("id=token,env=T",), ssh=("default",), allow=("network.host",))
    ),
    "where the engine's cache is": Change(options=BuildOptions(cache_from=("r.io/a",), cache_to=("r.io/a",))),
    "the network that is the default": Change(options=BuildOptions(network="default")),
    "what is made anew": Change(options=BuildOptions(no_cache=True, no_cache_filter=("builder",))),
    "a file that nothing copies": Change(files={"README": "other"}),
    "a new file that nothing copies": Change(files={"notes/x": "other"}),
    "a comment": Change(replace=("RUN pack", "# why\nRUN pack")),
    "a comment inside a continuation": Change(replace=("RUN pack", "RUN \\\n# why\n pack")),
    "a comment at the top": Change(replace=("ARG BASE", "\n# this is it\nARG BASE")),
    "blank lines": Change(replace=("FROM runtime AS two", "\n\n\nFROM runtime AS two")),
    "blank lines at the end": Change(replace=("/usr/local/bin/o\n", "/usr/local/bin/o\n\n\n")),
    "space before an instruction": Change(replace=("RUN pack", "   RUN pack")),
    "space between words": Change(replace=("COPY --from=tools /bin/tool", "COPY   --from=tools   /bin/tool")),
    "CRLF outside of here-documents": Change(replace=("RUN pack\n", "RUN pack\r\n")),
    "the JSON form of COPY": Change(
        replace=("--from=tools /bin/tool /bin/tool", '--from=tools ["/bin/tool", "/bin/tool"]')
    ),
    "the order of flags": Change(replace=("--chown=1:1 --chmod=0755", "--chmod=0755 --chown=1:1")),
    "a default that is written out": Change(replace=("RUN pack", "RUN --network=default pack")),
    "the order of mount options": Change(replace=("type=bind,source=scripts", "source=scripts,type=bind")),
    "a synonym in a mount": Change(replace=("source=scripts,target=", "src=scripts,dst=")),
    "an unused argument": Change(build_args={"UNUSED": "1"}),
    "a proxy that nothing declares": Change(build_args={"HTTP_PROXY": "http://proxy", "no_proxy": "x"}),
    "an argument given its default": Change(build_args={"OPTIMIZE": "-O2"}),
    "the order of arguments": Change(build_args={"SUM": "sha256:aa", "OPTIMIZE": "-O2"}),
    "a variable written with braces": Change(replace=("one $LANG", "one ${LANG}")),
    "the build's checks": Change(build_args={"BUILDKIT_DOCKERFILE_CHECK": "skip=all"}),
    "a label of the compile stage": Change(replace=("stage=builder", "stage=compiler")),
    "a port of the compile stage": Change(replace=("LABEL stage=builder", "EXPOSE 80")),
    "metadata after a variant's copy": Change(replace=('CMD ["app", "two"]', 'CMD ["app", "2"]')),
    "an instruction in lower case": Change(replace=("RUN useradd", "run useradd")),
    "a stage's name in another case": Change(replace=("FROM gcc:12 AS builder", "FROM gcc:12 as BUILDER")),
    "a reference in another case": Change(replace=("COPY --from=builder", "COPY --from=BUILDER")),
    "a stage by its number": Change(replace=("COPY --from=tools", "COPY --from=0")),
    "Docker's own frontend": Change(replace=("ARG BASE", "# syntax=docker/dockerfile:1\nARG BASE")),
}


def test_the_tables_are_as_long_as_promised() -> None:
    assert len(RELEVANT) >= 30
    assert len(IRRELEVANT) >= 20


def made(change: Change, *, before: bool) -> Made:
    """Return the plan of the project before or after a change."""
    text = DOCKERFILE if before or not change.replace[0] else DOCKERFILE.replace(*change.replace, 1)
    return make(
        text,
        files=FILES if before else {**FILES, **change.files},
        images=FakeImages() if before else FakeImages(change.versions),
        build_args={} if before else change.build_args,
        options=BuildOptions() if before else change.options,
        platforms=(AMD64, ARM64),
    )


def keys(change: Change, *, before: bool) -> dict[str, str]:
    """Return the keys of the project before or after a change, by name."""
    plan = made(change, before=before).plan
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
    assert set(one.cores) < set(both.cores)
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
