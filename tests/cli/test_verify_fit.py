"""`buildonce verify` and programs that do not run in the image that has them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from buildonce.report.wire import VerificationDocument
from tests.cli.conftest import Call
from tests.elf.writer import AARCH64, EXECUTABLE, make_elf
from tests.fit.images import GLIBC, MUSL, Files, foreign, program
from tests.verify.releases import Draft, LayoutShelf, make_layer, ship

NEW = program(versions_needed={"libc.so.6": ["GLIBC_2.38"]})


@pytest.fixture
def layout(tmp_path: Path) -> LayoutShelf:
    """An empty layout."""
    return LayoutShelf(tmp_path / "layout")


def give(layout: LayoutShelf, tool: bytes, *, base: Files = GLIBC, later: dict[str, bytes] | None = None) -> None:
    """Ship two variants for amd64 with a program of the core's; a layer above it holds what is ``later``."""

    def change(one: Draft) -> None:
        one.archives[0] = make_layer(base)
        one.archives[1] = make_layer({"usr/local/bin/family": tool})
        one.archives[2] = make_layer(later or {"home": b"x"})

    variants = ("claude", "codex")
    ship(layout, variants=variants, architectures=["amd64"], changes={(v, "amd64"): change for v in variants})


def verified(call: Call, *arguments: str, code: int) -> VerificationDocument:
    ran = call("verify", "--json", *arguments)
    assert ran.code == code, ran.out + ran.err
    return msgspec.json.decode(ran.out, type=VerificationDocument)


@pytest.mark.parametrize("base", [pytest.param(GLIBC, id="glibc"), pytest.param(MUSL, id="musl")])
def test_what_runs_everywhere_passes(call: Call, layout: LayoutShelf, base: Files) -> None:
    give(layout, make_elf(kind=EXECUTABLE), base=base)
    assert verified(call, layout.name, code=0).fitted == 2


@pytest.mark.parametrize(
    ("tool", "base", "says"),
    [
        pytest.param(NEW, GLIBC, "needs GLIBC_2.38", id="too new"),
        pytest.param(foreign(), GLIBC, "64-bit Arm", id="another machine"),
        pytest.param(program(), MUSL, "/lib64/ld-linux-x86-64.so.2", id="no loader"),
        pytest.param(program(needed=["libnone.so.1"]), GLIBC, "libnone.so.1", id="no library"),
        pytest.param(b"#!/usr/bin/perl\n", GLIBC, "/usr/bin/perl", id="no interpreter"),
    ],
)
def test_what_does_not_run_is_one_finding_that_names_all_it_hits(
    call: Call, layout: LayoutShelf, tool: bytes, base: Files, says: str
) -> None:
    give(layout, tool, base=base)
    (finding,) = verified(call, layout.name, code=1).findings
    assert finding.code == "VERIFY-UNFIT"
    assert says in finding.message
    assert (finding.place.reference, finding.place.path) == (f"{layout.name}:claude", "/usr/local/bin/family")
    assert [place.reference for place in finding.also] == [f"{layout.name}:codex"]
    assert finding.help
    assert finding.why


def test_what_is_accepted_passes(call: Call, layout: LayoutShelf) -> None:
    give(layout, NEW)
    assert verified(call, layout.name, "--no-fit-check", "claude,c?dex", code=0).fitted == 0
    (finding,) = verified(call, layout.name, "--no-fit-check", "claude", code=1).findings
    assert (finding.place.reference, finding.also) == (f"{layout.name}:codex", ())


def test_what_a_layer_above_replaced_is_not_looked_at(call: Call, layout: LayoutShelf) -> None:
    give(layout, NEW, later={"usr/local/bin/family": program()})
    assert verified(call, layout.name, code=0).fitted == 0


def test_what_a_layer_above_removed_is_not_looked_at(call: Call, layout: LayoutShelf) -> None:
    give(layout, NEW, later={"usr/local/bin/.wh.family": b""})
    assert verified(call, layout.name, code=0).fitted == 0


def test_a_library_that_a_layer_above_brought_counts(call: Call, layout: LayoutShelf) -> None:
    give(layout, program(needed=["libown.so.1"]), later={"usr/lib/libown.so.1": make_elf(soname="libown.so.1")})
    assert verified(call, layout.name, code=0).fitted == 2


def test_a_named_path_is_looked_at_without_a_word_of_cores(call: Call, layout: LayoutShelf) -> None:
    def change(one: Draft) -> None:
        one.archives[0] = make_layer({**GLIBC, "usr/bin/newer": NEW})
        one.copies = None

    ship(layout, variants=["codex"], architectures=["amd64"], changes={("codex", "amd64"): change})
    assert verified(call, layout.name, code=0).fitted == 0
    (finding,) = verified(call, layout.name, "--core", "/usr/bin/newer", code=1).findings
    assert finding.code == "VERIFY-UNFIT"


def test_one_file_for_two_platforms_is_remarked_on(call: Call, layout: LayoutShelf) -> None:
    """A program that is there twice fits one of its platforms at most; a script or data may well be the same."""
    both = make_elf(kind=EXECUTABLE, machine=AARCH64)

    def change(one: Draft) -> None:
        one.archives[1] = make_layer({"usr/local/bin/family": both})

    ship(layout, variants=["codex"], changes={("codex", a): change for a in ("amd64", "arm64")})
    document = verified(call, layout.name, code=1)
    assert [(one.code, one.place.platform) for one in document.findings] == [("VERIFY-UNFIT", "linux/amd64")]
    (remark,) = document.remarks
    assert "is the same file for linux/amd64 and linux/arm64" in remark.message


def test_settings_that_are_none_are_found(call: Call, layout: LayoutShelf) -> None:
    def change(one: Draft) -> None:
        one.on_config = lambda old: old | {"config": {"Env": "PATH=/bin"}}

    ship(layout, variants=["codex"], changes={("codex", "amd64"): change})
    (finding,) = verified(call, layout.name, code=1).findings
    assert finding.code == "VERIFY-CONFIG"
