from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from buildonce.assemble.copying import CopySpec, copy_entries, destination_path, workdir_entries
from buildonce.assemble.entries import Entry, EntryType, NotExpressible
from buildonce.assemble.owners import Passwd
from buildonce.assemble.tree import Tree, apply_layer, apply_layers
from buildonce.errors import AssemblyError
from tests.assemble.archives import BASE_TIME, FILE_TIME, SOURCE_TIME, read_tar
from tests.assemble.rich import base_tar, source_tar

BASE = apply_layers([read_tar(base_tar())])
SOURCE = apply_layers([read_tar(source_tar())])


def copy(
    *words: str,
    base: Tree = BASE,
    source: Tree = SOURCE,
    epoch: int | None = None,
    passwd: Passwd | None = None,
    **options: object,
) -> dict[str, Entry]:
    spec = CopySpec(sources=words[:-1], destination=words[-1], **options)  # type: ignore[arg-type]
    return {entry.path: entry for entry in copy_entries(spec, source, base, epoch=epoch, passwd=passwd)}


@pytest.mark.parametrize(
    ("workdir", "destination", "expected"),
    [
        ("/", "/a/b", ("/a/b", False)),
        ("/", "/a/b/", ("/a/b", True)),
        ("/", "/a/b/.", ("/a/b", True)),
        ("/", "/", ("/", True)),
        ("/w", "", ("/w", True)),
        ("/w", ".", ("/w", True)),
        ("/w", "./", ("/w", True)),
        ("/w", "a", ("/w/a", False)),
        ("/w", "a/..", ("/w", False)),
        ("/w", "../../a", ("/a", False)),
        ("/w", "..", ("/", True)),
        ("w", "a", ("/w/a", False)),
        ("", "a//b/./c", ("/a/b/c", False)),
    ],
)
def test_destinations(workdir: str, destination: str, expected: tuple[str, bool]) -> None:
    assert destination_path(CopySpec(sources=("x",), destination=destination, workdir=workdir)) == expected


@pytest.mark.parametrize(
    ("chmod", "mode"), [("1777", 0o777), ("0640", 0o640), ("7", 0o007), ("u=rwx", 0o755), (None, 0o755)]
)
def test_created_parents_take_nine_bits_of_an_octal_mode(chmod: str | None, mode: int) -> None:
    assert copy("/core/bin/tool", "/new/deep/tool", chmod=chmod)["new/deep"].mode == mode


def test_the_setgid_bit_is_inherited_with_its_group() -> None:
    layer = copy("/core/bin/tool", "/srv/staff/new/tool", chmod="700")
    assert (layer["srv/staff/new"].mode, layer["srv/staff/new"].gid) == (0o2700, 50)


def test_times_of_touched_directories_are_those_of_the_newest_file() -> None:
    layer = copy("/core/bin/tool", "/new/tool")
    assert layer["new"].mtime == FILE_TIME
    layer = copy("/core/lib", "/core/empty", "/opt/app/")
    assert layer["opt/app"].mtime == SOURCE_TIME, "that of the source directory"
    assert layer["opt"].mtime == BASE_TIME


def test_times_of_touched_directories_follow_the_epoch() -> None:
    layer = copy("/core/bin/tool", "/new/tool", epoch=5)
    assert layer["new"].mtime == 5
    assert layer["new/tool"].mtime == FILE_TIME


def test_without_a_file_the_newest_directory_counts() -> None:
    assert copy("/core/empty", "/a/b/c")["a/b"].mtime == SOURCE_TIME


def test_a_context_belongs_to_root() -> None:
    layer = copy("/core", "/new", from_context=True)
    assert {(entry.uid, entry.gid) for entry in layer.values()} == {(0, 0)}


def test_relative_sources_count_from_the_root() -> None:
    assert "new/tool" in copy("core/bin/tool", "/new/")
    with pytest.raises(AssemblyError, match="not found"):
        copy("bin/tool", "/new/")


def test_the_content_comes_along_with_the_first_name_only() -> None:
    layer = copy("/core/bin", "/new")
    assert layer["new/tool-hl"].hardlink == "new/tool"
    assert (layer["new/tool-hl"].size, layer["new/tool-hl"].digest) == (0, None)
    assert layer["new/tool"].digest == SOURCE["core/bin/tool"].digest


