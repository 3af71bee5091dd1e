from __future__ import annotations

import pytest

from buildonce.assemble.entries import Entry, EntryType, NotExpressible
from buildonce.assemble.resolution import NotADirectory
from buildonce.assemble.tree import Scope, Tree, apply_layer, apply_layers, resolve
from buildonce.errors import ArchiveError, AssemblyError
from buildonce.oci import digest_of


def file(path: str, text: str = "x", **facts: object) -> Entry:
    content = text.encode()
    return Entry(path=path, type=EntryType.FILE, size=len(content), digest=digest_of(content), **facts)  # type: ignore[arg-type]


def directory(path: str, mode: int = 0o755, uid: int = 0) -> Entry:
    return Entry(path=path, type=EntryType.DIRECTORY, mode=mode, uid=uid)


def link(path: str, target: str) -> Entry:
    return Entry(path=path, type=EntryType.SYMLINK, mode=0o777, link=target)


def second(path: str, first: str, **facts: object) -> Entry:
    return Entry(path=path, type=EntryType.FILE, hardlink=first, **facts)  # type: ignore[arg-type]


def whiteout(path: str) -> Entry:
    return Entry(path=path, type=EntryType.FILE)


BASE = apply_layers(
    [[directory("a", 0o700, 5), file("a/x"), directory("a/b"), file("a/b/y"), file("z"), link("l", "a")]]
)


def test_a_whiteout_hides_what_is_below_the_layer_and_no_more() -> None:
    assert sorted(apply_layer(BASE, [whiteout("a/.wh.b")])) == ["a", "a/x", "l", "z"]
    assert sorted(apply_layer(BASE, [whiteout("a/.wh.not-there")])) == sorted(BASE)


def test_a_file_can_take_the_place_of_what_its_layer_removes() -> None:
    tree = apply_layer(BASE, [whiteout("a/.wh.b"), file("a/b", "a file now")])
    assert sorted(tree) == ["a", "a/b", "a/x", "l", "z"]


@pytest.mark.parametrize(
    "layer",
    [
        [file("a/b/new"), whiteout("a/.wh.b")],
        [file("z"), whiteout(".wh.z")],
        [whiteout("a/.wh.b"), directory("a/b"), file("a/b/new")],
        [whiteout("a/.wh.b"), file("a/b/new")],
        [whiteout("a/.wh.b"), whiteout("a/.wh.b")],
        [file("l/new")],
        [whiteout("l/.wh.b")],
        [whiteout(".wh..wh..opq")],
    ],
    ids=[
        "below it before",
        "it before",
        "directory after",
        "below it after",
        "twice",
        "below a link",
        "through a link",
        "everything",
    ],
)
def test_what_engines_take_in_different_ways_is_left_to_them(layer: list[Entry]) -> None:
    with pytest.raises(NotExpressible):
        apply_layer(BASE, layer)


def test_a_whiteout_s_directory_is_found_through_links_of_its_layer() -> None:
    tree = apply_layer(BASE, [link("way", "a"), whiteout("way/.wh.b")])
    assert sorted(tree) == ["a", "a/x", "l", "way", "z"]


def test_a_device_that_overlays_take_for_a_whiteout_is_left_to_the_engine() -> None:
    with pytest.raises(NotExpressible):
        apply_layer(BASE, [Entry(path="z", type=EntryType.CHAR, device=(0, 0))])


def test_a_directory_below_an_opaque_one_is_made_like_the_one_before() -> None:
    below = apply_layers([[directory("a"), directory("a/b", 0o700, 5), file("a/b/y")]])
    tree = apply_layer(below, [whiteout("a/.wh..wh..opq"), file("a/b/new")])
    assert sorted(tree) == ["a", "a/b", "a/b/new"]
    assert (tree["a/b"].mode, tree["a/b"].uid) == (0o700, 5)


