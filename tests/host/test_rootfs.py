from __future__ import annotations

import io
import tarfile

import pytest

from scripts.testhost.rootfs import (
    EPOCH,
    Node,
    Tree,
    difference,
    directory,
    is_wanted,
    link,
    merged_usr,
    overlay,
    read_nodes,
    tar_chunks,
    text,
    with_parents,
)
from scripts.testhost.standins import gshadow, shadow


def archive(tree: Tree) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(b"".join(tar_chunks(tree))))


def test_a_tree_survives_the_archive() -> None:
    tree = with_parents(
        {
            "usr/bin/sh": Node(kind="file", mode=0o4755, uid=1, gid=42, data=b"#!"),
            "usr/share/" + "long/" * 40 + "ümlaut": text("x" * 700),
            "bin": link("usr/bin"),
            "tmp": directory(0o1777),
        }
    )
    with archive(tree) as opened:
        assert dict(read_nodes(opened)) == tree


def test_a_hard_link_becomes_a_file_of_its_own() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as written:
        first = tarfile.TarInfo("./usr/bin/perl")
        first.size = 4
        written.addfile(first, io.BytesIO(b"data"))
        second = tarfile.TarInfo("./usr/bin/perl5")
        second.type, second.linkname = tarfile.LNKTYPE, "./usr/bin/perl"
        written.addfile(second)
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as opened:
        nodes = dict(read_nodes(opened))
    assert nodes["usr/bin/perl5"] == nodes["usr/bin/perl"]
    assert nodes["usr/bin/perl5"].data == b"data"


def test_the_same_tree_is_the_same_archive() -> None:
    forward = {"a": text("1"), "b/c": text("2")}
    backward = dict(reversed(forward.items()))
    assert b"".join(tar_chunks(with_parents(forward))) == b"".join(tar_chunks(with_parents(backward)))
    assert forward["a"].mtime == EPOCH


def test_parents_are_added_and_come_first() -> None:
    complete = with_parents({"a/b/c": text(""), "a": directory(0o700)})
    assert list(complete) == ["a", "a/b", "a/b/c"]
    assert complete["a"].mode == 0o700
    assert complete["a/b"] == directory()


def test_a_directory_keeps_its_mode_when_another_package_has_it_too() -> None:
    tree: Tree = {"tmp": directory(0o1777), "file": text("old")}
    overlay(tree, "tmp", directory(0o755))
    overlay(tree, "file", text("new"))
    assert tree == {"tmp": directory(0o1777), "file": text("new")}


def test_a_difference_holds_what_is_new_or_changed() -> None:
    base = {"same": text("1"), "changed": text("1")}
    assert difference({**base, "changed": text("2"), "new": text("3")}, base) == {
        "changed": text("2"),
        "new": text("3"),
    }


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("bin/sh", "usr/bin/sh"),
        ("lib64/ld.so", "usr/lib64/ld.so"),
        ("etc/bin/x", "etc/bin/x"),
        ("library/x", "library/x"),
    ],
)
def test_root_folders_move_into_usr(path: str, expected: str) -> None:
    assert merged_usr(path) == expected


def test_documentation_is_left_out() -> None:
    assert not is_wanted("usr/share/doc/gcc/README")
    assert not is_wanted("usr/share/man")
    assert is_wanted("usr/share/manual")


def test_nobody_has_a_password() -> None:
    assert shadow("root:x:0:0::/root:/bin/sh\n") == "root:*:19358:0:99999:7:::\n"
    assert gshadow("root:x:0:\nagent:x:1:\n") == "root:*::\nagent:*::\n"
