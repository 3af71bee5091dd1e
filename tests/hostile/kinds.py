"""What hostile or broken bases and cores there are, and what is to become of each."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from backports import zstd

from buildonce.oci import DOCKER_LAYER_GZIP, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD
from tests.assemble.archives import directory, make_tar, member, symlink
from tests.hostile.archives import (
    END,
    GOOD,
    TYPES,
    deep_directories,
    extension,
    gzipped,
    header,
    huge_file,
    long_links,
    many_links,
    many_members,
    padded,
    record,
    repeated,
    sparse_by_pax,
    through_links,
    truncated,
    two_forms,
    with_gzip_name,
    zeros,
    zstandard,
)
from tests.hostile.images import BadImage, BadLayer, Document, layer

BASE, EXPORT, BUILT = "base", "exported core", "built core"
ENGINE = "build app linux/amd64 needs one: .*"
"""How the reason begins where an image is left to the engine, which is not there."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One of them: ``write`` puts it into a folder that is not there yet.

    ``refused`` is a pattern that the reason for refusing it matches; where there is none it is handled, and has
    ``paths`` (and those of `GOOD`, for a base).
    """

    name: str
    entry: str
    write: Callable[[Path], None]
    refused: str = ""
    paths: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Its name in a list."""
        return f"{self.entry}: {self.name}"


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> Callable[[], bytes]:
    return lambda: make_tar(members)


def _raw(*blocks: bytes) -> Callable[[], bytes]:
    return lambda: b"".join((*blocks, END))


def _hard(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, tarfile.LNKTYPE, link=target)