def test_an_opaque_directory_hides_what_was_in_it() -> None:
    tree = apply_layer(BASE, [directory("a", 0o755), file("a/new"), whiteout("a/.wh..wh..opq")])
    assert sorted(tree) == ["a", "a/new", "l", "z"]
    assert tree["a"].mode == 0o755


def test_other_names_of_aufs_mean_nothing() -> None:
    assert sorted(apply_layer(BASE, [whiteout(".wh..wh.plnk"), whiteout("a/.wh..wh.aufs")])) == sorted(BASE)


@pytest.mark.parametrize("name", [".wh.", ".wh...", ".wh.."])
def test_a_whiteout_of_no_name_is_refused(name: str) -> None:
    with pytest.raises(ArchiveError):
        apply_layer(BASE, [whiteout(f"a/{name}")])


def test_a_directory_over_a_directory_keeps_its_content() -> None:
    tree = apply_layer(BASE, [directory("a", 0o711, 9)])
    assert (tree["a"].mode, tree["a"].uid) == (0o711, 9)
    assert "a/b/y" in tree


def test_other_types_replace_what_was_there() -> None:
    assert sorted(apply_layer(BASE, [file("a", "now a file")])) == ["a", "l", "z"]
    assert apply_layer(BASE, [directory("z"), file("z/in")])["z"].is_directory
    assert apply_layer(BASE, [link("a", "z")]).keys() == {"a", "l", "z"}


def test_a_file_below_the_layer_gives_way_to_a_directory() -> None:
    assert apply_layer(BASE, [file("z/new")])["z"] == directory("z")


def test_a_link_in_the_layer_is_followed_inside_the_root() -> None:
    tree = apply_layers([[link("bin", "/usr/../usr/bin"), file("bin/x"), link("out", "../../.."), file("out/y")]])
    assert {path for path in tree if not tree[path].is_directory} == {"bin", "usr/bin/x", "out", "y"}


def test_missing_parents_are_those_of_root() -> None:
    tree = apply_layer(BASE, [file("a/new/deep/file")])
    assert tree["a/new/deep"] == directory("a/new/deep")
    assert tree["a"].mode == 0o700


def test_a_file_cannot_hold_files() -> None:
    with pytest.raises(ArchiveError, match="first as a file and then as a directory"):
        apply_layer(BASE, [file("f"), file("f/x")])
    with pytest.raises(ArchiveError, match="first as a file and then as a directory"):
        apply_layer(BASE, [file("a"), directory("a")])


def test_all_names_of_a_file_say_the_same() -> None:
    tree = apply_layers(
        [[file("m", "content"), second("a", "m", mode=0o600, uid=3, mtime=9), second("z", "a", mode=0o640)]]
    )
    assert {name: tree[name].hardlink for name in tree} == {"a": None, "m": "a", "z": "a"}
    assert {tree[name].digest for name in tree} == {digest_of(b"content")}
    assert {(tree[name].mode, tree[name].size) for name in tree} == {(0o640, 7)}


def test_a_name_of_a_file_of_another_layer_is_refused() -> None:
    with pytest.raises(ArchiveError, match="no file of its layer"):
        apply_layer(BASE, [second("new", "z")])


def test_what_a_layer_removes_of_its_own_is_gone() -> None:
    tree = apply_layers([[file("a/b/c"), file("a"), directory("d")]])
    assert sorted(tree) == ["a", "d"]
    with pytest.raises(ArchiveError, match="first as a file and then as a directory"):
        apply_layers([[file("a/b/c"), file("a"), file("a/b/c")]])


def test_names_stay_together_when_the_first_goes() -> None:
    tree = apply_layers([[file("a"), second("b", "a"), second("c", "a")], [file("a", "new")]])
    assert {name: tree[name].hardlink for name in tree} == {"a": None, "b": None, "c": "b"}
    alone = apply_layer(tree, [whiteout(".wh.b")])
    assert alone["c"].hardlink is None


