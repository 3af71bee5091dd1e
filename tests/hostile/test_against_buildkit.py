"""Odd bases that are not refused have the file system that BuildKit unpacks of them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from buildonce.assemble.entries import EntryType
from buildonce.assemble.tree import Tree
from buildonce.errors import Error
from tests.assemble.archives import directory, make_tar, member, symlink
from tests.assemble.buildkit import assert_host
from tests.assemble.test_random_archives import members
from tests.hostile.images import BadImage, layer
from tests.hostile.kinds import BASE, KINDS, Kind
from tests.hostile.trial import read_layout

pytestmark = pytest.mark.host

EXAMPLES = int(os.environ.get("BUILDONCE_EXAMPLES") or 100)
"""How many archives at random are tried; of most of them, both sides have something to refuse."""

HANDLED = [kind for kind in KINDS if kind.entry == BASE and not kind.refused]
_TYPES = {tarfile.REGTYPE: EntryType.FILE, tarfile.LNKTYPE: EntryType.FILE, tarfile.SYMTYPE: EntryType.SYMLINK}

Node = tuple[EntryType, int, int, int, str]


@pytest.fixture(scope="module", autouse=True)
def host() -> None:
    assert_host()


@pytest.mark.parametrize("kind", HANDLED, ids=[kind.name for kind in HANDLED])
def test_an_odd_base_is_unpacked_as_buildkit_does(kind: Kind, tmp_path: Path) -> None:
    kind.write(tmp_path / "made")
    assert _nodes(asyncio.run(read_layout(tmp_path / "made"))) == _unpacked(tmp_path)


BELOW = make_tar(
    [
        directory("a", 0o750, (7, 7)),
        member("a/b", content=b"below"),
        directory("a/d"),
        member("a/d/e"),
        symlink("l", "a"),
        directory("b"),
        member("b/z"),
    ]
)


@settings(deadline=None, derandomize=True, database=None, max_examples=EXAMPLES, phases=[Phase.generate])
@given(st.lists(members(), min_size=1, max_size=7))
def test_members_at_random_are_refused_or_unpacked_as_buildkit_does(some: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        BadImage(layers=[layer(BELOW), layer(make_tar(some))]).write(Path(folder) / "made")
        try:
            ours = asyncio.run(read_layout(Path(folder) / "made"))
        except Error:
            return
        assert _nodes(ours) == _unpacked(Path(folder))


def _nodes(tree: Tree) -> dict[str, Node]:
    return {
        path: (entry.type, entry.mode, entry.uid, entry.gid, str(entry.digest or entry.link or entry.device or ""))
        for path, entry in tree.items()
    }


def _unpacked(folder: Path) -> dict[str, Node]:
    """Return the file system that BuildKit gives a stage on the image."""
    index = json.loads((folder / "made" / "index.json").read_text())
    (folder / "Dockerfile").write_text("FROM base\n")
    address = f"oci-layout://{folder / 'made'}@{index['manifests'][0]['digest']}"
    options = ("--quiet", "--provenance=false", "--platform=linux/amd64", f"--build-context=base={address}")
    command = ("docker", "buildx", "build", *options, f"--output=type=tar,dest={folder / 'out.tar'}", str(folder))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Node] = {}
    with tarfile.open(folder / "out.tar") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() or member.islnk() else None
            what = f"sha256:{hashlib.sha256(content.read()).hexdigest()}" if content else member.linkname
            if member.isdev() and not member.isfifo():
                what = str((member.devmajor, member.devminor))
            kind = _TYPES.get(member.type) or EntryType(member.type.decode())
            found[member.name.rstrip("/")] = (kind, member.mode, member.uid, member.gid, what)
    return found