def test_a_name_needs_known_users() -> None:
    with pytest.raises(NotExpressible, match="cannot be looked up"):
        copy("/core/bin/tool", "/new", chown="app")
    assert copy("/core/bin/tool", "/new", chown="5:root")["new"].uid == 5
    with pytest.raises(AssemblyError, match="--link"):
        copy("/core/bin/tool", "/new", chown="app", link=True, passwd=Passwd())


def test_link_does_not_look_at_the_base() -> None:
    layer = copy("/core/bin/tool", "/srv/staff/tool", link=True)
    assert layer["srv/staff"].mode == 0o755
    assert copy("/core/bin/tool", "/srv/staff/tool", link=True, base=Tree()) == layer


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (Entry(path="a/.wh.b", type=EntryType.FILE), "deleted"),
        (Entry(path="a/.wh.d", type=EntryType.DIRECTORY), "deleted"),
        (Entry(path="a/x", type=EntryType.CHAR, device=(0, 0)), "deleted file"),
        (Entry(path="a/x", type=EntryType.BLOCK, device=(7, 0)), "block device"),
    ],
)
def test_what_a_layer_cannot_say_is_left_to_an_engine(source: Entry, reason: str) -> None:
    tree = apply_layers([[Entry(path="a", type=EntryType.DIRECTORY)]])
    with pytest.raises(NotExpressible, match=reason):
        copy("/a", "/new", source=Tree({**tree, source.path: source}))


def test_a_name_that_means_deletion_is_no_destination() -> None:
    with pytest.raises(NotExpressible, match="deleted"):
        copy("/core/bin/tool", "/opt/.wh.tool")


def test_files_that_may_be_the_same_must_have_digests() -> None:
    unhashed = Tree({path: replace(entry, digest=None) for path, entry in BASE.items()})
    with pytest.raises(NotExpressible, match="not hashed"):
        copy("/same/same", "/etc/", base=unhashed)
    assert copy("/same/empty", "/etc/", base=unhashed) == {}
    assert "isfile" in copy("/core/bin/tool", "/isfile", base=unhashed)


@pytest.mark.parametrize(
    ("words", "options", "reason"),
    [
        (("/none", "/x"), {}, '"/none": not found'),
        (("/core/lib", "/isfile"), {}, "cannot copy to non-directory: /isfile"),
        (("/wild", "/opt/taken"), {}, "cannot replace to directory /opt/taken/a.txt with file"),
        (("/core/bin/tool", "/isfile/"), {}, "mkdir /isfile: not a directory"),
        (("/nothing/x*", "/x"), {}, "lstat /nothing: no such file or directory"),
        (("/[", "/x"), {}, "syntax error in pattern"),
        (("/core", "/x"), {"exclude": ("[",)}, "pattern"),
        (("/core", "/x"), {"chmod": "888"}, "octal string and between 0 and 07777"),
        (("/core", "/x"), {"chmod": "u~w"}, "not a mode"),
        (("/core/bin/tool", "/loop"), {}, "too many symbolic links"),
    ],
)
def test_errors_say_what_buildkit_says(words: tuple[str, ...], options: dict[str, Any], reason: str) -> None:
    with pytest.raises(AssemblyError) as caught:
        copy(*words, **options)
    assert reason in str(caught.value)
    assert not isinstance(caught.value, NotExpressible)


def test_a_second_copy_of_the_same_is_an_empty_layer() -> None:
    spec = CopySpec(sources=("/core",), destination="/opt/app")
    first = copy_entries(spec, SOURCE, BASE, epoch=1)
    assert copy_entries(spec, SOURCE, apply_layer(BASE, first), epoch=1) == ()


def test_a_working_directory_is_created_for_the_user() -> None:
    passwd = Passwd(passwd=b"app:x:5:6::/:\n")
    made = {entry.path: entry for entry in workdir_entries("/opt/new/dir", BASE, "app", passwd, 9)}
    assert [(path, made[path].uid, made[path].gid, made[path].mtime) for path in made] == [
        ("opt", 0, 0, 9),
        ("opt/new", 5, 6, 9),
        ("opt/new/dir", 5, 6, 9),
    ]
    assert workdir_entries("/dirlink", BASE, "app", passwd, 9) == ()
    assert workdir_entries("/", BASE, "", None, None) == ()
