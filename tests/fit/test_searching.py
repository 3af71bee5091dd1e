"""Where loaders look: the order of glibc and musl, what variables mean, and the files that say more."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildonce.elf.values import Abi, Elf
from buildonce.fit.loader_files import listed_directories, parse_cache, parse_musl_path
from buildonce.fit.offer import decode_offer
from buildonce.fit.search import Loaded, Loader, LoaderKind, candidates, expand, loader_of
from buildonce.fit.world import World
from tests.elf.writer import make_elf
from tests.fit.images import GLIBC, MUSL, Files, findings_of, image_of, offer_of, program

ABI = Abi(62, 64)
SYSTEM = ["/lib/x86_64-linux-gnu/x", "/usr/lib/x86_64-linux-gnu/x", "/lib/x", "/usr/lib/x"]


def loader(base: Files, path: str) -> tuple[World, Loader]:
    world = World(image_of(base, {}, environment={"LD_LIBRARY_PATH": "/env"}))
    found = world.find(path)
    assert found is not None
    return world, loader_of(world, found, path)


def looked_at(base: Files, path: str, wanting: Loaded) -> list[str]:
    world, one = loader(base, path)
    return list(candidates(world, one, wanting, "x"))


def test_glibc_looks_along_rpath_of_all_that_ask_then_environment_then_its_directories() -> None:
    main = Loaded(path="/opt/bin/main", elf=Elf(abi=ABI, rpath=("$ORIGIN/../lib",)))
    middle = Loaded(path="/a/liba.so", elf=Elf(abi=ABI, rpath=("/a/sub",)), parents=(main,))
    found = looked_at(GLIBC, "/lib64/ld-linux-x86-64.so.2", middle)
    assert found == ["/a/sub/x", "/opt/bin/../lib/x", "/env/x", *SYSTEM]


def test_in_glibc_a_runpath_is_its_own_alone_and_puts_rpath_out_of_force() -> None:
    main = Loaded(path="/opt/bin/main", elf=Elf(abi=ABI, rpath=("/main",), runpath=("/never",)))
    middle = Loaded(path="/a/liba.so", elf=Elf(abi=ABI), parents=(main,))
    assert looked_at(GLIBC, "/lib64/ld-linux-x86-64.so.2", middle) == ["/env/x", *SYSTEM]
    own = Loaded(path="/a/liba.so", elf=Elf(abi=ABI, rpath=("/not",), runpath=("/own",)), parents=(main,))
    assert looked_at(GLIBC, "/lib64/ld-linux-x86-64.so.2", own) == ["/env/x", "/own/x", *SYSTEM]


def test_musl_looks_into_the_environment_first_and_inherits_both_kinds_of_path() -> None:
    main = Loaded(path="/opt/bin/main", elf=Elf(abi=ABI, runpath=("/main",)))
    middle = Loaded(path="/a/liba.so", elf=Elf(abi=ABI, rpath=("/own",)), parents=(main,))
    found = looked_at(MUSL, "/lib/ld-musl-x86_64.so.1", middle)
    assert found == ["/env/x", "/own/x", "/main/x", "/lib/x", "/usr/local/lib/x", "/usr/lib/x"]
    own = {**MUSL, "etc/ld-musl-x86_64.path": b"/one:/two\n/three\n"}
    assert looked_at(own, "/lib/ld-musl-x86_64.so.1", main)[2:] == ["/one/x", "/two/x", "/three/x"]


def test_kinds_of_loaders() -> None:
    assert loader(GLIBC, "/lib64/ld-linux-x86-64.so.2")[1].kind is LoaderKind.GLIBC
    assert loader(MUSL, "/lib/ld-musl-x86_64.so.1")[1].kind is LoaderKind.MUSL
    assert loader({"lib/ld-x.so": make_elf(soname="x")}, "/lib/ld-x.so")[1].kind is LoaderKind.OTHER
    debian: Files = {
        "lib/ld-musl-x86_64.so.1": "/usr/lib/musl/libc.so",
        "usr/lib/musl/libc.so": make_elf(soname="libc.so"),
    }
    assert loader(debian, "/lib/ld-musl-x86_64.so.1")[1].kind is LoaderKind.MUSL


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("/a/b", ("/a/b",)),
        ("$ORIGIN", ("/opt/bin",)),
        ("${ORIGIN}/../lib", ("/opt/bin/../lib",)),
        ("$ORIGINAL", ("$ORIGINAL",)),
        ("/x/$PLATFORM", ("/x/x86_64",)),
        ("/x/${LIB}", ("/x/lib64", "/x/lib", "/x/lib/x86_64-linux-gnu")),
    ],
)
def test_variables_in_paths(written: str, expected: tuple[str, ...]) -> None:
    assert expand(written, "/opt/bin/tool", ABI) == expected


def test_a_needed_path_is_taken_as_it_is() -> None:
    late = {"opt/t": program(needed=["/opt/x/liba.so", "$ORIGIN/libb.so"]), "opt/libb.so": make_elf()}
    assert len(findings_of(GLIBC, late)) == 1
    assert findings_of(GLIBC, {**late, "opt/x/liba.so": make_elf()}) == ()


# Files of the base.


def cache(pairs: list[tuple[str, str]], *, order: str = "<", old: bool = False) -> bytes:
    """Return an ld.so.cache as ldconfig writes it: the new form, or the new one behind the old one."""
    strings, entries = b"", []
    begin = 48 + 24 * len(pairs)
    for pair in pairs:
        places = []
        for text in pair:
            places.append(begin + len(strings))
            strings += text.encode() + b"\0"
        entries.append(struct.pack(f"{order}iIIIQ", 0x303, *places, 0, 0))
    header = b"glibc-ld.so.cache1.1" + struct.pack(f"{order}II", len(pairs), len(strings)) + bytes(20)
    new = header + b"".join(entries) + strings
    if not old:
        return new
    before = b"ld.so-1.7.0\0" + struct.pack("<I", len(pairs)) + bytes(12 * len(pairs))
    return before + bytes(-len(before) % 8) + new


PAIRS = [("liba.so.1", "/opt/lib/liba.so.1"), ("libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6")]


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_cache_is_read(order: str, old: bool) -> None:
    assert parse_cache(cache(PAIRS, order=order, old=old)) == tuple(PAIRS)


@given(st.binary(max_size=200) | st.integers(0, 180).map(lambda size: cache(PAIRS)[:size]))
def test_a_damaged_cache_says_nothing_or_little(content: bytes) -> None:
    found = parse_cache(content)
    assert found is None or len(found) <= len(PAIRS)


def test_what_the_cache_has_is_found_and_nothing_else_in_those_directories() -> None:
    base = {
        **GLIBC,
        "opt/lib/liba.so.1": make_elf(soname="liba.so.1"),
        "opt/lib/libother.so.1": make_elf(soname="libother.so.1"),
        "etc/ld.so.cache": cache(PAIRS),
    }
    assert offer_of(base).cached == {"liba.so.1": ("/opt/lib/liba.so.1",)}
    assert findings_of(base, {"bin/tool": program(needed=["liba.so.1"])}) == ()
    assert len(findings_of(base, {"bin/tool": program(needed=["libother.so.1"])})) == 1


def test_ld_so_conf_with_what_it_includes() -> None:
    files = {
        "etc/ld.so.conf": b"# 1\n/one /two:/three,/four\nhwcap 1 x\ninclude /etc/ld.so.conf.d/*.conf\ninclude more\n",
        "etc/ld.so.conf.d/b.conf": b"/b/\n",
        "etc/ld.so.conf.d/a.conf": b"/a # here\ninclude /etc/ld.so.conf\n",
        "etc/ld.so.conf.d/c.txt": b"/c\n",
        "etc/more": b"/more",
    }
    expected = ("/one", "/two", "/three", "/four", "/a", "/b", "/more")
    assert listed_directories(files.get, files) == expected


def test_a_list_of_musl() -> None:
    assert parse_musl_path(b"/a:/b\n/c\n\n") == ("/a", "/b", "/c")


@pytest.mark.parametrize("text", ["", "x", "AAAA", "eJwDAAAAAAE="])
def test_what_is_no_offer_is_none(text: str) -> None:
    assert decode_offer(text) is None


def test_an_offer_has_links_to_its_files_and_no_others() -> None:
    offer = offer_of({**GLIBC, "srv/link": "/etc/hosts", "srv/loop": "loop", "deep/link": "/usr/bin", "a": "deep"})
    assert "srv/link" not in offer.links
    assert "srv/loop" not in offer.links
    assert {"deep/link", "a", "lib64", "usr/bin/sh"} <= set(offer.links)
    assert "etc/hosts" not in offer.files
