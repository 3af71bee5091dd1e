from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildonce.assemble.copying import CopySpec, copy_entries, destination_path, workdir_entries
from buildonce.assemble.entries import Entry, EntryType, NotExpressible
from buildonce.assemble.facts import Facts, gather_facts, read_users, wants_user_file
from buildonce.assemble.owners import Passwd, resolve_owner
from buildonce.assemble.tree import Tree, apply_layer, apply_layers
from buildonce.errors import AssemblyError
from buildonce.oci import digest_of
from tests.assemble.archives import read_tar
from tests.assemble.rich import base_tar, source_tar

_NAMES = ("a", "b", "c", "bin", "x.txt")
_PATHS = st.lists(st.sampled_from(_NAMES), min_size=1, max_size=4).map("/".join)
_MODES = st.sampled_from((0o755, 0o700, 0o2775, 0o644, 0o1777))
_IDS = st.sampled_from((0, 5, 1000))
_TARGETS = st.one_of(_PATHS, _PATHS.map(lambda path: f"/{path}"), _PATHS.map(lambda path: f"../{path}"), st.just("."))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from((EntryType.DIRECTORY, EntryType.DIRECTORY, EntryType.FILE, EntryType.SYMLINK)))
    text = draw(st.sampled_from((b"", b"one", b"two")))
    return Entry(
        path=draw(_PATHS),
        type=kind,
        mode=0o777 if kind is EntryType.SYMLINK else draw(_MODES),
        uid=draw(_IDS),
        gid=draw(_IDS),
        mtime=draw(st.sampled_from((1, 2))),
        size=len(text) if kind is EntryType.FILE else 0,
        digest=digest_of(text) if kind is EntryType.FILE else None,
        link=draw(_TARGETS) if kind is EntryType.SYMLINK else None,
        capability=draw(st.sampled_from((None, None, b"cap"))),
    )


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    tree = Tree()
    for entry in draw(st.lists(entries(), max_size=12)):
        with suppress(NotExpressible):  # a file below a link of a lower layer
            tree = apply_layer(tree, [entry])
    return tree


_DESTINATIONS = st.builds(
    lambda head, path, tail: head + path + tail,
    st.sampled_from(("", "/")),
    _PATHS,
    st.sampled_from(("", "/", "/.", "/..")),
)
_SOURCES = st.lists(
    st.one_of(_PATHS, st.sampled_from(("/", "*", "a/*", "?", "[a-b]", "*/x.txt", "b*/*"))), min_size=1, max_size=3
).map(tuple)

specs = st.builds(
    CopySpec,
    sources=_SOURCES,
    destination=_DESTINATIONS,
    workdir=st.sampled_from(("/", "/a", "/a/b")),
    chown=st.sampled_from((None, None, "5", "5:6")),
    chmod=st.sampled_from((None, None, "0750", "go-w")),
    link=st.sampled_from((False, False, False, True)),
    parents=st.sampled_from((False, False, True)),
    exclude=st.sampled_from(((), (), ("*.txt",), ("a/**", "!a/b"))),
)


def outcome(spec: CopySpec, source: Tree, base: Tree) -> tuple[Entry, ...] | str:
    try:
        return copy_entries(spec, source, base, epoch=None)
    except AssemblyError as error:
        return f"{type(error).__name__}: {error}"


@settings(max_examples=250, deadline=None)
@given(specs, trees(), trees())
def test_facts_give_the_same_layer_as_the_whole_base(spec: CopySpec, source: Tree, base: Tree) -> None:
    facts = gather_facts(base, [destination_path(spec)[0]])
    stored = msgspec.json.decode(msgspec.json.encode(facts), type=Facts)
    assert stored == facts
    assert outcome(spec, source, stored.tree()) == outcome(spec, source, base)


@settings(max_examples=100, deadline=None)
@given(specs, specs, trees(), trees())
def test_facts_serve_one_copy_after_another(first: CopySpec, second: CopySpec, source: Tree, base: Tree) -> None:
    known = gather_facts(base, [destination_path(spec)[0] for spec in (first, second)]).tree()
    layer = outcome(first, source, base)
    if isinstance(layer, str):
        return
    expected = outcome(second, source, apply_layer(base, layer))
    actual = outcome(second, source, apply_layer(known, layer))
    assert actual == expected or "was not recorded" in str(actual)


def test_a_file_that_a_link_leads_through_is_a_fact() -> None:
    base = Tree(
        {
            "a": Entry(path="a", type=EntryType.SYMLINK, mode=0o777, link="/bin"),
            "bin": Entry(path="bin", type=EntryType.FILE, mode=0o755),
        }
    )
    known = gather_facts(base, ["/a/b"]).tree()
    with pytest.raises(AssemblyError, match="`/bin` is not a directory"):
        workdir_entries("/a/b", known, None, None, 1)


