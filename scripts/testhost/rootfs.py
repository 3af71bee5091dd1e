"""File trees as values, assembled from packages without running anything that is in them."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

# The time of what no package brings: fixed, so that the same packages give the same image.
EPOCH = 1_672_531_200

MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

UNWANTED = (
    "usr/share/bug",
    "usr/share/doc",
    "usr/share/doc-base",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/menu",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A directory, a file with its bytes, or a symbolic link with its target."""

    kind: Literal["directory", "file", "link"]
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: int = EPOCH
    data: bytes = b""
    target: str = ""


Tree = dict[str, Node]
"""Paths without a leading slash, each to its node."""


def directory(mode: int = 0o755) -> Node:
    """Return a directory of root's."""
    return Node(kind="directory", mode=mode)


def text(content: str, mode: int = 0o644, *, gid: int = 0) -> Node:
    """Return a file of root's."""
    return Node(kind="file", mode=mode, gid=gid, data=content.encode())


def link(target: str) -> Node:
    """Return a symbolic link."""
    return Node(kind="link", mode=0o777, target=target)


def read_nodes(archive: tarfile.TarFile) -> Iterator[tuple[str, Node]]:
    """Yield what a package holds, hard links as files of their own; device nodes and the like do not occur there."""
    seen: Tree = {}
    for member in archive:
        path = str(PurePosixPath(member.name))
        if path == ".":
            continue
        node = seen[str(PurePosixPath(member.linkname))] if member.islnk() else _node(archive, member)
        seen[path] = node
        yield path, node


def _node(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Node:
    base = Node(kind="directory", mode=member.mode, uid=member.uid, gid=member.gid, mtime=int(member.mtime))
    if member.isdir():
        return base
    if member.issym():
        return replace(base, kind="link", target=member.linkname)
    content = archive.extractfile(member)
    if content is None:
        raise ValueError(f"{member.name} is neither a file, a directory nor a link")
    return replace(base, kind="file", data=content.read())


def merged_usr(path: str) -> str:
    """Return where a path of the root directory is when /bin, /lib and /sbin are links into /usr."""
    first, _, _ = path.partition("/")
    return f"usr/{path}" if first in MERGED else path


def is_wanted(path: str) -> bool:
    """Whether a slim image keeps the path."""
    return not any(path == unwanted or path.startswith(unwanted + "/") for unwanted in UNWANTED)


def overlay(tree: Tree, path: str, node: Node) -> None:
    """Put a node into the tree; a directory that is there already keeps its mode and owner."""
    known = tree.get(path)
    if known is None or not (known.kind == node.kind == "directory"):
        tree[path] = node


def with_parents(tree: Mapping[str, Node]) -> Tree:
    """Return the tree with every directory that its paths imply, sorted, so that parents come first."""
    complete = dict(tree)
    for path in tree:
        for parent in PurePosixPath(path).parents:
            if str(parent) != ".":
                complete.setdefault(str(parent), directory())
    return dict(sorted(complete.items()))


def difference(tree: Mapping[str, Node], base: Mapping[str, Node]) -> Tree:
    """Return what `tree` adds to `base` or has different."""
    return {path: node for path, node in tree.items() if base.get(path) != node}


def tar_chunks(tree: Mapping[str, Node]) -> Iterator[bytes]:
    """Yield a complete tree as a tar archive, in its order."""
    for path, node in tree.items():
        yield _member(path, node).tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        yield node.data
        yield bytes(-len(node.data) % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(path: str, node: Node) -> tarfile.TarInfo:
    member = tarfile.TarInfo(f"{path}/" if node.kind == "directory" else path)
    member.mode, member.uid, member.gid, member.mtime = node.mode, node.uid, node.gid, node.mtime
    member.type = {"directory": tarfile.DIRTYPE, "file": tarfile.REGTYPE, "link": tarfile.SYMTYPE}[node.kind]
    member.size = len(node.data)
    member.linkname = node.target
    return member
