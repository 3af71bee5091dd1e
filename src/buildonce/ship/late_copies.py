"""What an index says of an image's layers: which of them are late copies, of what. The images themselves do not change.

It is an annotation of the image's descriptor in the index: the tag that points to the images points to it too, the
index's digest covers it, and it goes where the index goes. It depends on Dockerfiles alone: other keys change no index
whose images are the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from buildonce.errors import IntegrityError
from buildonce.oci import Descriptor

LATE_COPIES = "buildonce.late-copies"
"""The annotation of an image's descriptor in an index."""


class LateCopy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A layer that holds files of a core.

    ``core`` is the core's name, ``layer`` the number of the layer in the image's manifest, from 0. ``sources`` are the
    COPY's words, absolute; ``destination`` is absolute too, with a slash at its end if it is said to be a directory.
    """

    core: str
    layer: int
    sources: tuple[str, ...]
    destination: str
    parents: bool = False


def annotate(copies: tuple[LateCopy, ...]) -> Mapping[str, str]:
    """Return the annotations that say where an image's late copies are, or that it has none."""
    return {LATE_COPIES: msgspec.json.encode(copies).decode()}


def read_late_copies(descriptor: Descriptor) -> tuple[LateCopy, ...] | None:
    """Return what an index says of an image's late copies; None if it says nothing of them.

    Raises `IntegrityError` when it says it in another form.
    """
    text = (descriptor.annotations or {}).get(LATE_COPIES)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=tuple[LateCopy, ...])
    except (msgspec.DecodeError, RecursionError) as error:
        raise IntegrityError(f"the annotation `{LATE_COPIES}` cannot be read: {error}") from error
