"""What a base offers to programs, small enough to be kept with it: loaders, libraries, programs, and links to them."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct

from buildonce.assemble.entries import Entry, EntryType, prefixes
from buildonce.assemble.resolution import resolve_path
from buildonce.assemble.tree import Tree
from buildonce.elf.values import Abi, Elf, Runnable
from buildonce.errors import AssemblyError
from buildonce.fit.loader_files import (
    CACHE,
    is_loader_file,
    listed_directories,
    musl_architecture,
    parse_cache,
    parse_musl_path,
)
from buildonce.oci import Digest

FORMAT = 1
SCRIPT = -1
_LARGEST = 64 << 20


class Piece(Struct, frozen=True, array_like=True, omit_defaults=True):
    """A file that can be run or loaded: ``abi`` is an index into the offer's, or `SCRIPT`."""

    abi: int
    is_executable: bool = False
    soname: str = ""
    versions: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()


class Offer(Struct, frozen=True, omit_defaults=True):
    """The part of a base's file system that decides whether programs find what they need.

    ``files`` are by their real paths, ``links`` are the symbolic links that lead to them. ``cached`` has the paths that
    glibc's cache gives for a name, those in a loader's own directories left out. ``listed`` are the directories
    that ld.so.conf names, ``musl`` those of musl's lists by architecture.
    """

    abis: tuple[Abi, ...] = ()
    files: Mapping[str, Piece] = {}
    links: Mapping[str, str] = {}
    cached: Mapping[str, tuple[str, ...]] = {}
    listed: tuple[str, ...] = ()
    musl: Mapping[str, tuple[str, ...]] = {}
    format: int = FORMAT


def gather_offer(tree: Tree, runnables: Mapping[Digest, Runnable], kept: Mapping[Digest, bytes]) -> Offer:
    """Return what the file system of a base offers.

    ``runnables`` and ``kept`` are what was read of its files, by digest: see `Layer` in assemble/archive.py.
    """
    abis: dict[Abi, int] = {}
    files: dict[str, Piece] = {}
    for path, entry in tree.items():
        runnable = runnables.get(entry.digest) if entry.digest else None
        if runnable is not None and _is_text(path) and (piece := _piece(entry, runnable, abis)):
            files[path] = piece
    contents = {
        path: kept[one.digest]
        for path, one in tree.items()
        if one.digest is not None and one.digest in kept and is_loader_file(path)
    }
    return Offer(
        abis=tuple(abis),
        files=files,
        links=_links(tree, files),
        cached=_cached(tree, files, contents.get(CACHE)),
        listed=listed_directories(contents.get, contents),
        musl={name: parse_musl_path(text) for path, text in contents.items() if (name := musl_architecture(path))},
    )


def _piece(entry: Entry, runnable: Runnable, abis: dict[Abi, int]) -> Piece | None:
    is_executable = bool(entry.mode & 0o111)
    if not isinstance(runnable, Elf):
        return Piece(SCRIPT, is_executable) if is_executable else None
    if runnable.abi is None or runnable.problem:
        return None
    number = abis.setdefault(runnable.abi, len(abis))
    return Piece(number, is_executable, runnable.soname, runnable.versions, runnable.directories)


def _links(tree: Tree, files: Mapping[str, Piece]) -> Mapping[str, str]:
    """Return the symbolic links that lead to one of the files, or to a directory above one, or above such a link."""
    targets = dict(_link_targets(tree))
    wanted = {part for path in files for part in prefixes(path)} | {""}
    found: set[str] = set()
    while new := {path for path, target in targets.items() if target in wanted} - found:
        found |= new
        wanted |= {part for path in new for part in prefixes(path)}
    return {path: tree[path].link or "" for path in sorted(found)}


def _link_targets(tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield each symbolic link with the real path that it leads to."""
    for path, entry in tree.items():
        if entry.type is EntryType.SYMLINK and _is_text(f"{path}{entry.link}"):
            try:
                yield path, resolve_path(tree.lstat, f"/{path}")
            except AssemblyError:
                continue


def _cached(tree: Tree, files: Mapping[str, Piece], content: bytes | None) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    looked_into = {directory for piece in files.values() for directory in piece.directories}
    for name, path in parse_cache(content or b"") or ():
        if path.rpartition("/")[0] in looked_into and path.endswith(f"/{name}"):
            continue
        try:
            real = resolve_path(tree.lstat, path)
        except AssemblyError:
            continue
        if real in files:
            found[name] = (*found.get(name, ()), path)
    return found


def encode_offer(offer: Offer) -> str:
    """Return the offer as text, compressed."""
    return base64.b64encode(zlib.compress(msgspec.json.encode(offer), 6)).decode("ascii")


def decode_offer(text: str) -> Offer | None:
    """Return the offer that `encode_offer` wrote; None for one of another format, or something else."""
    try:
        content = zlib.decompressobj().decompress(base64.b64decode(text), _LARGEST)
        offer = msgspec.json.decode(content, type=Offer)
    except (ValueError, zlib.error, msgspec.DecodeError):
        return None
    return offer if offer.format == FORMAT else None


def _is_text(name: str) -> bool:
    """Say whether a name is UTF-8: others cannot be kept, and nothing asks for them."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
