from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from buildonce import context as contexts
from buildonce.context import Context, Selected, SourceMissing, SpecialFile, Words, open_context, selection_digest
from buildonce.dockerfile.ignore import IgnoreRules, compile_ignore
from buildonce.errors import ContextError
from buildonce.oci import digest_of


def make(root: Path, *, ignore: str = "", **files: str) -> Context:
    """Write files (names with `__` for `/`) and return the context."""
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return Context(root=root, ignore=compile_ignore(ignore), ignore_path=root / ".dockerignore")


def select(
    context: Context, sources: Sequence[str], *, exclude: Sequence[str] = (), parents: bool = False
) -> tuple[Selected, ...]:
    return contexts.select(context, Words(sources=tuple(sources), exclude=tuple(exclude), parents=parents))


def paths(selected: tuple[Selected, ...]) -> list[str]:
    return [one.path for one in selected]


def test_a_file_is_selected_with_its_content(tmp_path: Path) -> None:
    context = make(tmp_path, d__a="hello")
    (tmp_path / "d/a").chmod(0o640)
    (one,) = select(context, ["./d//a"])
    assert (one.source, one.path, one.relative, one.type, one.mode, one.size, one.digest) == (
        "d/a",
        "d/a",
        "",
        "file",
        0o640,
        5,
        digest_of(b"hello"),
    )


def test_a_directory_is_selected_with_all_below_in_byte_order(tmp_path: Path) -> None:
    context = make(tmp_path, d__b="", d__B="", d__c__x="", **{"d__c-": ""})
    selected = select(context, ["d/"])
    assert [(one.path, one.relative, one.type) for one in selected] == [
        ("d", "", "dir"),
        ("d/B", "B", "file"),
        ("d/b", "b", "file"),
        ("d/c", "c", "dir"),
        ("d/c/x", "c/x", "file"),
        ("d/c-", "c-", "file"),
    ]


@pytest.mark.parametrize("source", [".", "/", "", "../..", "./"])
def test_the_whole_context(tmp_path: Path, source: str) -> None:
    assert paths(select(make(tmp_path, a="", b__c=""), [source])) == [".", "a", "b", "b/c"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("*.txt", ["a.txt", "b.txt"]),
        ("d/*", ["d/c.txt", "d/e", "d/e/f.txt"]),
        ("d*/e", ["d/e", "d/e/f.txt"]),
        ("*/*/*.txt", ["d/e/f.txt"]),
        ("[ab].txt", ["a.txt", "b.txt"]),
        ("no*", []),
        ("link/*.txt", ["d/c.txt"]),
    ],
)
def test_wildcards(tmp_path: Path, source: str, expected: list[str]) -> None:
    context = make(tmp_path, **{"a.txt": "", "b.txt": "", "d__c.txt": "", "d__e__f.txt": ""})
    (tmp_path / "link").symlink_to("d")
    assert paths(select(context, [source])) == expected


@pytest.mark.parametrize(
    ("source", "is_uncertain"), [("*/*/l", True), ("d/*/l", True), ("d/*/*", True), ("d/e/l", False), ("d/e/*", False)]
)
def test_a_link_below_a_wildcard_is_uncertain(tmp_path: Path, source: str, is_uncertain: bool) -> None:
    context = make(tmp_path, d__real__x="")
    (tmp_path / "d/e").mkdir()
    (tmp_path / "d/e/l").symlink_to("../real")
    selected = {one.path: one.is_uncertain for one in select(context, [source])}
    assert selected["d/real"] == is_uncertain


def test_a_backslash_without_wildcard_is_a_character(tmp_path: Path) -> None:
    context = make(tmp_path, **{"a\\*": "x"})
    assert paths(select(context, ["a\\*"])) == ["a\\*"]


def test_links_inside_a_directory_are_selected_as_links(tmp_path: Path) -> None:
    context = make(tmp_path, d__a="")
    (tmp_path / "d/l").symlink_to("../outside//x")
    link = select(context, ["d"])[2]
    assert (link.type, link.target, link.mode, link.digest) == ("symlink", "../outside//x", 0o777, None)


