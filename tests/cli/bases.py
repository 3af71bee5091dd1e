"""Small base images for a registry in memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence

from tests.fakes.registry import FakeRegistry

ARCHITECTURES = ("amd64", "arm64")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
PASSWD = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n"


def push_bases(
    registry: FakeRegistry,
    name: str = "library/busybox",
    tag: str = "1",
    *,
    files: Mapping[str, bytes | str] | None = None,
    architectures: Sequence[str] = ARCHITECTURES,
) -> None:
    """Put an index over images into a registry; ``files`` are more of them, or symbolic links, by path."""
    manifests = []
    for architecture in architectures:
        archive = _archive(architecture, files or {})
        layer = gzip.compress(archive, mtime=0)
        config = {
            "architecture": architecture,
            "os": "linux",
            "created": "2023-01-01T00:00:00Z",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(archive)]},
            "history": [{"created": "2023-01-01T00:00:00Z", "created_by": "made for a test"}],
        }
        content = json.dumps(config).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(registry, name, content, "application/vnd.oci.image.config.v1+json"),
            "layers": [_descriptor(registry, name, layer, "application/vnd.oci.image.layer.v1.tar+gzip")],
        }
        encoded = json.dumps(manifest).encode()
        digest = registry.add_manifest(name, encoded, MANIFEST)
        platform = {"architecture": architecture, "os": "linux"}
        manifests.append({"mediaType": MANIFEST, "digest": digest, "size": len(encoded), "platform": platform})
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
    registry.add_manifest(name, json.dumps(index).encode(), INDEX, tag=tag)


def digest_of(content: bytes) -> str:
    """Return a digest."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _descriptor(registry: FakeRegistry, name: str, content: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": registry.add_blob(name, content), "size": len(content)}


def _archive(architecture: str, more: Mapping[str, bytes | str]) -> bytes:
    out = io.BytesIO()
    files: dict[str, bytes | str | None] = {
        "bin/": None,
        "bin/arch": architecture.encode(),
        "etc/": None,
        "etc/passwd": PASSWD,
        **more,
    }
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.mode = 0o755
            if isinstance(content, bytes):
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
                continue
            member.type = tarfile.DIRTYPE if content is None else tarfile.SYMTYPE
            member.linkname = content or ""
            archive.addfile(member)
    return out.getvalue()
