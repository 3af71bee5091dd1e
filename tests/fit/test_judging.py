"""What runs where: programs, libraries and scripts put into bases of several kinds."""

from __future__ import annotations

import pytest

from buildonce.fit.findings import Finding, Kind, Located, describe, group_findings
from tests.elf.writer import ARM, EXECUTABLE, LOADER, MUSL_LOADER, PPC64, STATIC_PIE, make_elf
from tests.fit.images import GLIBC, MUSL, SCRIPT, Files, findings_of, foreign, program

SCRATCH: Files = {}
STATIC = make_elf(kind=EXECUTABLE)
MUSL_PROGRAM = make_elf(interpreter=MUSL_LOADER, needed=["libc.musl-x86_64.so.1"])
NEW = program(versions_needed={"libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.38"]})


def only(found: tuple[Finding, ...]) -> Finding:
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    ("base", "content"),
    [
        pytest.param(GLIBC, program(), id="dynamic on glibc"),
        pytest.param(GLIBC, program(versions_needed={"libc.so.6": ["GLIBC_2.34"]}), id="older versions"),
        pytest.param(
            GLIBC,
            program(
                needed=["libstdc++.so.6", "libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2"],
                versions_needed={"libstdc++.so.6": ["GLIBCXX_3.4.30"], "ld-linux-x86-64.so.2": ["GLIBC_2.34"]},
            ),
            id="C++",
        ),
        pytest.param(GLIBC, program(needed=["libold.so.1"], versions_needed={"libold.so.1": ["OLD_1"]}),
                     id="a library without any versions is taken as it is"),
        pytest.param(GLIBC, STATIC, id="static on glibc"),
        pytest.param(MUSL, STATIC, id="static on musl"),
        pytest.param(SCRATCH, STATIC, id="static on nothing"),
        pytest.param(SCRATCH, make_elf(flags_1=STATIC_PIE), id="static and position-independent on nothing"),
        pytest.param(MUSL, MUSL_PROGRAM, id="musl on musl"),
        pytest.param(MUSL, make_elf(interpreter=MUSL_LOADER, needed=["libgcc_s.so.1", "libc.so"]), id="Rust on musl"),
        pytest.param(GLIBC, b"#!/bin/sh -e\n", id="script"),
        pytest.param(GLIBC, b"#!/usr/bin/env python3\n", id="script found in PATH"),
        pytest.param(GLIBC, b"#!/usr/bin/env -S python3 -u\n", id="script with an option for env"),
        pytest.param(GLIBC, make_elf(kind=1), id="object file"),
        pytest.param(GLIBC, b"\0\1\2 no program", id="no program"),
    ],
)  # fmt: skip
def test_what_runs_is_no_finding(base: Files, content: bytes) -> None:
    assert findings_of(base, {"usr/local/bin/tool": content}, named=["usr/local/bin/tool"]) == ()