def test_links_in_a_source_are_followed_inside_the_context(tmp_path: Path) -> None:
    context = make(tmp_path, real__a="x")
    (tmp_path / "dir").symlink_to("/real")
    (tmp_path / "up").symlink_to("../../real/a")
    (tmp_path / "real/self").symlink_to(".")
    (one,) = select(context, ["dir/a"])
    assert (one.source, one.path) == ("dir/a", "real/a")
    (one,) = select(context, ["up"])
    assert (one.source, one.path, one.type) == ("up", "real/a", "file")
    assert paths(select(context, ["dir"]))[0] == "real"
    assert paths(select(context, ["real/self/self/a"])) == ["real/a"]


def test_a_link_that_leads_out_finds_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    root = tmp_path / "context"
    root.mkdir()
    (root / "out").symlink_to("../secret")
    (root / "loop").symlink_to("loop")
    for source in ("out", "loop", "out/x", "../secret"):
        with pytest.raises(SourceMissing):
            select(Context(root=root, ignore=IgnoreRules()), [source])


def test_ignored_files_are_not_there(tmp_path: Path) -> None:
    context = make(
        tmp_path, ignore="*.log\nd\n!d/keep", **{"a.log": "", "b": "", "d__keep": "", "d__drop": "", "e__f": ""}
    )
    assert paths(select(context, ["."])) == [".", "b", "d", "d/keep", "e", "e/f"]
    assert paths(select(context, ["d"])) == ["d", "d/keep"]
    assert paths(select(context, ["*.log"])) == []


def test_a_link_to_an_ignored_file_leads_nowhere(tmp_path: Path) -> None:
    context = make(tmp_path, ignore="a", a="")
    (tmp_path / "l").symlink_to("a")
    with pytest.raises(SourceMissing):
        select(context, ["l"])


def test_an_ignored_source_is_explained(tmp_path: Path) -> None:
    context = make(tmp_path, ignore="*.log", **{"a.log": ""})
    with pytest.raises(SourceMissing) as caught:
        select(context, ["./a.log"])
    assert caught.value.source == "./a.log"
    assert caught.value.message == "`./a.log` is not in the build context: `*.log` in .dockerignore excludes it"
    assert caught.value.help == "add `!a.log` to .dockerignore"


@pytest.mark.parametrize(
    ("source", "help_text"),
    [
        ("src/mian.rs", "did you mean `src/main.rs`?"),
        ("scr/main.rs", "did you mean `src`?"),
        ("zzz", "sources are relative to"),
    ],
)
def test_a_missing_source_gets_a_suggestion(tmp_path: Path, source: str, help_text: str) -> None:
    with pytest.raises(SourceMissing) as caught:
        select(make(tmp_path, **{"src__main.rs": ""}), [source])
    assert (caught.value.help or "").startswith(help_text)


def test_special_files_are_refused_unless_ignored(tmp_path: Path) -> None:
    context = make(tmp_path, a="")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SpecialFile, match="named pipe") as caught:
        select(context, ["."])
    assert caught.value.path == "pipe"
    assert paths(select(make(tmp_path, ignore="pipe"), ["."])) == [".", "a"]
    assert paths(select(context, ["."], exclude=["pipe"])) == [".", "a"]


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("sock")
        with pytest.raises(SpecialFile, match="socket"):
            select(make(tmp_path), ["sock"])


def test_exclude_applies_below_the_source_only(tmp_path: Path) -> None:
    context = make(tmp_path, **{"d__a.md": "", "d__b": "", "d__e__c.md": "", "d__e__keep.md": ""})
    assert paths(select(context, ["d"], exclude=["**/*.md", "!e/keep.md"])) == ["d", "d/b", "d/e", "d/e/keep.md"]
    assert paths(select(context, ["d/*.md"], exclude=["*.md"])) == ["d/a.md"]


