"""Context files as the tree of a COPY."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from buildonce.assemble.copying import CopySpec, copy_entries
from buildonce.assemble.entries import EntryType
from buildonce.assemble.tree import Tree
from buildonce.context import Words, open_context, select
from buildonce.run.context_trees import context_tree


def copied(root: Path, *sources: str, destination: str = "/to/", epoch: int = 1000) -> dict[str, tuple[str, int, int]]:
    """Return path, type, mode and time of what a COPY of context files makes on an empty base."""
    selected = select(open_context(root, None), Words(sources=sources))
    spec = CopySpec(sources=sources, destination=destination, from_context=True)
    entries = copy_entries(spec, context_tree(selected, root, epoch), Tree(), epoch=None)
    return {entry.path: (entry.type.name, entry.mode, entry.mtime) for entry in entries}


@pytest.mark.parametrize("time", [5, 1000, 4_000_000_000])
def test_a_file_keeps_its_mode_and_not_the_time_of_its_checkout(tmp_path: Path, time: int) -> None:
    (tmp_path / "x").write_text("x")
    (tmp_path / "x").chmod(0o750)
    os.utime(tmp_path / "x", (time, time))
    assert copied(tmp_path, "x")["to/x"] == ("FILE", 0o750, 1000)


def test_directories_on_the_way_are_found(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/b/c/x").write_text("x")
    assert set(copied(tmp_path, "a/b")) == {"to", "to/c", "to/c/x"}
    assert set(copied(tmp_path, "a/*/c/x")) == {"to", "to/x"}


def test_a_source_that_is_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/x").write_text("x")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").symlink_to("real/x")
    assert set(copied(tmp_path, "link")) == {"to", "to/x"}
    assert copied(tmp_path, "file")["to/file"][0] == EntryType.FILE.name


def test_links_inside_stay_links(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/link").symlink_to("/etc/passwd")
    assert copied(tmp_path, "d")["to/link"][0] == "SYMLINK"


def test_the_whole_context_can_be_copied(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    assert set(copied(tmp_path, ".")) == {"to", "to/x"}