@pytest.mark.parametrize(
    ("base", "content", "kind", "parts"),
    [
        pytest.param(GLIBC, NEW, Kind.VERSION,
                     ("needs GLIBC_2.38 of `libc.so.6`", "/libc.so.6` offers GLIBC_2.36 at most", "static"),
                     id="new glibc on old"),
        pytest.param(GLIBC, program(needed=["libstdc++.so.6"], versions_needed={
                         "libstdc++.so.6": ["GLIBCXX_3.4.32", "CXXABI_1.3.14"]}), Kind.VERSION,
                     ("CXXABI_1.3.14, GLIBCXX_3.4.32", "GLIBCXX_3.4.30", "CXXABI_1.3"),
                     id="new C++ library on old"),
        pytest.param(GLIBC, program(needed=["libssl.so.3"]), Kind.LIBRARY,
                     ("needs the library `libssl.so.3`", "the image has `libssl.so.1.1` only", "install"),
                     id="another OpenSSL"),
        pytest.param(GLIBC, program(needed=["libpq.so.5"]), Kind.LIBRARY,
                     ("`libpq.so.5`", "has no such library"), id="missing library"),
        pytest.param(GLIBC, MUSL_PROGRAM, Kind.INTERPRETER,
                     (f"loader `{MUSL_LOADER}`", "not musl", "base with glibc"), id="musl on glibc"),
        pytest.param(MUSL, program(), Kind.INTERPRETER,
                     (f"loader `{LOADER}` of glibc", "which is musl", "gcompat"), id="glibc on musl"),
        pytest.param(SCRATCH, program(), Kind.INTERPRETER,
                     ("loader", "no C library", "statically"), id="dynamic on nothing"),
        pytest.param(GLIBC, foreign(interpreter=LOADER), Kind.MACHINE,
                     ("is for 64-bit Arm", "linux/amd64 runs 64-bit x86-64", "$TARGETARCH"), id="machine"),
        pytest.param(GLIBC, make_elf(big=True), Kind.MACHINE, ("big-endian",), id="order of bytes"),
        pytest.param(SCRATCH, foreign(kind=EXECUTABLE), Kind.MACHINE, ("64-bit Arm",), id="static for another machine"),
        pytest.param(GLIBC, program(data=bytes(900))[:-800], Kind.BROKEN, ("cut short",), id="cut short"),
        pytest.param(GLIBC, b"\x7fELF" + bytes(90), Kind.BROKEN, ("header is damaged",), id="no header"),
        pytest.param(MUSL, b"#!/bin/bash\n", Kind.INTERPRETER, ("run by `/bin/bash`", "install `bash`"), id="script"),
        pytest.param(GLIBC, b"#!/usr/local/bin/python3\n", Kind.INTERPRETER,
                     ("`/usr/local/bin/python3`", "the image has `/usr/bin/python3.11`", "`#!/usr/bin/python3.11`"),
                     id="script whose interpreter is elsewhere"),
        pytest.param(GLIBC, b"#!/usr/bin/env node\n", Kind.INTERPRETER, ("run by `node`", "PATH"), id="not in PATH"),
        pytest.param(GLIBC, b"#!/bin/sh\r\necho\r\n", Kind.INTERPRETER, ("`/bin/sh\\r`", "line ends"), id="line ends"),
    ],
)  # fmt: skip
def test_what_does_not_run(base: Files, content: bytes, kind: Kind, parts: tuple[str, ...]) -> None:
    found = only(findings_of(base, {"usr/local/bin/tool": content}))
    assert found.kind is kind
    assert found.severe
    assert found.path == "/usr/local/bin/tool"
    said = f"{describe(found, '`x`')}; {found.cure}"
    for part in parts:
        assert part in said


@pytest.mark.parametrize(
    ("platform", "says", "fits"),
    [
        ("linux/amd64", {"machine": 3, "wide": False}, True),
        ("linux/386", {"machine": 62}, False),
        ("linux/arm64", {"machine": 183}, True),
        ("linux/arm64", {"machine": 183, "big": True}, False),
        ("linux/arm64", {"machine": ARM, "wide": False}, None),
        ("linux/arm/v7", {"machine": ARM, "wide": False, "flags": 0x400}, True),
        ("linux/arm/v7", {"machine": 183}, False),
        ("linux/ppc64le", {"machine": PPC64, "flags": 2}, True),
        ("linux/ppc64le", {"machine": PPC64, "flags": 1}, False),
        ("linux/ppc64le", {"machine": PPC64, "big": True}, False),
        ("linux/s390x", {"machine": 22, "big": True}, True),
        ("linux/riscv64", {"machine": 243}, True),
        ("linux/mips64le", {"machine": 8}, True),
        ("linux/mips64le", {"machine": 8, "big": True}, False),
        ("linux/loong64", {"machine": 258}, True),
        ("linux/never-heard-of", {"machine": 4711}, True),
    ],
)
def test_platforms_and_machine_code(platform: str, says: dict[str, object], fits: bool | None) -> None:
    found = findings_of(None, {"tool": make_elf(kind=EXECUTABLE, **says)}, platform=platform)
    assert [one.severe for one in found] == {True: [], None: [False], False: [True]}[fits]


def test_a_loader_for_other_floating_point_is_none() -> None:
    soft = make_elf(machine=ARM, wide=False, flags=0x05000200, soname="ld-linux.so.3", versions=["GLIBC_2.4"])
    hard = make_elf(machine=ARM, wide=False, flags=0x05000400, interpreter="/lib/ld-linux.so.3")
    found = only(findings_of({"lib/ld-linux.so.3": soft}, {"bin/tool": hard}, platform="linux/arm/v7"))
    assert found.kind is Kind.INTERPRETER
    assert "soft-float" in found.has


