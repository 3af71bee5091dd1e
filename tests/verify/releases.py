"""Small releases to be verified, in a layout or a registry, and ways to damage them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.fakes.registry import FakeRegistry

Json = dict[str, Any]

OCI = "application/vnd.oci.image."
INDEX, MANIFEST, CONFIG = f"{OCI}index.v1+json", f"{OCI}manifest.v1+json", f"{OCI}config.v1+json"
LAYER = f"{OCI}layer.v1.tar+gzip"
ARCHITECTURES = ("amd64", "arm64")
VARIANTS = ("claude", "codex", "kiro")
COPIES = "buildonce.late-copies"


def digest_of(content: bytes) -> str:
    """Return a digest."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Shelf(Protocol):
    """A store that a test fills and damages without asking anybody."""

    @property
    def name(self) -> str:
        """How the command line calls it."""
        ...

    def put(self, content: bytes, media_type: str) -> Json:
        """Put a document or blob there; return its descriptor."""
        ...

    def content(self, digest: str) -> bytes:
        """Return what is there under a digest."""
        ...

    def damage(self, digest: str, content: bytes) -> None:
        """Have other content under a digest."""
        ...

    def remove(self, digest: str) -> None:
        """Have nothing under a digest."""
        ...

    def tag(self, name: str, descriptor: Json) -> None:
        """Point a tag to something."""
        ...


