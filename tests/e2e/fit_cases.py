"""Programs, libraries and scripts put into bases of several kinds: which of them run is known, and tried."""

from __future__ import annotations

from dataclasses import dataclass

from tests.e2e.harness import AMD64, PLATFORMS

DEBIAN, SMALL, SCRATCH, MUSL, LOADS = "debian:bookworm-slim", "busybox:1.36-glibc", "scratch", "${MUSL}", "${LOADS}"

BUILDER = """\
ARG MUSL
ARG LOADS
FROM gcc:12-bookworm AS builder
ARG TARGETARCH
COPY musl/${TARGETARCH}/lib/ /lib/
COPY musl/${TARGETARCH}/usr/ /usr/
WORKDIR /src
COPY build.sh ./
RUN sh ./build.sh
COPY real/${TARGETARCH}/ /real/
"""
"""The stage that compiles; what Debian compiled comes along."""

MUSL_IMAGE = """\
FROM scratch
ARG TARGETARCH
COPY musl/${TARGETARCH}/lib/ /lib/
"""
LOADS_IMAGE = """\
ARG FROM
FROM ${FROM} AS built
FROM debian:bookworm-slim
COPY --from=built /loads /usr/bin/loads
COPY --from=built /lib/libgreet.so.1 /opt/cached/
RUN echo /opt/cached > /etc/ld.so.conf && ldconfig
COPY --from=built /lib/libgreet.so.1 /opt/not-cached/libother.so.1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A variant: its base, what is copied, whether it runs, and how it is started.

    ``hint`` is a part of what is said of it where it does not run.
    """

    base: str
    lines: str
    runs: bool = True
    hint: str = ""
    command: tuple[str, ...] = ("/bin/tool",)
    platforms: tuple[str, ...] = (AMD64,)


def _runs(base: str, source: str, *more: str, both: bool = False, command: tuple[str, ...] = ("/bin/tool",)) -> Case:
    return _case(base, source, more, both=both, command=command)


def _fails(
    base: str, source: str, hint: str, *more: str, both: bool = False, command: tuple[str, ...] = ("/bin/tool",)
) -> Case:
    return _case(base, source, more, both=both, command=command, hint=hint)


def _case(
    base: str, source: str, more: tuple[str, ...], *, both: bool, command: tuple[str, ...], hint: str = ""
) -> Case:
    lines = "\n".join((f"COPY --from=builder {source} /bin/tool", *more))
    chosen = PLATFORMS if both else (AMD64,)
    return Case(base=base, lines=lines, runs=not hint, hint=hint, command=command, platforms=chosen)


def _loads(plugin: str, *, runs: bool, hint: str = "") -> Case:
    return Case(
        base=LOADS,
        lines=f"COPY --from=builder {plugin} /opt/plugin.so",
        runs=runs,
        hint=hint,
        command=("/usr/bin/loads", "/opt/plugin.so"),
    )