def test_a_name_that_is_linked_again_joins_the_new_file() -> None:
    layer = [file("tool", "1"), second("tool-hl", "tool")]
    tree = apply_layers([layer, [file("tool", "2"), second("tool-hl", "tool")]])
    assert tree["tool-hl"].digest == digest_of(b"2")
    assert tree["tool-hl"].hardlink == "tool"


@pytest.mark.parametrize("target", ["not-there", "a", "new"])
def test_a_hard_link_needs_a_file(target: str) -> None:
    with pytest.raises(ArchiveError, match="hard link"):
        apply_layer(BASE, [second("new", target)])


def test_a_link_has_the_mode_that_linux_says() -> None:
    assert apply_layers([[Entry(path="l", type=EntryType.SYMLINK, mode=0o644, link="x")]])["l"].mode == 0o777


def test_the_walk_is_that_of_go() -> None:
    names = ["a", "a.b", "a/x", "a-b", "a0", "\u00e9", "z", "\udcff", "\U00010000"]
    tree = apply_layers([[directory("a"), *(file(name) for name in names if name != "a")]])
    assert [entry.path for entry in tree.walk()] == [
        "a",
        "a/x",
        "a-b",
        "a.b",
        "a0",
        "z",
        "\u00e9",
        "\U00010000",
        "\udcff",
    ]
    assert [entry.path for entry in tree.entries()] == [entry.path for entry in tree.walk()]


def test_a_tree_as_a_layer_gives_the_tree_again() -> None:
    tree = apply_layers([[file("b"), second("a", "b"), directory("d"), file("d/e"), link("l", "d")]])
    again = apply_layers([tree.entries()])
    assert dict(again) == dict(tree)
    assert [entry.hardlink for entry in tree.entries()] == [None, "a", None, None, None]


LINKS = apply_layers(
    [
        [
            directory("usr"),
            directory("usr/bin"),
            link("bin", "usr/bin"),
            link("absolute", "/usr/bin"),
            link("up", "../../../usr"),
            link("dangling", "/not/there"),
            link("relative-dangling", "gone"),
            link("loop", "loop"),
            link("one", "two/x"),
            link("two", "one/x"),
            link("usr/self", "."),
            link("usr/bin/back", "../../bin/x"),
            file("file"),
        ]
    ]
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ""),
        ("", ""),
        ("/usr/bin/x", "usr/bin/x"),
        ("bin/x", "usr/bin/x"),
        ("/bin/../file", "usr/file"),
        ("/bin/", "usr/bin"),
        ("/absolute/x/y", "usr/bin/x/y"),
        ("/up/bin", "usr/bin"),
        ("/dangling/x", "not/there/x"),
        ("/relative-dangling", "gone"),
        ("/usr/self/self/bin", "usr/bin"),
        ("/bin/back", "usr/bin/x"),
        ("/../../x", "x"),
        ("//usr//./bin", "usr/bin"),
    ],
)
def test_paths_are_resolved_inside_the_root(path: str, expected: str) -> None:
    assert resolve(LINKS, path) == expected


@pytest.mark.parametrize("path", ["/loop", "/one/y", "/a" * 3000])
def test_endless_paths_are_refused(path: str) -> None:
    with pytest.raises(AssemblyError):
        resolve(LINKS, path)


def test_nothing_is_below_a_file() -> None:
    with pytest.raises(NotADirectory):
        resolve(LINKS, "/file/x/y")


def test_a_part_of_a_tree_says_what_it_does_not_know() -> None:
    entries = {"opt": directory("opt"), "opt/app": directory("opt/app")}
    part = Tree(entries, scope=Scope(roots=frozenset({"opt/app"}), absent=frozenset({"new"})))
    assert part.lstat("opt/app/x/y") is None
    assert part.lstat("new/deep") is None
    with pytest.raises(NotExpressible, match="not recorded"):
        part.lstat("opt/other")
    later = apply_layer(part, [file("opt/other")])
    assert later.lstat("opt/other") is not None
    with pytest.raises(NotExpressible):
        later.lstat("etc")