def test_parents_keep_the_leading_directories(tmp_path: Path) -> None:
    context = make(tmp_path, a__b__c="", a__b__d="", a__x="")
    selected = select(context, ["a/b/c"], parents=True)
    assert [(one.path, one.relative) for one in selected] == [("a", "a"), ("a/b", "a/b"), ("a/b/c", "a/b/c")]
    selected = select(context, ["a/./b/*"], parents=True)
    assert [(one.path, one.relative) for one in selected] == [("a/b", "b"), ("a/b/c", "b/c"), ("a/b/d", "b/d")]
    assert select(context, ["no/*"], parents=True) == ()
    with pytest.raises(SourceMissing):
        select(context, ["a/./no"], parents=True)


def test_hard_links_are_known_within_a_source(tmp_path: Path) -> None:
    context = make(tmp_path, d__a="x")
    os.link(tmp_path / "d/a", tmp_path / "d/b")
    assert [one.hardlink for one in select(context, ["d"])] == [None, None, "d/a"]
    assert [one.hardlink for one in select(context, ["d/a", "d/b"])] == [None, None]


def test_digest_covers_content_mode_links_and_names_but_no_times(tmp_path: Path) -> None:
    context = make(tmp_path, d__a="x", d__b="y")
    before = selection_digest(select(context, ["d"]))
    os.utime(tmp_path / "d/a", (1, 1))
    (tmp_path / "d").chmod(0o700)
    assert selection_digest(select(context, ["d"])) == before
    seen = {before}
    (tmp_path / "d/a").chmod(0o755)
    seen.add(selection_digest(select(context, ["d"])))
    (tmp_path / "d/a").write_text("z")
    seen.add(selection_digest(select(context, ["d"])))
    (tmp_path / "d/b").rename(tmp_path / "d/c")
    seen.add(selection_digest(select(context, ["d"])))
    (tmp_path / "d/l").symlink_to("a")
    seen.add(selection_digest(select(context, ["d"])))
    (tmp_path / "d/l").unlink()
    (tmp_path / "d/l").symlink_to("b")
    seen.add(selection_digest(select(context, ["d"])))
    assert len(seen) == 6


def test_names_that_are_not_utf8_are_refused_unless_ignored(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).write_text("x")
    with pytest.raises(ContextError, match=r"`\\xff` in the build context is not UTF-8") as caught:
        select(make(tmp_path, a=""), ["."])
    assert caught.value.code == "CONTEXT-NAME"
    assert paths(select(make(tmp_path, ignore="?"), ["."])) == ["."]
    assert paths(select(make(tmp_path, ab=""), ["ab"])) == ["ab"]


def test_the_ignore_file_of_the_dockerfile_wins(tmp_path: Path) -> None:
    make(tmp_path, **{".dockerignore": "a", "d__app.Dockerfile": "FROM x", "d__app.Dockerfile.dockerignore": "b"})
    own = open_context(tmp_path, tmp_path / "d/app.Dockerfile")
    assert (own.ignore.excludes("a"), own.ignore.excludes("b")) == (False, True)
    general = open_context(tmp_path, None)
    assert (general.ignore.excludes("a"), general.ignore_path) == (True, tmp_path / ".dockerignore")


def test_what_is_missing_or_malformed_is_said(tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="not a directory"):
        open_context(tmp_path / "no", None)
    with pytest.raises(ContextError, match="no Dockerfile"):
        open_context(tmp_path, tmp_path / "Dockerfile")
    (tmp_path / ".dockerignore").write_text("[")
    with pytest.raises(ContextError, match=r"\.dockerignore"):
        open_context(tmp_path, None)
    with pytest.raises(ContextError, match="malformed"):
        select(make(tmp_path, a=""), ["[*"])
    with pytest.raises(ContextError, match="exclude"):
        select(make(tmp_path, a=""), ["."], exclude=["["])


def test_context_without_ignore_file_has_everything(tmp_path: Path) -> None:
    make(tmp_path, a="")
    assert paths(select(open_context(tmp_path, None), ["."])) == [".", "a"]