CASES: dict[str, Case] = {
    # C libraries, static and dynamic.
    "dynamic-on-glibc": _runs(DEBIAN, "/out/dynamic", both=True),
    "dynamic-on-nothing": _fails(SCRATCH, "/out/dynamic", "no C library", both=True),
    "static-on-nothing": _runs(SCRATCH, "/out/static", both=True),
    "static-pie-on-nothing": _runs(SCRATCH, "/out/static-pie"),
    "static-on-musl": _runs(MUSL, "/out/static"),
    "musl-on-musl": _runs(MUSL, "/out/musl", both=True),
    "musl-on-glibc": _fails(DEBIAN, "/out/musl", "not musl", both=True),
    "musl-static-on-glibc": _runs(DEBIAN, "/out/musl-static"),
    "musl-static-on-nothing": _runs(SCRATCH, "/out/musl-static"),
    "glibc-on-musl": _fails(MUSL, "/out/dynamic", "gcompat", both=True),
    "new-glibc-on-old": _fails(DEBIAN, "/real/new-dash", "GLIBC_2.38", command=("/bin/tool", "-c", "exit"), both=True),
    "loader-comes-along": _runs(SCRATCH, "/out/musl", "COPY musl/${TARGETARCH}/lib/ /lib/"),
    # Other languages.
    "go": _runs(DEBIAN, "/real/gron", command=("/bin/tool", "--version"), both=True),
    "go-on-nothing": _fails(SCRATCH, "/real/gron", "no C library", command=("/bin/tool", "--version")),
    "go-on-musl": _fails(MUSL, "/real/gron", "gcompat", command=("/bin/tool", "--version")),
    "rust": _runs(DEBIAN, "/real/hexyl", command=("/bin/tool", "--version"), both=True),
    "rust-without-its-library": _fails(
        SMALL, "/real/hexyl", "libgcc_s.so.1", command=("/bin/tool", "--version"), both=True
    ),
    "rust-with-its-library": _runs(
        SMALL, "/real/hexyl", "COPY --from=builder /out/lib/libgcc_s.so.1 /lib/", command=("/bin/tool", "--version")
    ),
    # Machines. 64-bit Arm is emulated on the test host: a static program would run.
    "other-machine": _fails(
        DEBIAN, "/real/other-dash", "is for 64-bit", command=("/bin/tool", "-c", "exit"), both=True
    ),
    "other-order-of-bytes": _fails(SCRATCH, "/real/big-endian", "IBM Z", command=("/bin/tool", "true"), both=True),
    "cut-short": _fails(SCRATCH, "/out/cut-short", "cut short"),
    "cut-shorter": _fails(SCRATCH, "/out/cut-shorter", "damaged"),
    # Libraries.
    "library": _runs(DEBIAN, "/out/uses", "COPY --from=builder /out/lib/libgreet.so.1 /usr/lib/", both=True),
    "no-library": _fails(DEBIAN, "/out/uses", "`libgreet.so.1`", both=True),
    "library-beside": _fails(
        DEBIAN, "/out/uses", "is not where the loader looks", "COPY --from=builder /out/lib/libgreet.so.1 /opt/lib/"
    ),
    "library-in-usr-local": _fails(
        DEBIAN, "/out/uses", "is not where", "COPY --from=builder /out/lib/libgreet.so.1 /usr/local/lib/"
    ),
    "library-in-environment": _runs(
        DEBIAN, "/out/uses", "COPY --from=builder /out/lib/libgreet.so.1 /opt/lib/", "ENV LD_LIBRARY_PATH=/opt/lib"
    ),
    "library-of-cache": _runs(LOADS, "/out/uses"),
    "library-for-old": _fails(
        DEBIAN, "/out/uses", "GREET_2", "COPY --from=builder /out/old/libgreet.so.1 /usr/lib/", both=True
    ),
    "library-by-runpath": Case(
        base=DEBIAN,
        lines="COPY --from=builder /out/uses-runpath /opt/bin/tool\nCOPY --from=builder /out/lib/ /opt/lib/",
        command=("/opt/bin/tool",),
    ),
    "library-by-rpath": Case(
        base=DEBIAN,
        lines="COPY --from=builder /out/uses-rpath /opt/bin/tool\nCOPY --from=builder /out/lib/ /opt/lib/",
        command=("/opt/bin/tool",),
    ),
    "library-not-by-runpath": Case(
        base=DEBIAN,
        lines="COPY --from=builder /out/uses-runpath /opt/tool\nCOPY --from=builder /out/lib/ /opt/lib/",
        runs=False,
        hint="`/opt/lib/libgreet.so.1` is not where",
        command=("/opt/tool",),
    ),
    "library-of-musl-by-default": _fails(MUSL, "/out/musl-uses", "`libgreet.so.1`"),
    "library-of-musl": _runs(MUSL, "/out/musl-uses", "COPY --from=builder /out/musl-lib/ /usr/local/lib/"),
    # What a program of the base loads.
    "plug-in": _loads("/out/plug/plain.so", runs=True),
    "plug-in-for-old": Case(
        base=LOADS,
        lines="COPY --from=builder /out/plug/wants-new.so /opt/plugin.so\n"
        "COPY --from=builder /out/old/libgreet.so.1 /usr/lib/\nENV LD_LIBRARY_PATH=/usr/lib",
        runs=False,
        hint="GREET_2",
        command=("/usr/bin/loads", "/opt/plugin.so"),
    ),
    "plug-in-for-musl": _loads("/out/plug/musl.so", runs=False, hint="`libc.so`"),
    "plug-in-for-other-machine": _loads("/real/other-library", runs=False, hint="64-bit Arm"),
    # Scripts.
    "script": _runs(SMALL, "/out/sh-script"),
    "script-on-nothing": _fails(SCRATCH, "/out/sh-script", "`/bin/sh`"),
    "script-for-bash": _runs(DEBIAN, "/out/bash-script"),
    "script-for-bash-without-it": _fails(SMALL, "/out/bash-script", "`/bin/bash`"),
    "script-for-perl": _runs(DEBIAN, "/out/perl-script", both=True),
    "script-for-perl-without-it": _fails(SMALL, "/out/perl-script", "`perl`", both=True),
    "script-from-elsewhere": _fails(DEBIAN, "/out/dos-script", "line ends"),
}


def dockerfile() -> str:
    """Return the Dockerfile with a variant for each case."""
    stages = (f"FROM {case.base} AS {name}\nARG TARGETARCH\n{case.lines}\n" for name, case in CASES.items())
    return "\n".join((BUILDER, *stages))
