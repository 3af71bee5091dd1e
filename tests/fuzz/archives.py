"""The fuzzing of layer archives: any bytes, and any bytes whose headers have the checksums that they should have."""

from __future__ import annotations

import io
from contextlib import suppress

from buildonce.assemble.archive import scan_layer
from buildonce.assemble.entries import Entry, EntryType, parent_of
from buildonce.assemble.headers import BLOCK, header_padding, parse_header
from buildonce.assemble.tarformat import END, header_bytes
from buildonce.assemble.tree import Tree, apply_layers
from buildonce.errors import ArchiveError, AssemblyError, Error

_BELOW = (
    Entry(path="a", type=EntryType.DIRECTORY, mode=0o700, uid=1),
    Entry(path="a/b", type=EntryType.FILE, size=0),
    Entry(path="a/c", type=EntryType.FILE, hardlink="a/b"),
    Entry(path="l", type=EntryType.SYMLINK, link="a"),
)


def fuzz_archive(content: bytes) -> None:
    """Read an archive and apply it: as it is, and with headers whose checksums are right."""
    for archive in (content, sealed(content)):
        with suppress(Error):
            entries = scan_layer(io.BytesIO(archive)).entries
            for entry in entries:
                check_path(entry.path)
                check_path(entry.hardlink or entry.path)
            tree = apply_layers([_BELOW, entries])
            check_tree(tree)
            check_tree(apply_layers([entries]))


def sealed(content: bytes) -> bytes:
    """Return an archive with the right checksum in each header, up to the first that is none."""
    parts = []
    at = 0
    while at < len(content):
        block = content[at : at + BLOCK].ljust(BLOCK, b"\0")
        block = block[:148] + b" " * 8 + block[156:]
        block = block[:148] + b"%06o\0 " % sum(block) + block[156:]
        parts.append(block)
        at += BLOCK
        try:
            header = parse_header(block)
        except ArchiveError:
            break
        size = min(header.size, len(content))
        data = content[at : at + size] if header.type in (b"0", b"\0", b"x", b"g", b"L", b"K") else b""
        parts.append(data.ljust(len(data) + header_padding(len(data)), b"\0"))
        at += len(data)
    return b"".join((*parts, END))


def check_path(path: str) -> None:
    """A path stays inside, whatever the archive calls it."""
    parts = path.split("/")
    assert path
    assert "\0" not in path
    assert not {"", ".", ".."} & set(parts)


def check_tree(tree: Tree) -> None:
    """A file system hangs together, and is the same once it is written as one layer and read again."""
    for path, entry in tree.items():
        assert entry.path == path
        check_path(path)
        parent = parent_of(path)
        assert not parent or tree[parent].is_directory
        if entry.hardlink:
            first = tree[entry.hardlink]
            assert first.hardlink is None
            assert (first.mode, first.uid, first.digest, first.size) == (
                entry.mode,
                entry.uid,
                entry.digest,
                entry.size,
            )
    assert [entry.path for entry in tree.walk()] == [entry.path for entry in tree.entries()]
    if any("/.wh." in f"/{path}" for path in tree):
        return  # such a directory can come about, but a layer cannot say so
    with suppress(AssemblyError):  # a device number that no archive holds
        again = apply_layers([scan_layer(io.BytesIO(written(tree))).entries])
        assert {path: facts(entry) for path, entry in again.items()} == {p: facts(e) for p, e in tree.items()}


def written(tree: Tree) -> bytes:
    """Return the file system as one archive, its files full of zeros."""
    parts = []
    for entry in tree.entries():
        parts.append(header_bytes(entry))
        size = entry.size if entry.type is EntryType.FILE and not entry.hardlink else 0
        parts.append(bytes(size + header_padding(size)))
    return b"".join((*parts, END))


def facts(entry: Entry) -> tuple[object, ...]:
    """Return all that an archive without contents says of an entry."""
    return (entry.type, entry.mode, entry.uid, entry.gid, entry.mtime, entry.link, entry.hardlink, entry.device)
