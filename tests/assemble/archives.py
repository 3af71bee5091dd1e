"""Tar archives for tests, written by Python's tarfile: independent of what is tested."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from buildonce.assemble.archive import Want, scan_layer
from buildonce.assemble.entries import Entry
from buildonce.assemble.facts import read_users, wants_user_file
from buildonce.assemble.owners import Passwd
from buildonce.assemble.tree import Tree, apply_layers

BASE_TIME = 1_577_836_800
SOURCE_TIME = 1_546_300_800
FILE_TIME = 1_612_325_106
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
CAPABILITY_V3 = bytes.fromhex("0100000300040000000000000000000000000000e8030000")
"""A capability that counts in the user namespace whose root is the user 1000."""


def member(
    name: str,
    kind: bytes = tarfile.REGTYPE,
    *,
    mode: int | None = None,
    owner: tuple[int, int] = (0, 0),
    mtime: int = FILE_TIME,
    link: str = "",
    content: bytes = b"",
    device: tuple[int, int] = (0, 0),
    capability: bytes | None = None,
) -> tuple[tarfile.TarInfo, bytes]:
    """Return one entry of an archive with its data."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = (0o755 if kind == tarfile.DIRTYPE else 0o644) if mode is None else mode
    info.uid, info.gid = owner
    info.mtime = mtime
    info.linkname = link
    info.size = len(content)
    info.devmajor, info.devminor = device
    if capability is not None:
        info.pax_headers = {"SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape")}
    return info, content


def directory(
    name: str, mode: int = 0o755, owner: tuple[int, int] = (0, 0), mtime: int = SOURCE_TIME
) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, tarfile.DIRTYPE, mode=mode, owner=owner, mtime=mtime)


def symlink(name: str, target: str, owner: tuple[int, int] = (0, 0)) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, tarfile.SYMTYPE, mode=0o777, link=target, owner=owner)


def make_tar(members: Iterable[tuple[tarfile.TarInfo, bytes]], *, format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002
    """Return an archive with these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def read_tar(content: bytes) -> tuple[Entry, ...]:
    """Return the entries of an archive."""
    return scan_layer(io.BytesIO(content)).entries


def read_trees(path: Path) -> tuple[Tree, Passwd]:
    """Return the file system in an archive, and its users; files can be read."""
    with path.open("rb") as file:
        layer = scan_layer(file, Want(contents_path=path, keep=wants_user_file))
    tree = apply_layers([layer.entries])
    return tree, read_users(tree, layer.kept)