_FILE = member("f", content=b"content")
_LOST = "which is no file"
_OUT = "leads out of it"
_NO_MANIFEST = "has no image manifest of that digest"
_MANY = "more files than are read into memory"

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "a name that leads out": (_tar(member("../x")), _OUT),
    "a name that leads out further in": (_tar(member("a/../../x")), _OUT),
    "a hard link to what is outside": (_tar(_hard("x", "../../etc/passwd")), _OUT),
    "a hard link to nothing": (_tar(_hard("x", "not/there")), _LOST),
    "a hard link to itself": (_tar(_FILE, _hard("f", "f")), _LOST),
    "hard links in a circle": (_tar(_hard("x", "y"), _hard("y", "x")), _LOST),
    "a hard link to a directory": (_tar(directory("d"), _hard("x", "d")), _LOST),
    "links in a circle, written through": (_tar(symlink("a", "b"), symlink("b", "a"), member("a/x")), "too many"),
    "a link to itself, written through": (_tar(symlink("a", "a"), member("a/x")), "too many"),
    "links that make a deep directory": (lambda: long_links(60), "more than 300 deep|too long a path"),
    "names through links, very many": (lambda: through_links(1000, 80), "too often"),
    "a file below a file": (_tar(_FILE, member("f/x")), "first as a file and then as a directory"),
    "a file that becomes a directory": (_tar(_FILE, directory("f")), "first as a file and then as a directory"),
    "a link without a target": (_tar(member("x", tarfile.SYMTYPE)), "without a target"),
    "a file in the place of the root": (_tar(member("./")), "replaces the root|a slash at its end"),
    "a link in the place of the root": (_raw(header(b"/", b"2", link=b"/tmp")), "replaces the root"),
    "an old sparse file": (_raw(header(kind=b"S", size=1 << 30)), "type b'S'"),
    "a sparse file": (sparse_by_pax, "sparse"),
    "a contiguous file": (_raw(header(kind=TYPES["contiguous"])), "no image has"),
    "a volume": (_raw(header(kind=TYPES["volume"])), "no image has"),
    "an unknown type": (_raw(header(kind=TYPES["unknown"])), "no image has"),
    "a negative size": (_raw(header(size=b"\xff" * 12)), "less than no bytes"),
    "a size of a few exabytes": (_raw(header(size=b"\x80\0\0\0\x7f" + b"\xff" * 7)), "is said to have"),
    "a size that is no number": (_raw(header(size=b"0000000000x\0")), "malformed number"),
    "a size beyond 64 bits": (_raw(header(size=b"\x80" + b"\xff" * 11)), "too large a number"),
    "a PAX size below zero": (_raw(extension(record(b"size", b"-1")), header()), "malformed number"),
    "an owner beyond 32 bits": (_raw(header(uid=b"\x80\0\0\1\0\0\0\0")), "which no file can have"),
    "an owner below zero": (_raw(header(uid=b"\xff" * 8)), "which no file can have"),
    "a mode that is no number": (_raw(header(mode=b"rw-r--r-")), "malformed number"),
    "an extended header of a gigabyte": (_raw(header(kind=b"x", size=1 << 30)), "an extension header of"),
    "a long name of a gigabyte": (_raw(header(kind=b"L", size=1 << 30)), "an extension header of"),
    "an extended header of very many records": (
        lambda: extension(b"".join(record(b"k%d" % n, b"") for n in range(2000))) + header() + END,
        "more than 1000 records",
    ),
    "extended headers one after another": (
        lambda: extension(record(b"path", b"a")) * 50 + header() + END, "contradict each other",
    ),
    "a long name twice": (_raw(extension(b"a", b"L"), extension(b"b", b"L"), header()), "contradict each other"),
    "a long name and a PAX path": (
        _raw(extension(b"a", b"L"), extension(record(b"path", b"b")), header()), "contradict each other",
    ),
    "global records before the file that others belong to": (
        _raw(extension(record(b"path", b"b")), extension(record(b"comment", b"c"), b"g"), header()),
        "contradict each other",
    ),
    "an extended header and not even an end": (lambda: extension(record(b"path", b"a")), "ends after an extension"),
    "a PAX record that is cut off": (_raw(extension(b"99 path=x\n"), header()), "cut off"),
    "a PAX record without a length": (_raw(extension(b"path=x\n"), header()), "malformed PAX record"),
    "a zero byte in a PAX path": (_raw(extension(record(b"path", b"a\0b")), header()), "zero byte"),
    "a zero byte in a PAX link": (_raw(extension(record(b"linkpath", b"a\0b")), header(kind=b"2")), "zero byte"),
    "a name that two readers read as two": (two_forms, "malformed number"),
    "a name of five thousand bytes": (_tar(member("a/" * 2500 + "x")), "no file system has"),
    "a part of a name of 256 bytes": (_tar(member("x" * 256)), "no file system has"),
    "directories 400 deep": (_tar(member("/".join("d" * 400))), "no file system has"),
    "no name": (_raw(header(b"")), "without a name"),
    "a wrong checksum": (_raw(header(checksum=b"0000000\0")), "the checksum of a header is wrong"),
    "a checksum that is none": (_raw(header(checksum=b"zzzzzz\0 ")), "malformed number"),
    "no archive": (lambda: b"this is no archive " * 500, "the checksum of a header is wrong|malformed"),
    "an archive that ends in a header": (lambda: header()[:300], "truncated"),
    "an archive that ends in a file": (lambda: truncated(1 << 20), "truncated"),
    "an archive that ends in the zeros after a file": (lambda: header(size=5) + b"hello", "truncated"),
    "a header after an empty one": (lambda: header() + bytes(512) + header() + END, "goes on after an empty header"),
    "a device by which overlays mark what is removed": (
        _tar(member("etc/passwd", tarfile.CHRTYPE)), f"{ENGINE}.*mark what is removed|mark what is removed",
    ),
    "an attribute of overlays": (
        _raw(extension(record(b"SCHILY.xattr.trusted.overlay.redirect", b"/root")), header(b"d/", b"5")),
        "show other files",
    ),
    "very many entries": (lambda: b"".join(repeated(header(), 12_000)) + END, _MANY),
    "very many entries without a name of their own": (
        lambda: b"".join(repeated(header(b"./", b"5"), 45_000)) + END, f"{_MANY}|comes to more than",
    ),
    "very many global headers": (
        lambda: b"".join(repeated(extension(record(b"a", b"b"), b"g"), 45_000)) + END, f"{_MANY}|comes to more than",
    ),
    "very many directories that have no entries": (lambda: b"".join(deep_directories(200, 200)), _MANY),
}  # fmt: skip
"""Archives that are refused wherever they come from, and why."""

