"""What a reader finds in a store while others write it: fails for a tag that does not lead to a complete image."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.soak.family import PLATFORMS, VARIANTS

Tags = Mapping[str, str]
Load = Callable[[str], bytes | None]
"""Give the manifest or index with a digest."""

Size = Callable[[str], int | None]
"""Give the size of the blob with a digest."""

_MANIFESTS = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"


class Broken(Exception):
    """A reader found what no reader may find."""


def check_index(digest: str, load: Load, size: Size) -> None:
    """Raise `Broken` unless the index and all that it leads to is there, for every platform."""
    index = _document(digest, load)
    platforms = [f"{one['platform']['os']}/{one['platform']['architecture']}" for one in index["manifests"]]
    if sorted(platforms) != sorted(PLATFORMS):
        raise Broken(f"index {digest} has the platforms {platforms}")
    for child in index["manifests"]:
        check_image(child["digest"], load, size)


def check_image(digest: str, load: Load, size: Size) -> None:
    """Raise `Broken` unless an image's manifest, config and layers are there."""
    manifest = _document(digest, load)
    for part in (manifest["config"], *manifest["layers"]):
        if size(part["digest"]) != part["size"]:
            raise Broken(f"image {digest} lacks {part['digest']}: {size(part['digest'])} bytes")


def _document(digest: str, load: Load) -> Any:
    content = load(digest)
    if content is None:
        raise Broken(f"{digest} is not there")
    if "sha256:" + hashlib.sha256(content).hexdigest() != digest:
        raise Broken(f"{digest} has other content")
    return json.loads(content)


class LayoutReader:
    """Reads an OCI layout as any other program would."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def tags(self) -> dict[str, str]:
        """Return where the tags lead, each to a complete index; raise `Broken` for anything else."""
        try:
            content = (self.path / "index.json").read_bytes()
        except FileNotFoundError:
            return {}
        try:
            entries = json.loads(content)["manifests"]
        except (ValueError, KeyError) as error:
            raise Broken(f"index.json is torn: {content[:200]!r}") from error
        found = {one["annotations"][REF_NAME]: one["digest"] for one in entries}
        if len(found) != len(entries):
            raise Broken(f"a tag is there twice: {entries}")
        for digest in found.values():
            check_index(digest, self._load, self._size)
        return found

    def check_blobs(self) -> None:
        """Raise `Broken` for a file that is not what its name says; what was left unfinished has no such name."""
        for path in (self.path / "blobs").rglob("*"):
            finished = path.is_file() and not path.name.startswith(".")
            if finished and hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
                raise Broken(f"{path} has other content")

    def _file(self, digest: str) -> Path:
        return self.path / "blobs" / digest.replace(":", "/")

    def _load(self, digest: str) -> bytes | None:
        try:
            return self._file(digest).read_bytes()
        except FileNotFoundError:
            return None

    def _size(self, digest: str) -> int | None:
        try:
            return self._file(digest).stat().st_size
        except FileNotFoundError:
            return None


class RegistryReader:
    """Reads a repository as any other program would: what is not there, or fails, is asked for again.

    Debian's registry keeps names in small files that it writes in place. Who asks while a name is written once more,
    with the same content, is told that there is none, or that the server failed.
    """

    def __init__(self, registry: str, repository: str) -> None:
        self._base = f"http://{registry}/v2/{repository}"

    def tags(self) -> dict[str, str]:
        """Return where the family's tags lead, each to a complete index; raise `Broken` for anything else."""
        found = {}
        for tag in VARIANTS:
            content = self._load(tag)
            if content is not None:
                found[tag] = "sha256:" + hashlib.sha256(content).hexdigest()
                check_index(found[tag], self._load, self._size)
        return found

    def _load(self, name: str) -> bytes | None:
        content: bytes | None = self._ask(f"{self._base}/manifests/{name}", "GET", lambda response: response.read())
        return content

    def _size(self, digest: str) -> int | None:
        size: int | None = self._ask(
            f"{self._base}/blobs/{digest}", "HEAD", lambda response: int(response.headers["Content-Length"])
        )
        return size

    def _ask(self, url: str, method: str, read: Callable[[Any], Any]) -> Any:
        request = urllib.request.Request(url, method=method, headers={"Accept": _MANIFESTS})
        for left in reversed(range(4)):
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    return read(response)
            except urllib.error.HTTPError as error:
                error.close()
                if not left and error.code != HTTPStatus.NOT_FOUND:
                    raise
            time.sleep(0.01)
        return None


class Watch:
    """What a reader saw who looked again and again: every state once, in order, and what was broken."""

    def __init__(self) -> None:
        self.seen: list[Tags] = []
        self.looks = 0
        self.broken: list[str] = []

    def look(self, tags: Callable[[], Tags]) -> None:
        """Look once."""
        self.looks += 1
        try:
            now = dict(tags())
        except Broken as error:
            self.broken.append(str(error))
            return
        if not self.seen or self.seen[-1] != now:
            self.seen.append(now)


@contextmanager
def watching(tags: Callable[[], Tags], seconds: float = 0.01) -> Iterator[Watch]:
    """Give what a reader sees who looks all the time."""
    watch, done = Watch(), threading.Event()

    def go_on() -> None:
        while not done.wait(seconds):
            watch.look(tags)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield watch
    finally:
        done.set()
        thread.join()
        watch.look(tags)
