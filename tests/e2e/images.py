"""[io] Images as any reader of the specifications sees them: read with nothing of buildonce's own code.

A bug of the code under test cannot hide on both sides of a comparison that way.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

Json = Mapping[str, Any]
REF_NAME = "org.opencontainers.image.ref.name"

_BLOCK = 512
_MTIME, _CHECKSUM = slice(136, 148), slice(148, 156)
_XATTR = "SCHILY.xattr."
_MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TarEntry:
    """One member of a layer's archive; ``kind`` is its type flag, ``digest`` that of a file's content."""

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime: float
    digest: str
    link: str
    device: tuple[int, int]
    xattrs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer: its archive's members, its diff ID, and the digest of the archive with all times blanked out."""

    media_type: str
    diff_id: str
    timeless: str
    entries: tuple[TarEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image, with its manifest and config as they are written."""

    manifest: Json
    config: Json
    layers: tuple[Layer, ...]


Blobs = Callable[[str], bytes]
"""Gives what has a digest, checked."""

_layers: dict[str, Layer] = {}


def read_image(blobs: Blobs, digest: str) -> Image:
    """Return the image whose manifest has this digest. Each layer is read once, whatever the store it comes from."""
    manifest = json.loads(blobs(digest))
    config = json.loads(blobs(manifest["config"]["digest"]))
    layers = tuple(_layer(blobs, one) for one in manifest["layers"])
    assert [layer.diff_id for layer in layers] == config["rootfs"]["diff_ids"], "diff IDs are not those of the layers"
    return Image(manifest=manifest, config=config, layers=layers)


def layout_blobs(folder: Path) -> Blobs:
    """Return what reads blobs from an OCI layout."""
    return partial(_checked, lambda digest: (folder / "blobs" / digest.replace(":", "/")).read_bytes())


def layout_digests(folder: Path) -> dict[str, str]:
    """Return the digests in an OCI layout's index by their tags; by nothing where one has none."""
    index = json.loads((folder / "index.json").read_bytes())
    return {one.get("annotations", {}).get(REF_NAME, ""): one["digest"] for one in index["manifests"]}


def registry_blobs(repository: str) -> Blobs:
    """Return what reads manifests and blobs from a repository of a registry on loopback."""
    host, _, name = repository.partition("/")

    def get(digest: str) -> bytes:
        for kind in ("blobs", "manifests"):
            content = _fetch(f"http://{host}/v2/{name}/{kind}/{digest}")
            if content is not None:
                return content
        raise AssertionError(f"{repository} does not have {digest}")

    return partial(_checked, get)


def tag_digest(repository: str, tag: str) -> str | None:
    """Return what a tag in a repository points to, or None if there is no such tag."""
    host, _, name = repository.partition("/")
    content = _fetch(f"http://{host}/v2/{name}/manifests/{tag}")
    return None if content is None else _sha256(content)


def copy_repository(repository: str, layout: Path) -> None:
    """Make an OCI layout of all that a repository has tags for."""
    host, _, name = repository.partition("/")
    blobs = registry_blobs(repository)
    folder = layout / "blobs" / "sha256"
    folder.mkdir(parents=True)
    entries = []

    def keep(digest: str) -> bytes:
        path = folder / digest.partition(":")[2]
        if not path.exists():
            path.write_bytes(blobs(digest))
        return path.read_bytes()

    for tag in json.loads(_fetch(f"http://{host}/v2/{name}/tags/list") or b"{}")["tags"]:
        content = keep(tag_digest(repository, tag) or "")
        manifest = json.loads(content)
        for part in (manifest["config"], *manifest["layers"]):
            keep(part["digest"])
        entry = {"mediaType": manifest["mediaType"], "digest": _sha256(content), "size": len(content)}
        entries.append({**entry, "annotations": {REF_NAME: tag}})
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))


def images_of(blobs: Blobs, index: str) -> dict[str, str]:
    """Return the digests of an index's images by their platforms."""
    document = json.loads(blobs(index))
    return {
        "/".join(one["platform"][part] for part in ("os", "architecture", "variant") if part in one["platform"]): one[
            "digest"
        ]
        for one in document["manifests"]
    }


def parse_layer(content: bytes, media_type: str) -> Layer:
    """Return what a layer's blob holds."""
    archive = gzip.decompress(content) if media_type.endswith("gzip") else content
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        entries = tuple(_entry(tar, member) for member in tar)
    return Layer(media_type=media_type, diff_id=_sha256(archive), timeless=_sha256(_timeless(archive)), entries=entries)


def _layer(blobs: Blobs, descriptor: Json) -> Layer:
    digest = descriptor["digest"]
    if digest not in _layers:
        _layers[digest] = parse_layer(blobs(digest), descriptor["mediaType"])
    return _layers[digest]


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> TarEntry:
    content = tar.extractfile(member) if member.isreg() else None
    return TarEntry(
        path=member.name.strip("/"),
        kind=member.type.decode(),
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        size=member.size,
        mtime=member.mtime,
        digest=_sha256(content.read()) if content else "",
        link=member.linkname,
        device=(member.devmajor, member.devminor),
        xattrs=tuple(sorted((k, v) for k, v in member.pax_headers.items() if k.startswith(_XATTR))),
    )


def _timeless(archive: bytes) -> bytes:
    """Return an archive with blanks for the time and the checksum of every header; all else is as it was."""
    blank = bytearray(archive)
    at = 0
    while any(archive[at : at + _BLOCK]):
        size = int(archive[at + 124 : at + 136].rstrip(b"\0 ") or b"0", 8)
        for field in (_MTIME, _CHECKSUM):
            blank[at + field.start : at + field.stop] = b" " * (field.stop - field.start)
        at += _BLOCK + -(-size // _BLOCK) * _BLOCK
    return bytes(blank)


def _checked(get: Blobs, digest: str) -> bytes:
    content = get(digest)
    assert _sha256(content) == digest, f"what is stored as {digest} has another digest"
    return content


def _fetch(url: str) -> bytes | None:
    request = urllib.request.Request(url, headers={"Accept": _MANIFESTS})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != HTTPStatus.NOT_FOUND:
            raise
        return None


def _sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