HANDLED: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "absolute names": (_tar(directory("/etc"), member("/etc/x"), member("//y")), ("etc", "etc/x", "y")),
    "a link out, written through": (
        _tar(symlink("l", "../../../tmp"), member("l/x")), ("l", "tmp", "tmp/x"),
    ),
    "an absolute link, written through": (_tar(symlink("l", "/tmp"), member("l/x")), ("l", "tmp", "tmp/x")),
    "a link that is replaced by a file": (_tar(symlink("l", "/etc/passwd"), member("l", content=b"new")), ("l",)),
    "names twice": (_tar(_FILE, member("f", content=b"again"), _FILE), ("f",)),
    "a directory that becomes a file": (_tar(directory("d"), member("d/x"), member("d")), ("d",)),
    "very many names of one file": (lambda: many_links(4000), ("file", *(f"name-{n}" for n in range(4000)))),
    "devices and pipes": (
        _tar(member("sda", tarfile.BLKTYPE, device=(8, 0)), member("mem", tarfile.CHRTYPE, device=(1, 1)),
             member("pipe", tarfile.FIFOTYPE)),
        ("mem", "pipe", "sda"),
    ),
    "names that are not UTF-8": (_raw(header(b"caf\xe9"), header(b"\xff\xfe/\x80")), ("caf\udce9", "\udcff\udcfe",
                                                                                    "\udcff\udcfe/\udc80")),
    "names with control characters": (_raw(header(b"a\n\x1b[31m")), ("a\n\x1b[31m",)),
    "what follows the end": (lambda: make_tar([_FILE]) + b"garbage" * 1000, ("f",)),
    "an end without its zeros": (lambda: header(b"f", size=1) + padded(b"x"), ("f",)),
    "times before 1970 and beyond 2262": (
        _raw(header(b"early", mtime=b"\xff" * 12), extension(record(b"mtime", b"99999999999999")), header(b"late")),
        ("early", "late"),
    ),
    "programs that are none": (
        _tar(*(member(f"e{n}", mode=0o755, content=b"\x7fELF\x02\x01\x01" + bytes(9) + os.urandom(4000))
               for n in range(20))),
        tuple(f"e{n}" for n in range(20)),
    ),
    "an extended header of nothing": (_raw(extension(record(b"path", b"a"))), ()),
    "nothing": (lambda: b"", ()),
    "nothing but zeros": (lambda: b"".join(zeros(1 << 20)), ()),
}  # fmt: skip
"""Archives that are taken as containerd takes them, and the names that are there afterwards."""

