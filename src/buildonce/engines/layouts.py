"""[io] OCI layouts that are handed to an engine, and those that are made of what an engine wrote otherwise."""

from __future__ import annotations

import hashlib
from pathlib import Path

from buildonce.assemble.compression import INPUT_CHUNK, Compression, open_compressor
from buildonce.errors import EngineFailed, IntegrityError
from buildonce.oci import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Index,
    Manifest,
    MediaType,
    decode_index,
    digest_of,
    encode_json,
    parse_digest,
)
from buildonce.plan.images import LayoutReference
from buildonce.store.documents import LIMIT, identify
from buildonce.store.protocol import Readable
from buildonce.store.streams import open_file

_REF_NAME = "org.opencontainers.image.ref.name"


def find_image(given: LayoutReference) -> Descriptor:
    """Return what the layout has under a tag or digest. Raises `EngineFailed` where it has nothing."""
    layout = Path(given.path)
    try:
        digest = parse_digest(given.name) if ":" in given.name else _tagged(layout, given.name)
        with open_file(blob_path(layout, digest)) as file:
            content = file.read(LIMIT)
        return Descriptor(media_type=identify(content, "", str(given)), digest=digest, size=len(content))
    except (OSError, KeyError, IntegrityError) as error:
        raise EngineFailed(f"`{given}` is not there to build with: {error}") from error


def _tagged(layout: Path, tag: str) -> Digest:
    with open_file(layout / "index.json") as file:
        listed = decode_index(file.read(LIMIT)).manifests
    return {(one.annotations or {}).get(_REF_NAME): one.digest for one in listed}[tag]


def blob_path(layout: Path, digest: Digest) -> Path:
    """Return where a layout has a blob, if it has it."""
    return layout / "blobs" / digest.replace(":", "/")


class LayoutWriter:
    """Makes a layout of one image in ``folder``; raises `OSError`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)

    def path(self, digest: Digest) -> Path:
        """Return where a blob belongs."""
        return blob_path(self._folder, digest)

    def put(self, content: bytes, media_type: MediaType) -> Descriptor:
        """Write a small blob."""
        descriptor = Descriptor(media_type=media_type, digest=digest_of(content), size=len(content))
        self.path(descriptor.digest).write_bytes(content)
        return descriptor

    def put_layer(self, archive: Readable, diff_id: str, compression: Compression) -> Descriptor:
        """Write a layer. Raises `IntegrityError` if the archive's digest is not ``diff_id``."""
        plain, packed = hashlib.sha256(), hashlib.sha256()
        compressor = open_compressor(compression)
        target = self._folder / "blobs" / "unfinished"
        with target.open("wb") as out:
            while chunk := archive.read(INPUT_CHUNK):
                plain.update(chunk)
                packed.update(part := compressor.compress(chunk))
                out.write(part)
            packed.update(part := compressor.flush())
            out.write(part)
        if f"sha256:{plain.hexdigest()}" != diff_id:
            raise IntegrityError(f"the layer {diff_id} has other content: sha256:{plain.hexdigest()}")
        digest = parse_digest(f"sha256:{packed.hexdigest()}")
        size = target.stat().st_size
        target.replace(self.path(digest))
        return Descriptor(media_type=compression.media_type, digest=digest, size=size)

    def finish(self, config: bytes, layers: tuple[Descriptor, ...]) -> Descriptor:
        """Write what makes an image of the layers; return its manifest."""
        described = self.put(config, OCI_CONFIG)
        manifest = encode_json(Manifest(media_type=OCI_MANIFEST, config=described, layers=layers))
        descriptor = self.put(manifest, OCI_MANIFEST)
        (self._folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        index = Index(media_type=OCI_INDEX, manifests=(descriptor,))
        (self._folder / "index.json").write_bytes(encode_json(index))
        return descriptor
