"""[io] An OCI image layout on disk as a store (image-spec, image-layout.md).

``index.json`` holds exactly what has a tag, beside what other tools put there: so `skopeo copy oci:DIR:TAG` and
`crane` find every tag, and a layout with one image is that image. What has only a digest is a blob, found by digest.

A file has its name under ``blobs`` when it is complete, checked and on the disk. The index is replaced in one step,
after the folders of all blobs are on the disk, by one process at a time: docs/layout.md.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from buildonce.errors import IntegrityError, MissingBlobs, NotInStore, StoreError, UsageError
from buildonce.oci import Descriptor, Digest, MediaType, digest_of, parse_digest
from buildonce.reference import is_tag
from buildonce.store import layout_index
from buildonce.store.documents import LIMIT, check_digest, identify, is_digest, referred
from buildonce.store.layout_lock import locked
from buildonce.store.protocol import Blob, Outcome, Stored
from buildonce.store.streams import (
    TEMPORARY,
    Verifier,
    file_chunks,
    open_file,
    place,
    place_bytes,
    sync,
    temporary_name,
    verified,
    writing,
)

_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
_ABANDONED = 24 * 3600.0
"""Seconds after which a partial file belongs to nobody any more."""

_WRITERS = 16
"""How many blobs are written at once: each takes two open files, of which a process may have 1024 or fewer."""

_INDEX_LIMIT = 64 * 1024 * 1024
"""How much of an index is read, in bytes: a layout of many images has far less."""

_READS = 5
"""How often the index is read again when a network file system says that it was replaced meanwhile."""


class LayoutStore:
    """A folder with an OCI image layout; it is made by the first write, and an absent one is empty.

    Where ``durable`` is False, what is new may be lost or damaged when the machine stops without warning: such a store
    believes no file that is there already, and its owner must `sync` what others are to rely on. Where ``links`` is
    False, a symbolic link in it leads nowhere: so read what another program was told to write.
    """

    def __init__(self, path: Path, *, durable: bool = True, links: bool = True) -> None:
        self.path = path
        self._durable = durable
        self._within = None if links else path
        self._ready = False
        self._folders: set[Path] = set()
        self._writers = asyncio.Semaphore(_WRITERS)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def name(self) -> str:
        """The layout, as messages call it."""
        return f"oci:{self.path}"

    def prepare(self) -> None:
        """Make the layout if there is none. Raises `StoreError` for a folder that holds something else."""
        if self._ready:
            return
        marker = self.path / "oci-layout"
        if not marker.exists():
            if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / "blobs").is_dir():
                raise StoreError(
                    f"{self.path} holds files but no OCI image layout", help="name an empty folder or a new one"
                )
            _make_folder(self.path / "blobs" / "sha256")
            self._change(lambda document: document, threading.Event())
            place_bytes(marker, _VERSION, durable=True)
        _sweep(self.path)
        self._ready = True

    async def tags(self) -> Mapping[str, Descriptor]:
        """Return what each tag points to. Raises `StoreError` when the index cannot be read."""
        return layout_index.tags(self._read_index())

    async def entries(self) -> tuple[Descriptor, ...]:
        """Return what the index lists, tagged or not, in its order. Raises `StoreError` when it cannot be read."""
        return layout_index.entries(self._read_index())

    async def get_manifest(self, name: str) -> Stored | None:
        """Return the manifest or index under a tag or digest; None where there is none.

        Raises `IntegrityError` when the file has other content, or a tag points to a file that is not there.
        """
        if is_digest(name):
            content = self._content(parse_digest(name))
            return _stored(content, parse_digest(name)) if content is not None else None
        entry = layout_index.tags(self._read_index()).get(name)
        if not entry:
            return None
        content = self._content(entry.digest)
        if content is None:
            raise IntegrityError(f"tag `{name}` in {self.name} points to {entry.digest}, which is no manifest there")
        media_type = identify(content, entry.media_type, f"`{name}` in {self.name}")
        return Stored(media_type=media_type, content=content, digest=entry.digest)

    async def head_manifest(self, name: str) -> Digest | None:
        """Return the digest that a tag points to, or the digest itself if it is there."""
        if is_digest(name):
            stored = await self.get_manifest(name)
            return stored.digest if stored else None
        entry = layout_index.tags(self._read_index()).get(name)
        return entry.digest if entry else None

    async def read_blob(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """Stream a blob, checked."""
        path = self._file(descriptor.digest)
        if self._size(descriptor) is None:
            raise NotInStore(f"{self.name} does not hold {descriptor.digest}")
        async for chunk in verified(file_chunks(path, within=self._within), descriptor, f"{path}"):
            yield chunk

    def path_of(self, descriptor: Descriptor) -> Path | None:
        """Return the file that holds a blob, or None. Its size is right; its content is not checked."""
        return self._file(descriptor.digest) if self._size(descriptor) == descriptor.size else None

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Say whether the blob is there with the right size."""
        return self._size(descriptor) == descriptor.size

    async def blob_size(self, descriptor: Descriptor) -> int | None:
        """Return how many bytes the blob has; None where there is none."""
        return self._size(descriptor)

    async def put_blob(self, blob: Blob) -> Outcome:
        """Have the blob in the layout: written, checked and renamed into place, unless it is there already."""
        self.prepare()
        digest = blob.descriptor.digest
        async with self._turns[digest]:
            if self._is_kept(blob.descriptor):
                return Outcome.EXISTED
            verifier = Verifier(blob.descriptor, f"blob {digest}")
            async with self._writers:
                await place(self._target(digest), blob.open(), verifier, durable=self._durable)
            return Outcome.UPLOADED

    async def adopt(
        self, path: Path, descriptor: Descriptor, *, move: bool = False, is_checked: bool = False
    ) -> Outcome:
        """Have the existing file ``path`` as a blob without copying its bytes: hard-linked, or moved.

        It is read once and checked, unless this process hashed its bytes as it wrote them (``is_checked``); a linked
        file must not be changed in place afterwards. Where the layout is on another file system its bytes are copied.
        Raises `IntegrityError` and then leaves both places as they were.
        """
        self.prepare()
        async with self._turns[descriptor.digest]:
            outcome = Outcome.EXISTED if self._is_kept(descriptor) else Outcome.UPLOADED
            if outcome is Outcome.UPLOADED:
                await self._link(path, descriptor, is_checked=is_checked)
        if move:
            with writing(path):
                await asyncio.to_thread(path.unlink)
        return outcome

    async def put_manifest(self, content: bytes, media_type: MediaType, *, tag: str | None = None) -> Digest:
        """Store a manifest or index under its digest, and under ``tag`` if given; return the digest.

        Raises `MissingBlobs` when something that it refers to is not there.
        """
        digest = digest_of(content)
        kind = identify(content, media_type, f"the manifest for {self.name}")
        if tag is not None and not is_tag(tag):
            raise UsageError(f"`{tag}` is not a tag")
        missing = tuple(part.digest for part in referred(content, kind) if not self.path_of(part))
        if missing:
            raise MissingBlobs(f"{self.name} lacks what {digest} refers to: {', '.join(missing)}", digests=missing)
        self.prepare()
        descriptor = Descriptor(media_type=kind, digest=digest, size=len(content))
        if not self._holds(digest, content):
            await asyncio.to_thread(place_bytes, self._target(digest), content, durable=self._durable)
        if tag is not None:
            await self._update(lambda document: layout_index.with_tags(document, {tag: descriptor}))
        return digest

    async def set_tags(self, tags: Mapping[str, Digest]) -> None:
        """Point tags to manifests and indexes that are there, all in one step or none.

        Raises `MissingBlobs` when one is not there.
        """
        found = {tag: await self.get_manifest(digest) for tag, digest in tags.items() if is_tag(tag)}
        missing = tuple(sorted({tags[tag] for tag, stored in found.items() if stored is None}))
        if len(found) < len(tags):
            raise UsageError(f"`{next(tag for tag in tags if tag not in found)}` is not a tag")
        if missing:
            raise MissingBlobs(f"{self.name} lacks {', '.join(missing)}", digests=missing)
        fresh = {
            tag: Descriptor(media_type=stored.media_type, digest=stored.digest, size=len(stored.content))
            for tag, stored in found.items()
            if stored
        }
        self.prepare()
        await self._update(lambda document: layout_index.with_tags(document, fresh))

    async def delete_tag(self, tag: str) -> None:
        """Remove a tag; what it pointed to stays."""
        if (self.path / "index.json").exists():
            await self._update(lambda document: layout_index.without_tag(document, tag))

    def _content(self, digest: Digest) -> bytes | None:
        """Return a blob that is small enough to be a manifest, checked; None if there is none."""
        path = self._file(digest)
        try:
            with open_file(path, within=self._within) as file:
                content = file.read(LIMIT + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error
        if len(content) > LIMIT:
            return None
        check_digest(content, digest, str(path))
        return content

    def _size(self, descriptor: Descriptor) -> int | None:
        try:
            found = self._file(descriptor.digest).stat(follow_symlinks=self._within is None)
        except OSError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def _is_kept(self, descriptor: Descriptor) -> bool:
        return self._durable and self.path_of(descriptor) is not None

    def _holds(self, digest: Digest, content: bytes) -> bool:
        try:
            with open_file(self._file(digest), within=self._within) as file:
                return file.read(len(content) + 1) == content
        except OSError:
            return False

    def _file(self, digest: Digest) -> Path:
        algorithm, _, encoded = parse_digest(digest).partition(":")
        return self.path / "blobs" / algorithm / encoded

    def _target(self, digest: Digest) -> Path:
        path = self._file(digest)
        if path.parent not in self._folders:
            _make_folder(path.parent)
            _sweep(path.parent)
            self._folders.add(path.parent)
        return path

    def _read_index(self) -> Mapping[str, Any]:
        path = self.path / "index.json"
        for left in reversed(range(_READS)):
            try:
                with open_file(path, within=self._within) as file:
                    return layout_index.parse_index(file.read(_INDEX_LIMIT), str(path))
            except (FileNotFoundError, NotADirectoryError):
                break
            except OSError as error:
                if error.errno != errno.ESTALE or not left:
                    raise StoreError(f"cannot read {path}: {error.strerror}") from error
        return layout_index.EMPTY

    async def _link(self, path: Path, descriptor: Descriptor, *, is_checked: bool) -> None:
        target = self._target(descriptor.digest)
        temporary = temporary_name(target)
        try:
            try:
                os.link(path, temporary)
            except FileNotFoundError as error:
                raise StoreError(f"cannot read {path}: {error.strerror}") from error
            except OSError:
                await place(target, file_chunks(path), Verifier(descriptor, str(path)), durable=self._durable)
            else:
                if not is_checked:
                    async for _ in verified(file_chunks(temporary), descriptor, str(path)):
                        pass
                with writing(target):
                    if self._durable:
                        await asyncio.to_thread(sync, temporary)
                    temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    async def _update(self, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        abandoned = threading.Event()
        try:
            async with self._turns["index.json"]:
                await asyncio.to_thread(self._change, change, abandoned)
        except asyncio.CancelledError:
            # The thread either has not begun to write, and now will not, or finishes one whole step.
            abandoned.set()
            raise

    def _change(self, change: Callable[[Mapping[str, Any]], Mapping[str, Any]], abandoned: threading.Event) -> None:
        path = self.path / "index.json"
        with locked(self.path, abandoned):
            if abandoned.is_set():
                return
            before = self._read_index()
            after = change(before)
            if after == before and path.exists():
                return
            with writing(path):
                for folder in (self.path / "blobs").iterdir():
                    sync(folder)
                place_bytes(path, layout_index.render_index(after), durable=True)
                sync(self.path)


def _stored(content: bytes, digest: Digest) -> Stored | None:
    """Return a blob as the manifest that it is, or None if it is something else: a digest does not tell."""
    try:
        media_type = identify(content, "", digest)
    except IntegrityError:
        return None
    return Stored(media_type=media_type, content=content, digest=digest)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, on the disk. Raises `DiskError`."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            sync(made.parent)


def _sweep(folder: Path) -> None:
    """Remove partial files that a killed run left behind long ago."""
    horizon = time.time() - _ABANDONED
    for partial in folder.glob(f".*{TEMPORARY}"):
        try:
            if partial.stat().st_mtime < horizon:
                partial.unlink()
        except OSError:
            continue
