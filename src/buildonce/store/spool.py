"""[io] Blobs as local files."""

from __future__ import annotations

import asyncio
from pathlib import Path

from buildonce.errors import IntegrityError
from buildonce.oci import Descriptor
from buildonce.store.protocol import Local, Source
from buildonce.store.streams import Verifier, file_chunks, place, verified, writing


async def fetch_blob(source: Source, descriptor: Descriptor, folder: Path) -> Path:
    """Return a file with the blob, checked: the source's own where it has one, else one in ``folder``.

    The file in ``folder`` is named after the digest and used again. Do not change either. Raises what
    `Source.read_blob` raises, and `DiskError`.
    """
    own = source.path_of(descriptor) if isinstance(source, Local) else None
    if own:
        await _check(own, descriptor)
        return own
    algorithm, _, encoded = descriptor.digest.partition(":")
    target = folder / algorithm / encoded
    if target.is_file():
        try:
            await _check(target, descriptor)
        except IntegrityError:
            target.unlink(missing_ok=True)
        else:
            return target
    with writing(target):
        await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
    await place(target, source.read_blob(descriptor), Verifier(descriptor, f"{descriptor.digest} of {source.name}"))
    return target


async def _check(path: Path, descriptor: Descriptor) -> None:
    async for _ in verified(file_chunks(path), descriptor, str(path)):
        pass
