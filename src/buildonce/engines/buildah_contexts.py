"""[io] Named contexts as Buildah takes them.

It knows images in registries and folders, and looks names up as they are written; no OCI layout (tested with 1.28,
1.39 and 1.43). But where an image's name may stand, ``oci:DIR`` may: the only image of a layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from buildonce.errors import EngineFailed, IntegrityError
from buildonce.oci import OCI_INDEX, Descriptor, Digest, Index, decode_index, encode_json, parse_digest
from buildonce.plan.images import LAYOUT_SCHEME, LayoutReference, parse_image_address
from buildonce.store.documents import LIMIT, identify
from buildonce.store.streams import open_file

_IMAGE_SCHEME = "docker-image://"
_OWN_SCHEME = "container-image://"
_REF_NAME = "org.opencontainers.image.ref.name"


def spell(contexts: Mapping[str, str]) -> Mapping[str, str]:
    """Return the contexts under every name by which a Dockerfile may ask for them: Buildah shortens none."""
    found: dict[str, str] = {}
    for name, value in contexts.items():
        found |= dict.fromkeys(_spellings(name), value)
    return found


def _spellings(name: str) -> Iterator[str]:
    """Yield a familiar name, and what it is short for."""
    tagged = (name,) if ":" in name.rpartition("/")[2] or "@" in name else (name, f"{name}:latest")
    for one in tagged:
        yield one
        first, slash, _ = name.partition("/")
        if not slash:
            yield from (f"library/{one}", f"docker.io/{one}", f"docker.io/library/{one}")
        elif not re.search(r"[.:]", first) and first != "localhost":
            yield f"docker.io/{one}"


def translate(contexts: Mapping[str, str], folder: Path) -> Mapping[str, str]:
    """Return the contexts with values that Buildah understands; layouts of one image go into ``folder``."""
    return {name: _translated(value, folder) for name, value in contexts.items()}


def _translated(value: str, folder: Path) -> str:
    if value.startswith(_IMAGE_SCHEME):
        return _OWN_SCHEME + value.removeprefix(_IMAGE_SCHEME)
    if not value.startswith(LAYOUT_SCHEME):
        return value
    given = parse_image_address(value)
    assert isinstance(given, LayoutReference)  # noqa: S101  it has the scheme of one
    return f"{_OWN_SCHEME}oci:{_single(given, folder)}"


def _single(given: LayoutReference, folder: Path) -> Path:
    """Return a layout with the image alone: a view of the one that holds it."""
    layout, descriptor = Path(given.path), _find(given)
    view = folder / descriptor.digest.rpartition(":")[2][:32]
    if not view.exists():
        view.mkdir(parents=True)
        (view / "blobs").symlink_to(layout.absolute() / "blobs")
        (view / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        index = Index(media_type=OCI_INDEX, manifests=(descriptor,))
        (view / "index.json").write_bytes(encode_json(index))
    return view


def _find(given: LayoutReference) -> Descriptor:
    """Return what the layout has under a tag or digest. Raises `EngineFailed` where it has nothing."""
    layout = Path(given.path)
    try:
        digest = parse_digest(given.name) if ":" in given.name else _tagged(layout, given.name)
        with open_file(layout / "blobs" / digest.replace(":", "/")) as file:
            content = file.read(LIMIT)
        return Descriptor(media_type=identify(content, "", str(given)), digest=digest, size=len(content))
    except (OSError, KeyError, IntegrityError) as error:
        raise EngineFailed(f"`{given}` is not there to build with: {error}") from error


def _tagged(layout: Path, tag: str) -> Digest:
    with open_file(layout / "index.json") as file:
        listed = decode_index(file.read(LIMIT)).manifests
    return {(one.annotations or {}).get(_REF_NAME): one.digest for one in listed}[tag]
