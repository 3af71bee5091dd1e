"""A selection that is remembered is the one that would be made again."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildonce.context import Context, Memory, Words, ahead, digest_selection, known_selections, listings, trust
from buildonce.dockerfile.ignore import compile_ignore
from buildonce.errors import ContextError

TICK = 0.03
IGNORE = "**/*.log\nout*\n!out*/kept\n"


@pytest.fixture(autouse=True)
def short_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system of these tests ticks at least every 10 ms, and their selections are small."""
    monkeypatch.setattr(trust, "MARGIN", 15_000_000)
    monkeypatch.setattr(known_selections, "_FEW", 0)


def make(root: Path) -> None:
    for name in ("src/a", "src/deep/b", "src/deep/er/c", "docs/d.md", "out/dropped", "out/kept", "e", "x.log"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "src/link").symlink_to("deep")
    (root / "to-src").symlink_to("src")
    time.sleep(TICK)


def ask(root: Path, words: Words, *, ignore: str = IGNORE, folder: Path | None = None) -> tuple[str, bool]:
    """Return the digest of a selection as a new process finds it, and whether it was remembered."""
    context = Context(root=root, ignore=compile_ignore(ignore), ignore_path=root / ".dockerignore")
    digest, selected = digest_selection(context, words, Memory(root, folder))
    return digest, selected is None


def words(*sources: str, exclude: tuple[str, ...] = (), parents: bool = False) -> Words:
    return Words(sources=sources, exclude=exclude, parents=parents)


WORDS = {
    "all": words("."),
    "directory": words("src"),
    "file": words("src/a"),
    "through a link": words("to-src/deep"),
    "wildcard": words("*/*.md", "s*c"),
    "nothing": words("*.none"),
    "exclude": words("src", exclude=("**/c", "!deep/er")),
    "parents": words("src/./deep/*", "docs", parents=True),
    "taken back": words("out", "e"),
}


@pytest.mark.parametrize("asked", WORDS.values(), ids=WORDS)
def test_what_has_not_changed_is_remembered(tmp_path: Path, asked: Words) -> None:
    root, folder = tmp_path / "context", tmp_path / "memory"
    make(root)
    first, is_known = ask(root, asked, folder=folder)
    assert not is_known
    assert ask(root, asked, folder=folder) == (first, True)
    assert ask(root, asked) == (first, False)


def replace_by_link(root: Path) -> None:
    (root / "src/deep").rename(root / "out/deep")
    (root / "src/deep").symlink_to("../out/deep")


def swap(root: Path) -> None:
    (root / "src/a").rename(root / "t")
    (root / "src/deep/b").rename(root / "src/a")
    (root / "t").rename(root / "src/deep/b")


def retarget(root: Path) -> None:
    (root / "src/link").unlink()
    (root / "src/link").symlink_to("a")


def appear(root: Path) -> None:
    (root / "out2").mkdir()
    (root / "out2/kept").write_text("")


def become_directory(root: Path) -> None:
    (root / "e").unlink()
    (root / "e").mkdir()


RELEVANT: dict[str, tuple[Callable[[Path], object], str]] = {
    "content": (lambda root: (root / "src/deep/er/c").write_text("SRC/deep/er/c"), "."),
    "mode": (lambda root: (root / "src/a").chmod(0o755), "."),
    "mode of a directory": (lambda root: (root / "src/deep").chmod(0o700), "src"),
    "new file": (lambda root: (root / "src/deep/new").write_text(""), "."),
    "new empty directory": (lambda root: (root / "src/deep/new").mkdir(), "."),
    "removed file": (lambda root: (root / "src/a").unlink(), "src"),
    "renamed file": (lambda root: (root / "src/a").rename(root / "src/A"), "src"),
    "two files swapped": (swap, "."),
    "link target": (retarget, "src"),
    "directory to link": (replace_by_link, "src"),
    "file to directory": (become_directory, "."),
    "new ignored directory with a file that is taken back": (appear, "."),
    "file that was taken back": (lambda root: (root / "out/kept").write_text("new"), "out"),
}


@pytest.mark.parametrize("name", RELEVANT)
def test_what_counts_is_seen(tmp_path: Path, name: str) -> None:
    change, source = RELEVANT[name]
    root, folder = tmp_path / "context", tmp_path / "memory"
    make(root)
    before, _ = ask(root, words(source), folder=folder)
    change(root)
    after, is_known = ask(root, words(source), folder=folder)
    assert not is_known
    assert after == ask(root, words(source))[0] != before


IRRELEVANT: dict[str, tuple[Callable[[Path], object], str]] = {
    "ignored file": (lambda root: (root / "x.log").write_text("new"), "."),
    "new ignored file": (lambda root: (root / "src/deep/y.log").write_text("new"), "."),
    "new file in an ignored directory": (lambda root: (root / "out/new").write_text("new"), "."),
    "another file beside": (lambda root: (root / "e").write_text("new"), "src"),
    "a new file beside": (lambda root: (root / "new").write_text("new"), "src"),
    "another directory": (lambda root: (root / "docs/d.md").unlink(), "to-src/deep"),
    "time of a directory": (lambda root: os.utime(root / "src/deep", (1, 1)), "."),
}


@pytest.mark.parametrize("name", IRRELEVANT)
def test_what_does_not_count_costs_nothing(tmp_path: Path, name: str) -> None:
    change, source = IRRELEVANT[name]
    root, folder = tmp_path / "context", tmp_path / "memory"
    make(root)
    before, _ = ask(root, words(source), folder=folder)
    change(root)
    assert ask(root, words(source), folder=folder) == (before, True)
    assert ask(root, words(source)) == (before, False)