WHITEOUTS: dict[str, tuple[Callable[[], bytes], str, tuple[str, ...]]] = {
    "a whiteout of nothing": (_tar(member("usr/.wh.")), "no valid whiteout", ()),
    "a whiteout of its directory": (_tar(member("usr/.wh..")), "no valid whiteout", ()),
    "a whiteout of the directory above": (_tar(member("usr/.wh...")), "no valid whiteout", ()),
    "a whiteout of what the layer has": (_tar(member("new"), member(".wh.new")), f"{ENGINE}.*and then removes it", ()),
    "a whiteout and then a file": (_tar(member("etc/.wh.passwd"), member("etc/passwd")), "", ()),
    "a whiteout and then a directory": (
        _tar(member("usr/.wh.local"), directory("usr/local")), f"{ENGINE}.*do not agree", (),
    ),
    "a whiteout and then a file below": (
        _tar(member("usr/.wh.local"), member("usr/local/x")), f"{ENGINE}.*do not agree", (),
    ),
    "a whiteout through a link": (_tar(symlink("l", "usr"), member("l/.wh.absent")), "", ("l",)),
    "a whiteout of what is not there": (_tar(member(".wh.absent"), member("deep/.wh.absent")), "", ("deep",)),
    "files below a whiteout": (_tar(member(".wh.d/x")), "", (".wh.d", ".wh.d/x")),
    "an opaque directory and its files": (_tar(member("new/x"), member("new/.wh..wh..opq")), "", ("new", "new/x")),
    "an opaque directory before its files": (
        _tar(member("new/.wh..wh..opq"), member("new/sub/x")), "", ("new", "new/sub", "new/sub/x"),
    ),
}  # fmt: skip
"""Archives with names that mean that something is deleted: why a base is refused, or what it has. A core is refused."""


def _bombs() -> Iterator[tuple[str, Callable[[], BadLayer], str]]:
    size = 100 << 20
    yield "a bomb of gzip", lambda: BadLayer(blob=gzipped(huge_file(size))), "comes to more than"
    yield (
        "a bomb of Zstandard",
        lambda: BadLayer(blob=zstandard(huge_file(size)), media_type=OCI_LAYER_ZSTD),
        "comes to more than",
    )
    yield "a bomb behind an archive", lambda: BadLayer(blob=gzipped([GOOD, *zeros(size)])), "comes to more than"
    yield (
        "a bomb in a bomb",
        lambda: BadLayer(blob=gzipped([gzipped(huge_file(size))])),
        "the checksum of a header is wrong|malformed",
    )
    passwords = b"".join(header(b"d%d/passwd" % n, size=1 << 20) + bytes(1 << 20) for n in range(12)) + END
    yield "very many files of users", lambda: layer(passwords), ENGINE + _MANY


def _broken_layers() -> Iterator[tuple[str, Callable[[], BadLayer], str]]:
    cut = gzip.compress(GOOD)[:-30]
    yield "gzip that is cut", lambda: BadLayer(blob=cut), "gzip stream is broken"
    yield "gzip that is damaged", lambda: BadLayer(blob=_damaged(gzip.compress(GOOD))), "gzip stream is broken"
    yield "gzip with a long name of its own", lambda: BadLayer(blob=with_gzip_name(20 << 20)), "gzip stream is broken"
    yield "garbage behind gzip", lambda: BadLayer(blob=gzip.compress(GOOD) + b"garbage!"), "gzip stream is broken"
    yield (
        "Zstandard that is cut",
        lambda: BadLayer(blob=zstd.compress(GOOD)[:-5], media_type=OCI_LAYER_ZSTD),
        "zstd stream is broken",
    )
    yield (
        "Zstandard that wants two gigabytes",
        lambda: BadLayer(blob=_wide(), media_type=OCI_LAYER_ZSTD),
        "zstd stream is broken",
    )
    yield "a plain layer that is gzip", lambda: layer(GOOD, media_type=OCI_LAYER), "truncated|checksum|malformed"
    wrong = "sha256:" + "0" * 64
    yield "a layer that is not there", lambda: layer(GOOD, says={"digest": wrong}), "does not hold"
    yield "a layer with less than its size", lambda: layer(GOOD, says={"size": 1 << 50}), "bytes instead of"
    yield "a layer with more than its size", lambda: layer(GOOD, says={"size": 100}), "more than the 100 bytes"
    path = "sha256:../../../../../../etc/passwd"
    yield "a digest that is a path", lambda: layer(GOOD, says={"digest": path}), "is not a digest"
    yield "a size below zero", lambda: layer(GOOD, says={"size": -1}), "is said to have -1 bytes"