def test_a_library_for_another_machine_is_passed_over_and_named() -> None:
    base = {**GLIBC, "usr/lib/x86_64-linux-gnu/liba.so.1": foreign(soname="liba.so.1")}
    found = only(findings_of(base, {"bin/tool": program(needed=["liba.so.1"])}))
    assert found.kind is Kind.LIBRARY
    assert "64-bit Arm" in found.has
    later = {**base, "usr/lib/liba.so.1": make_elf(soname="liba.so.1")}
    assert findings_of(later, {"bin/tool": program(needed=["liba.so.1"])}) == ()


def test_a_processor_of_a_higher_level_is_a_warning() -> None:
    late = {"bin/tool": make_elf(kind=EXECUTABLE, level=3)}
    assert not only(findings_of(SCRATCH, late)).severe
    assert findings_of(SCRATCH, late, platform="linux/amd64/v3") == ()


# What several files bring together.


def test_libraries_that_come_along_are_found_and_judged_with_the_program() -> None:
    late: dict[str, bytes | str] = {
        "opt/app/bin/tool": program(needed=["liba.so.1"], runpath="$ORIGIN/../lib"),
        "opt/app/lib/liba.so.1": "liba.so.1.0",
        "opt/app/lib/liba.so.1.0": make_elf(soname="liba.so.1", needed=["libb.so.2"], runpath="${ORIGIN}"),
        "opt/app/lib/libb.so.2": program(soname="libb.so.2", versions_needed={"libc.so.6": ["GLIBC_2.99"]}),
    }
    found = only(findings_of(GLIBC, late))
    assert (found.kind, found.path) == (Kind.VERSION, "/opt/app/bin/tool")
    assert "for `/opt/app/lib/libb.so.2`, which it loads" in found.says
    del late["opt/app/lib/libb.so.2"]
    found = only(findings_of(GLIBC, late))
    assert (found.kind, found.path) == (Kind.LIBRARY, "/opt/app/bin/tool")
    assert "`libb.so.2` (for `/opt/app/lib/liba.so.1`" in found.says


def test_a_library_that_is_already_loaded_is_not_looked_for_again() -> None:
    late = {
        "opt/bin/tool": program(needed=["liba.so", "libplug.so"], runpath="/opt/lib"),
        "opt/lib/liba.so": make_elf(soname="liba.so"),
        "opt/lib/libplug.so": make_elf(soname="libplug.so", needed=["liba.so"]),
    }
    assert findings_of(GLIBC, late) == ()


def test_a_library_beside_the_way_is_named_with_the_cure() -> None:
    late = {"usr/bin/tool": program(needed=["liba.so.1"]), "opt/lib/liba.so.1": make_elf(soname="liba.so.1")}
    found = only(findings_of(GLIBC, late))
    assert "`/opt/lib/liba.so.1` is not where the loader looks" in found.has
    assert "LD_LIBRARY_PATH=/opt/lib" in found.cure
    assert findings_of(GLIBC, late, environment={"LD_LIBRARY_PATH": "/nowhere:/opt/lib"}) == ()


def test_a_directory_of_ld_so_conf_counts_only_with_a_cache() -> None:
    base = {**GLIBC, "etc/ld.so.conf": b"include /etc/ld.so.conf.d/*.conf\n", "etc/ld.so.conf.d/a.conf": b"/opt/lib\n"}
    late = {"usr/bin/tool": program(needed=["liba.so.1"]), "opt/lib/liba.so.1": make_elf(soname="liba.so.1")}
    found = only(findings_of(base, late))
    assert "ld.so.conf lists its directory" in found.has
    assert "RUN ldconfig" in found.cure


def test_a_program_that_is_there_twice_is_light_where_the_other_one_fits() -> None:
    late = {"vendor/x64/tool": STATIC, "vendor/arm64/tool": foreign(kind=EXECUTABLE)}
    assert not only(findings_of(SCRATCH, late)).severe
    assert only(findings_of(SCRATCH, late, named=["vendor/arm64/tool"])).severe


def test_libraries_for_other_systems_are_light_beside_those_for_this_one() -> None:
    late = {
        "m/prebuilds/x64.node": make_elf(needed=["libc.so.6"]),
        "m/prebuilds/arm64.node": foreign(needed=["libc.so.6"]),
        "m/prebuilds/x64-musl.node": make_elf(needed=["libc.musl-x86_64.so.1"]),
    }
    found = findings_of(GLIBC, late)
    assert [(one.path, one.severe) for one in found] == [
        ("/m/prebuilds/arm64.node", False),
        ("/m/prebuilds/x64-musl.node", False),
    ]
    for path in ("m/prebuilds/arm64.node", "m/prebuilds/x64-musl.node"):
        assert only(findings_of(GLIBC, {path: late[path]})).severe, "nothing else is there that could be meant"