def test_other_words_and_other_rules_are_other_selections(tmp_path: Path) -> None:
    root, folder = tmp_path / "context", tmp_path / "memory"
    make(root)
    asked = [
        words("src"),
        words("src", exclude=("a",)),
        words("src", parents=True),
        words("src", "e"),
        words("e", "src"),
    ]
    for one in asked:
        assert ask(root, one, folder=folder) == (ask(root, one)[0], False)
    for ignore in ("", "src/a", "!src/a", "src/a\n!src/a", "src/a\nsrc/a"):
        assert ask(root, words("src"), ignore=ignore, folder=folder) == (
            ask(root, words("src"), ignore=ignore)[0],
            False,
        )


def test_a_selection_with_a_file_that_was_just_written_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "MARGIN", 2_000_000_000)
    root, folder = tmp_path / "context", tmp_path / "memory"
    make(root)
    for _ in range(2):
        assert not ask(root, words("."), folder=folder)[1]


def test_a_selection_of_a_file_that_is_open_for_writing_is_not_remembered(tmp_path: Path) -> None:
    root, folder = tmp_path / "context", tmp_path / "memory"
    make(root)
    with (root / "src/a").open("r+b"):
        for _ in range(2):
            assert not ask(root, words("."), folder=folder)[1]
    assert not ask(root, words("."), folder=folder)[1]
    assert ask(root, words("."), folder=folder)[1]


def test_errors_are_not_remembered(tmp_path: Path) -> None:
    root, folder = tmp_path / "context", tmp_path / "memory"
    make(root)
    ask(root, words("e"), folder=folder)
    (root / "e").unlink()
    for _ in range(2):
        with pytest.raises(ContextError):
            ask(root, words("e"), folder=folder)
    (root / "e").write_text("again")
    assert ask(root, words("e"), folder=folder) == ask(root, words("e"))


@pytest.mark.parametrize(
    ("executable", "directories"), [(sys.executable, 7), ("/bin/false", 3), ("/nonexistent", 3), ("", 7)]
)
def test_directories_are_scanned_by_several_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executable: str, directories: int
) -> None:
    root, folder = tmp_path / "context", tmp_path / "memory"
    make(root)
    (root / "docs" / os.fsdecode(b"\xff")).write_text("ignored")
    ignore = f"{IGNORE}docs/?\n"
    name = "\n\u00e9"
    (root / "docs" / name).mkdir()
    (root / "docs" / name / name).write_text("x")
    os.utime(root / "docs/d.md", ns=(-1, -1))
    time.sleep(TICK)
    before, _ = ask(root, words("."), ignore=ignore, folder=folder)
    scanned: list[int] = []

    def scan_many(places: tuple[str, ...]) -> object:
        found = original(places)
        scanned.append(len(found))
        return found

    original = ahead.scan_many
    monkeypatch.setattr(ahead, "scan_many", scan_many)
    monkeypatch.setattr(listings, "_MANY", 0)
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert ask(root, words("."), ignore=ignore, folder=folder) == (before, True)
    assert scanned == [directories]


CHANGES = ("write", "remove", "rename", "mkdir", "link", "chmod", "wait", "log")
PATHS = st.sampled_from(["a", "b.log", "d", "d/a", "d/e", "d/e/f.log", "d/e/g", "l"])
RULES = st.lists(st.sampled_from(["*.log", "d", "!d/e", "d/*", "!d/a", "**/g", "l", "!**/*.log"]), max_size=3)
ASKED = st.sampled_from(
    [
        words("."),
        words("d"),
        words("d/*"),
        words("*"),
        words("l"),
        words("l/e", "*a"),
        words(".", exclude=("**/a", "d/e", "!d/e/g")),
        words("d/e", "*/a", parents=True),
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RULES, st.lists(st.tuples(st.sampled_from(CHANGES), PATHS, PATHS), max_size=20), st.lists(ASKED, min_size=1))
def test_what_is_remembered_never_differs_from_what_is_there(
    tmp_path_factory: pytest.TempPathFactory,
    rules: list[str],
    changes: list[tuple[str, str, str]],
    asked: list[Words],
) -> None:
    folder = tmp_path_factory.mktemp("random")
    root = folder / "context"
    (root / "d/e").mkdir(parents=True)
    for number, (kind, path, other) in enumerate(changes):
        apply(root, kind, path, other)
        one = asked[number % len(asked)]
        ignore = "\n".join(rules)
        assert outcome(root, one, ignore, folder / "memory") == outcome(root, one, ignore, None), (kind, path, other)


def outcome(root: Path, asked: Words, ignore: str, folder: Path | None) -> str:
    try:
        return ask(root, asked, ignore=ignore, folder=folder)[0]
    except ContextError as error:
        return str(error)


def apply(root: Path, kind: str, path: str, other: str) -> None:
    """Change the tree, if it can be changed so."""
    place, second = root / path, root / other
    try:
        match kind:
            case "write":
                place.write_text(other)
            case "remove":
                place.unlink()
            case "rename":
                place.rename(second)
            case "mkdir":
                place.mkdir()
            case "link":
                place.symlink_to(other)
            case "chmod":
                place.chmod(0o700 + len(other))
            case "log":
                (place / "new.log").write_text(other)
            case _:
                time.sleep(TICK)
    except OSError:
        return