def _odd_layers() -> Iterator[tuple[str, Callable[[], BadLayer]]]:
    yield "gzip that is said to be Zstandard", lambda: layer(GOOD, media_type=OCI_LAYER_ZSTD)
    yield "Zstandard that is said to be gzip", lambda: layer(GOOD, zstd.compress)
    yield "a plain layer that is said to be gzip", lambda: layer(GOOD, bytes)
    yield "Docker's gzip that is plain", lambda: layer(GOOD, bytes, media_type=DOCKER_LAYER_GZIP)
    yield "very many members of gzip", lambda: BadLayer(blob=many_members(50_000), archive=GOOD)


_GOOD_LAYER = layer(GOOD)


def _with(**changes: object) -> Callable[[Document], object]:
    return lambda document: {**document, **changes}


def _diff_ids(*ids: str) -> Callable[[Document], object]:
    return _with(rootfs={"type": "layers", "diff_ids": list(ids)})


def _whole(**document: object) -> Callable[[Document], object]:
    return lambda _: dict(document)


def _history(count: int) -> list[Document]:
    return [{"created_by": "x"} for _ in range(count)]


def _images() -> Iterator[tuple[str, BadImage, str]]:
    many = [_GOOD_LAYER] * 1200
    schema1 = _whole(schemaVersion=1, name="x", tag="y", fsLayers=[{"blobSum": "sha256:" + "0" * 64}], history=[])
    yield "a wrong diff ID", BadImage(layers=[_GOOD_LAYER], config=_diff_ids("sha256:" + "1" * 64)), "has the diff ID"
    yield "no diff ID", BadImage(layers=[_GOOD_LAYER], config=_diff_ids()), "an image of 1 layers has 0 diff IDs"
    yield "more than a thousand layers", BadImage(layers=many), f"{ENGINE}1200 layers"
    yield "schema 1", BadImage(manifest=schema1), _NO_MANIFEST
    yield (
        "an index that is called a manifest",
        BadImage(manifest=_whole(schemaVersion=2, manifests=[])),
        "has no image for",
    )
    yield "a manifest and an index at once", BadImage(manifest=_with(manifests=[])), _NO_MANIFEST
    yield "a manifest without a config", BadImage(manifest=_whole(schemaVersion=2, layers=[])), "not an image manifest"
    yield "layers that are a number", BadImage(manifest=_with(layers=7)), "not an image manifest"
    yield "a manifest that is nested very deep", BadImage(manifest=lambda _: b"[" * 200_000), _NO_MANIFEST
    yield "a config that is no JSON", BadImage(layers=[_GOOD_LAYER], config=lambda _: b"{"), "cannot be read"
    yield "a config that is nested very deep", BadImage(config=lambda _: b'{"a":' * 200_000), "cannot be read"
    yield "a config of other types", BadImage(config=_with(config={"Env": "PATH=/bin"})), "cannot be read"
    yield "a history of numbers", BadImage(config=_with(history=[1])), "cannot be read"
    yield "a config that is said to be large", BadImage(manifest=_large_config), "more than any image needs"
    for what, media_type in (
        ("a foreign layer", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        ("a layer that is not distributed", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
        ("an encrypted layer", f"{OCI_LAYER_GZIP}+encrypted"),
        ("a layer of an unknown type", "application/vnd.example.layer"),
        ("an index as a layer", OCI_INDEX),
    ):
        yield what, BadImage(layers=[layer(GOOD, media_type=media_type)]), f"{ENGINE}a layer of the type"


def _large_config(manifest: Document) -> object:
    return {**manifest, "config": {**manifest["config"], "size": 1 << 40}}


def _damaged(content: bytes) -> bytes:
    return content[:30] + b"damage" + content[36:]


def _wide() -> bytes:
    """Return a frame that says that its window has two gigabytes (RFC 8878, section 3.1.1.1.2)."""
    return b"\x28\xb5\x2f\xfd\x00" + bytes([(31 - 10) << 3]) + b"\x01\x00\x00"


def _base(archive: Callable[[], bytes]) -> Callable[[Path], None]:
    return lambda folder: BadImage(layers=[_GOOD_LAYER, layer(archive())]).write(folder)


def _export(archive: Callable[[], bytes]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        folder.mkdir()
        (folder / "files.tar").write_bytes(archive())

    return write


def _one_layer(make: Callable[[], BadLayer]) -> Callable[[Path], None]:
    return lambda folder: BadImage(layers=[make()]).write(folder)


def _tampered(tamper: Callable[[Path], None]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        BadImage(layers=[layer(GOOD, bytes, media_type=OCI_LAYER)]).write(folder)
        tamper(folder)

    return write


def _layer_file(folder: Path) -> Path:
    return max((folder / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)


def _replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _replace_by_link(path: Path) -> None:
    away = path.with_name(f"{path.name}-away")
    path.rename(away)
    path.symlink_to(away.absolute())


def _engine_folders() -> Iterator[tuple[str, str, Callable[[Path], None], str]]:
    """Yield folders that an engine may have left: the entry, what is in it, and why it is refused."""
    yield BUILT, "a layer that is a link", _tampered(lambda f: _replace_by_link(_layer_file(f))), "wrote no layer"
    yield BUILT, "a layer that is a pipe", _tampered(lambda f: _replace_by_pipe(_layer_file(f))), "wrote no layer"
    yield BUILT, "an index that is a link", _tampered(lambda f: _replace_by_link(f / "index.json")), "wrote no image"
    yield BUILT, "an index that is a pipe", _tampered(lambda f: _replace_by_pipe(f / "index.json")), "wrote no image"
    yield BUILT, "a folder that is a link", _tampered(lambda f: _replace_by_link(f / "blobs" / "sha256")), "cannot read"
    yield BUILT, "an index of nothing", _tampered(_empty_index), "wrote no image"

    def archive(replace: Callable[[Path], None]) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            _export(lambda: GOOD)(folder)
            replace(folder / "files.tar")

        return write

    yield EXPORT, "an archive that is a link", archive(_replace_by_link), "wrote no archive"
    yield EXPORT, "an archive that is a pipe", archive(_replace_by_pipe), "wrote no archive"
    yield EXPORT, "nothing at all", archive(Path.unlink), "wrote no archive"


def _empty_index(folder: Path) -> None:
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}))


def _kinds() -> Iterator[Kind]:
    for name, (archive, reason) in REFUSED.items():
        yield Kind(name=name, entry=BASE, write=_base(archive), refused=reason.replace(_MANY, ENGINE + _MANY))
        yield Kind(name=name, entry=EXPORT, write=_export(archive), refused=reason)
    for name, (archive, paths) in HANDLED.items():
        yield Kind(name=name, entry=BASE, write=_base(archive), paths=paths)
        yield Kind(name=name, entry=EXPORT, write=_export(archive), paths=paths)
    for name, (archive, reason, paths) in WHITEOUTS.items():
        yield Kind(name=name, entry=BASE, write=_base(archive), refused=reason, paths=paths)
        yield Kind(name=name, entry=EXPORT, write=_export(archive), refused="cannot be taken from a stage")
    for name, make, reason in (*_bombs(), *_broken_layers()):
        yield Kind(name=name, entry=BASE, write=_one_layer(make), refused=reason)
        if _MANY not in reason and "digest" not in name and "size" not in name:
            yield Kind(name=name, entry=BUILT, write=_one_layer(make), refused=f"{reason}|wrote no layer")
    for name, odd in _odd_layers():
        yield Kind(name=name, entry=BASE, write=_one_layer(odd))
    for name, image, reason in _images():
        yield Kind(name=name, entry=BASE, write=image.write, refused=reason)
    for entry, name, write, reason in _engine_folders():
        yield Kind(name=name, entry=entry, write=write, refused=reason)


KINDS = tuple(_kinds())
