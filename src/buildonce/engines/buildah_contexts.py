"""[io] Named contexts as Buildah takes them.

It knows images in registries and folders, and looks names up as they are written; no OCI layout (tested with 1.28,
1.39 and 1.43). But where an image's name may stand, ``oci:DIR`` may: the only image of a layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from buildonce.engines.layouts import find_image
from buildonce.oci import OCI_INDEX, Index, encode_json
from buildonce.plan.images import LAYOUT_SCHEME, LayoutReference, parse_image_address

_IMAGE_SCHEME = "docker-image://"
_OWN_SCHEME = "container-image://"


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
    layout, descriptor = Path(given.path), find_image(given)
    view = folder / descriptor.digest.rpartition(":")[2][:32]
    if not view.exists():
        view.mkdir(parents=True)
        (view / "blobs").symlink_to(layout.absolute() / "blobs")
        (view / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        index = Index(media_type=OCI_INDEX, manifests=(descriptor,))
        (view / "index.json").write_bytes(encode_json(index))
    return view