@settings(deadline=None)
@given(_PATHS, trees())
def test_facts_serve_a_working_directory(path: str, base: Tree) -> None:
    def made(tree: Tree) -> tuple[Entry, ...] | str:
        try:
            return workdir_entries(f"/{path}", tree, "5:6", None, 1)
        except AssemblyError as error:
            return str(error)

    assert made(gather_facts(base, [f"/{path}"]).tree()) == made(base)


@settings(deadline=None)
@given(specs, trees(), trees())
def test_a_copy_changes_nothing_but_what_is_in_its_layer(spec: CopySpec, source: Tree, base: Tree) -> None:
    layer = outcome(spec, source, base)
    if isinstance(layer, str) or spec.is_linked:
        return
    after = apply_layer(base, layer)
    changed = {entry.path for entry in layer}
    assert {path: entry for path, entry in after.items() if path not in changed} == {
        path: entry for path, entry in base.items() if path not in changed
    }
    for entry in layer:
        assert (after[entry.path].mode, after[entry.path].uid) == (entry.mode, entry.uid)
    assert list(layer) == [entry for entry in layer if entry.path]
    assert len(changed) == len(layer)


def test_facts_hold_the_way_and_what_is_below() -> None:
    base = apply_layers([read_tar(base_tar())])
    facts = gather_facts(base, ["/dirlink/sub", "/bin/tool", "/dangling/x", "/isfile/x"])
    assert [fact.path for fact in facts.files] == [
        "bin",
        "dangling",
        "dirlink",
        "isfile",
        "opt",
        "opt/app",
        "opt/app/sub",
        "usr",
        "usr/bin",
    ]
    assert facts.roots == ("opt/app/sub",)
    assert facts.absent == ("nonexist", "nonexist/x", "nonexist/x/x", "usr/bin/tool")


def test_what_was_not_asked_for_is_not_known() -> None:
    tree = gather_facts(apply_layers([read_tar(base_tar())]), ["/opt/app"]).tree()
    with pytest.raises(NotExpressible, match="not recorded"):
        copy_entries(
            CopySpec(sources=("core",), destination="/usr/bin"), apply_layers([read_tar(source_tar())]), tree, epoch=0
        )


def test_facts_cannot_hold_names_that_are_not_utf_8() -> None:
    with pytest.raises(NotExpressible, match="UTF-8"):
        gather_facts(Tree({"\udcff": Entry(path="\udcff", type=EntryType.FILE)}), ["/"])


def test_users_are_found_through_links() -> None:
    passwd, group = b"app:x:5:6::/:\n", b"staff:x:50:\n"
    layer = [
        Entry(path="etc", type=EntryType.SYMLINK, link="usr/etc"),
        Entry(path="usr/etc/passwd", type=EntryType.FILE, digest=digest_of(passwd)),
        Entry(path="usr/etc/group", type=EntryType.SYMLINK, link="/var/group"),
        Entry(path="var/group", type=EntryType.FILE, digest=digest_of(group)),
    ]
    kept = {digest_of(passwd): passwd, digest_of(group): group}
    users = read_users(apply_layers([layer]), kept)
    assert (users.passwd, users.group, users.problems) == (passwd, group, {})
    facts = gather_facts(apply_layers([layer]), ["/x"], users.passwd, users.group, problems=users.problems)
    stored = msgspec.json.decode(msgspec.json.encode(facts), type=Facts)
    assert resolve_owner("app:staff", stored.users()).gid == 50


def test_users_that_cannot_be_read_are_a_problem_only_when_they_are_needed() -> None:
    tree = apply_layers(
        [[Entry(path="etc/passwd", type=EntryType.DIRECTORY), Entry(path="etc/group", type=EntryType.FILE)]]
    )
    users = read_users(tree, {})
    assert sorted(users.problems) == ["group", "passwd"]
    assert resolve_owner("5:6", users).uid == 5
    with pytest.raises(AssemblyError, match="not a regular file"):
        resolve_owner("app", users)


def test_an_image_without_users_has_none() -> None:
    assert read_users(Tree(), {}) == Passwd()
    # Engines do not agree on a file in the place of the directory: one finds nothing, another fails.
    below_file = apply_layers([[Entry(path="etc", type=EntryType.FILE)]])
    assert sorted(read_users(below_file, {}).problems) == ["group", "passwd"]


def test_user_files_are_kept_wherever_they_are() -> None:
    assert [wants_user_file(path) for path in ("etc/passwd", "usr/lib/group", "etc/shadow")] == [True, True, False]