def test_a_library_that_nobody_here_asks_for_may_lack_what_it_needs_but_no_version() -> None:
    lacking = {"opt/java/lib/libawt_xawt.so": make_elf(soname="libawt_xawt.so", needed=["libX11.so.6"])}
    assert not only(findings_of(GLIBC, lacking)).severe
    assert only(findings_of(GLIBC, lacking, named=list(lacking))).severe
    new = {"opt/m.so": make_elf(needed=["libc.so.6"], versions_needed={"libc.so.6": ["GLIBC_2.99"]})}
    assert only(findings_of(GLIBC, new)).severe


def test_a_library_for_glibc_on_musl_is_a_warning() -> None:
    late = {"opt/m.so": make_elf(needed=["libc.so.6"], versions_needed={"libc.so.6": ["GLIBC_2.4"]})}
    found = only(findings_of(MUSL, late))
    assert not found.severe
    assert "gcompat" in found.cure


def test_drivers_of_the_machine_are_given_when_a_container_starts() -> None:
    assert not only(findings_of(GLIBC, {"bin/tool": program(needed=["libcuda.so.1"])})).severe


def test_a_loader_of_another_kind_answers_for_itself() -> None:
    base = {**MUSL, "lib/ld-linux-x86-64.so.2": make_elf(soname="libgcompat.so.0"), "lib64": "lib"}
    assert findings_of(base, {"bin/tool": NEW}) == ()


def test_a_program_that_cannot_be_executed_is_light() -> None:
    assert not only(findings_of(GLIBC, {"share/tool": NEW}, modes={"share/tool": 0o644})).severe
    assert findings_of(GLIBC, {"share/x": b"#!/bin/none\n"}, modes={"share/x": 0o644}) == ()
    assert findings_of(GLIBC, {"share/x": b"\x7fELF damaged"}, modes={"share/x": 0o644}) == ()


def test_scripts_that_came_along_are_light_and_commands_are_not() -> None:
    late = {"app/node_modules/.bin/x": b"#!/usr/bin/env node\n"}
    assert not only(findings_of(GLIBC, late)).severe
    assert only(findings_of(GLIBC, late, command=["/app/node_modules/.bin/x", "y"])).severe
    assert only(findings_of(GLIBC, late, named=list(late))).severe
    assert only(findings_of(GLIBC, late, environment={"PATH": "/bin:/app/node_modules/.bin"})).severe


def test_interpreters_and_loaders_may_come_along() -> None:
    late = {**{path: content for path, content in MUSL.items() if path.startswith("lib/")}, "bin/tool": MUSL_PROGRAM}
    assert findings_of(SCRATCH, late) == ()
    assert findings_of(SCRATCH, {"bin/sh": STATIC, "bin/x": SCRIPT}) == ()


def test_without_a_base_only_machine_code_is_judged() -> None:
    late = {"bin/tool": NEW, "bin/other": foreign(kind=EXECUTABLE), "bin/x": b"#!/bin/none\n"}
    assert only(findings_of(None, late)).kind is Kind.MACHINE


def test_findings_are_named_once_with_all_images() -> None:
    found = only(findings_of(GLIBC, {"bin/tool": NEW}))
    located = [Located(finding=found, variant=name, place=place) for place in ("p1", "p2") for name in ("a", "b")]
    assert group_findings(located) == ((found, "`a`, `b` (p1; p2)"),)


def test_a_library_that_takes_the_place_of_one_of_the_base_is_judged() -> None:
    late = {"usr/lib/x86_64-linux-gnu/libm.so.6": foreign(soname="libm.so.6")}
    assert only(findings_of(GLIBC, late)).severe


def test_many_libraries_are_judged_in_a_time_that_grows_with_their_number() -> None:
    """Hundreds of libraries that lack one, on a base with more: each is looked up, not searched for."""
    base: dict[str, bytes | str] = dict(GLIBC)
    base |= {f"usr/share/x/lib{number}.so": make_elf(soname=f"lib{number}.so.1") for number in range(600)}
    late: Files = {f"site/m{number}.so": make_elf(needed=[f"libgone{number}.so.1"]) for number in range(300)}
    found = findings_of(base, late)
    assert len(found) == 300
    assert not any(one.severe for one in found)
