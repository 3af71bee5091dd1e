"""[io] Archives of images as ``docker save`` writes them and ``docker load`` reads them, made layouts and made of them.

Both know an archive by its ``manifest.json``. Since Docker 25 the rest of it is an OCI layout; the paths that stand in
``manifest.json`` are right for every version.
"""

from __future__ import annotations

import io
import tarfile
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from buildonce.assemble.compression import Compression
from buildonce.engines.layouts import LayoutWriter, blob_path, find_image
from buildonce.engines.protocol import BuildJob
from buildonce.errors import EngineFailed, IntegrityError, UsageError
from buildonce.oci import (
    INDEX_TYPES,
    Descriptor,
    Digest,
    Manifest,
    Platform,
    decode_index,
    decode_manifest,
    parse_platform,
)
from buildonce.plan.images import LayoutReference
from buildonce.store.documents import LIMIT, check_digest
from buildonce.store.protocol import Readable
from buildonce.store.streams import open_file

_LISTING = "manifest.json"


class _Saved(Struct, frozen=True, rename="pascal"):
    config: str
    repo_tags: tuple[str, ...] | None
    layers: tuple[str, ...]


class _Root(Struct, frozen=True):
    diff_ids: tuple[str, ...] = ()


class _Config(Struct, frozen=True):
    rootfs: _Root = _Root()


def read_saved(archive: Path, job: BuildJob) -> Descriptor:
    """Turn the one image in an archive into the job's layout; return its manifest. Raises `EngineFailed` without one.

    Its config is what BuildKit wrote. Its layers are the archives that BuildKit would have compressed.
    """
    try:
        layout = LayoutWriter(job.output)
        with tarfile.open(archive, "r:") as files:
            (saved,) = msgspec.json.decode(_member(files, _LISTING).read(LIMIT), type=tuple[_Saved, ...])
            config = _member(files, saved.config).read(LIMIT)
            diff_ids = msgspec.json.decode(config, type=_Config).rootfs.diff_ids
            paths = dict(zip(diff_ids, saved.layers, strict=True))
            layers = {
                diff_id: layout.put_layer(_member(files, path), diff_id, _compression(diff_id, job))
                for diff_id, path in paths.items()
            }
        return layout.finish(config, tuple(layers[diff_id] for diff_id in diff_ids))
    except (OSError, KeyError, ValueError, tarfile.TarError, IntegrityError, msgspec.DecodeError) as error:
        raise EngineFailed(f"docker says that it saved {job.node}, but wrote no image: {error}") from error


def _compression(diff_id: str, job: BuildJob) -> Compression:
    return Compression.GZIP if job.compress and diff_id not in job.known_layers else Compression.UNCOMPRESSED


def _member(files: tarfile.TarFile, name: str) -> Readable:
    """Open a file of an archive, also through a link: before Docker 25, equal layers are links. Raises `KeyError`."""
    file = files.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file


def write_loadable(given: LayoutReference, platform: Platform, name: str, archive: Path) -> None:
    """Write an image of a layout for ``docker load``, which is to call it ``name``. Raises `EngineFailed`.

    Docker checks that its layers are those that the config lists.
    """
    layout = Path(given.path)
    try:
        manifest = _manifest_of(given, platform)
        config, layers = manifest.config.digest, [layer.digest for layer in manifest.layers]
        saved = _Saved(config=_path(config), repo_tags=(name,), layers=tuple(map(_path, layers)))
        with tarfile.open(archive, "w") as files:
            _add_bytes(files, _path(config), _document(given, config))
            for digest in dict.fromkeys(layers):
                _add_file(files, _path(digest), blob_path(layout, digest))
            _add_bytes(files, _LISTING, msgspec.json.encode([saved]))
    except (OSError, IntegrityError) as error:
        raise EngineFailed(f"`{given}` is not there to build with: {error}") from error


def _manifest_of(given: LayoutReference, platform: Platform) -> Manifest:
    """Return an image's manifest: of several that for ``platform``, else the one without a CPU variant."""
    found = find_image(given)
    if found.media_type in INDEX_TYPES:
        listed = decode_index(_document(given, found.digest)).manifests
        there = {_spelt(one.platform): one for one in reversed(listed) if one.platform}
        fitting = [there[name] for name in (str(platform), f"{platform.os}/{platform.architecture}") if name in there]
        if not fitting:
            raise EngineFailed(f"`{given}` has no image for {platform} to build with")
        found = fitting[0]
    return decode_manifest(_document(given, found.digest))


def _spelt(platform: Platform) -> str:
    """Return a platform as containerd compares it."""
    with suppress(UsageError):
        return str(parse_platform(str(platform)))
    return str(platform)


def _document(given: LayoutReference, digest: Digest) -> bytes:
    with open_file(blob_path(Path(given.path), digest)) as file:
        content = file.read(LIMIT)
    check_digest(content, digest, str(given))
    return content


def _path(digest: Digest) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _add_bytes(files: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    files.addfile(info, io.BytesIO(content))


def _add_file(files: tarfile.TarFile, name: str, path: Path) -> None:
    info = tarfile.TarInfo(name)
    with open_file(path) as file:
        info.size = path.stat().st_size
        files.addfile(info, file)