@dataclass
class LayoutShelf:
    """An OCI layout on disk."""

    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "blobs" / "sha256").mkdir(parents=True)
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self.write_index({"schemaVersion": 2, "manifests": []})

    @property
    def name(self) -> str:
        return f"oci:{self.folder}"

    def path(self, digest: str) -> Path:
        return self.folder / "blobs" / digest.replace(":", "/")

    def put(self, content: bytes, media_type: str) -> Json:
        digest = digest_of(content)
        self.path(digest).write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def content(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def damage(self, digest: str, content: bytes) -> None:
        self.path(digest).write_bytes(content)

    def remove(self, digest: str) -> None:
        self.path(digest).unlink()

    def read_index(self) -> Json:
        index: Json = json.loads((self.folder / "index.json").read_bytes())
        return index

    def write_index(self, document: Json) -> None:
        (self.folder / "index.json").write_text(json.dumps(document))

    def tag(self, name: str, descriptor: Json) -> None:
        index = self.read_index()
        ref = "org.opencontainers.image.ref.name"
        others = [one for one in index["manifests"] if one["annotations"][ref] != name]
        self.write_index(index | {"manifests": [*others, descriptor | {"annotations": {ref: name}}]})


@dataclass
class RegistryShelf:
    """A repository in a registry in memory."""

    registry: FakeRegistry
    repository: str = "acme/family"

    @property
    def name(self) -> str:
        return f"{self.registry.host}/{self.repository}"

    def put(self, content: bytes, media_type: str) -> Json:
        if "layer" in media_type or "config" in media_type:
            digest = self.registry.add_blob(self.repository, content)
        else:
            digest = self.registry.add_manifest(self.repository, content, media_type)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def content(self, digest: str) -> bytes:
        repository = self.registry.repository(self.repository)
        return repository.blobs[digest] if digest in repository.blobs else repository.manifests[digest][1]

    def damage(self, digest: str, content: bytes) -> None:
        repository = self.registry.repository(self.repository)
        if digest in repository.blobs:
            repository.blobs[digest] = content
        else:
            repository.manifests[digest] = (repository.manifests[digest][0], content)

    def remove(self, digest: str) -> None:
        repository = self.registry.repository(self.repository)
        repository.blobs.pop(digest, None)
        repository.manifests.pop(digest, None)

    def tag(self, name: str, descriptor: Json) -> None:
        self.registry.repository(self.repository).tags[name] = descriptor["digest"]


def make_layer(files: Mapping[str, bytes | str | None]) -> bytes:
    """Return an archive: bytes are a file's content, text is where a link leads, None makes a directory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.mode = 0o755
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content if isinstance(content, bytes) else b""))
    return out.getvalue()


def encode(document: object) -> bytes:
    """Return a document as JSON, whatever it says."""
    return json.dumps(document).encode("utf-8", "surrogatepass")


def compress(archive: bytes) -> bytes:
    """Return an archive as a layer's blob."""
    return gzip.compress(archive, mtime=0)


@dataclass
class Draft:
    """An image before it is stored: archives of layers, what made them, and changes to the documents about it."""

    archives: list[bytes]
    makers: list[str]
    architecture: str
    copies: list[Json] | None
    blobs: list[bytes] = field(default_factory=list)
    on_config: Callable[[Json], Json | None] = lambda _: None
    on_manifest: Callable[[Json], Json | None] = lambda _: None
    on_entry: Callable[[Json], Json | None] = lambda _: None

    def store(self, shelf: Shelf) -> Json:
        """Store the image; return its entry for an index."""
        blobs = self.blobs or [compress(archive) for archive in self.archives]
        layers = [shelf.put(blob, LAYER) for blob in blobs]
        config: Json = {
            "architecture": self.architecture,
            "os": "linux",
            "created": "2023-01-01T00:00:00Z",
            "config": {"Env": ["PATH=/usr/local/bin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(archive) for archive in self.archives]},
            "history": [
                {"created_by": "ENV FAMILY=1", "empty_layer": True},
                *({"created_by": maker} for maker in self.makers),
            ],
        }
        config = _changed(config, self.on_config)
        manifest: Json = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": shelf.put(encode(config), CONFIG),
            "layers": layers,
        }
        manifest = _changed(manifest, self.on_manifest)
        entry = shelf.put(encode(manifest), MANIFEST)
        entry["platform"] = {"architecture": self.architecture, "os": "linux"}
        if self.copies is not None:
            entry["annotations"] = {COPIES: json.dumps(self.copies)}
        return _changed(entry, self.on_entry)


def _changed(document: Json, change: Callable[[Json], Json | None]) -> Json:
    found = change(document)
    return document if found is None else found


def draft(variant: str, architecture: str, *, program: bytes = b"\x7fprogram 1") -> Draft:
    """Return an image of the family: a base, the program copied late, and what a RUN did afterwards."""
    base = make_layer({"bin/": None, "bin/sh": f"shell {architecture}".encode(), "usr/": None, "sbin": "bin"})
    into = "opt/family" if variant == "kiro" else "usr/local/bin"
    folders = {f"{into[:at]}/": None for at in range(1, len(into)) if into[at] == "/"}
    late = make_layer({**folders, f"{into}/": None, f"{into}/family": program + architecture.encode()})
    tail = make_layer({"home/": None, f"home/{variant}": f"{variant} {architecture}".encode()})
    destination = "/opt/family/" if variant == "kiro" else "/usr/local/bin/family"
    return Draft(
        archives=[base, late, tail],
        makers=[
            "/bin/sh -c #(nop) ADD file:1 in / ",
            f"COPY /src/build/family {destination} # buildkit",
            "RUN mkdir /home # buildkit",
        ],
        architecture=architecture,
        copies=[{"core": "builder", "layer": 1, "sources": ["/src/build/family"], "destination": destination}],
    )


def store_index(shelf: Shelf, entries: Sequence[Json], **more: object) -> Json:
    """Store an index over entries."""
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries), **more}
    return shelf.put(json.dumps(index).encode(), INDEX)


Change = Callable[[Draft], None]


def ship(
    shelf: Shelf,
    *,
    variants: Sequence[str] = VARIANTS,
    architectures: Sequence[str] = ARCHITECTURES,
    changes: Mapping[tuple[str, str], Change] | None = None,
) -> dict[tuple[str, str], Json]:
    """Ship a release, some of its images changed before they are stored; return every image's entry in its index."""
    found = {}
    for variant in variants:
        entries = []
        for architecture in architectures:
            one = draft(variant, architecture)
            if change := (changes or {}).get((variant, architecture)):
                change(one)
            found[(variant, architecture)] = one.store(shelf)
            entries.append(found[(variant, architecture)])
        shelf.tag(variant, store_index(shelf, entries))
    return found


def manifest_of(shelf: Shelf, entry: Json) -> Json:
    """Return the manifest that an entry refers to."""
    manifest: Json = json.loads(shelf.content(entry["digest"]))
    return manifest
