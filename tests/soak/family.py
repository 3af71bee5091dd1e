"""A family of seven variants for two platforms that one program goes into, and an engine that is none.

The engine makes the program of the file `source` alone, so the same commit compiles to the same bytes everywhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from buildonce.engines.protocol import BuildJob, Built, Exported
from buildonce.oci import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor, Manifest, MediaType, digest_of, encode_json

PLATFORMS = ("linux/amd64", "linux/arm64")
VARIANTS = ("claude", "codex", "copilot", "cursor", "gemini", "grok", "kiro")
DOCKERFILE = """\
FROM {base} AS builder
COPY source /src/source
RUN make -C /src

FROM {base} AS claude
COPY --from=builder /out/tool /bin/tool
ENV AGENT=claude
FROM {base} AS codex
COPY --from=builder /out/tool /bin/tool
ENV AGENT=codex
FROM {base} AS copilot
COPY --from=builder --chown=1000:1000 /out/tool /opt/copilot/
USER 1000
FROM {base} AS cursor
WORKDIR /work
COPY --from=builder /out/tool ./
FROM {base} AS gemini
COPY --from=builder --chmod=0700 /out/tool /bin/tool
CMD ["tool", "--gemini"]
FROM {base} AS grok
COPY --from=builder /out/tool /bin/tool
COPY settings /etc/grok/
FROM {base} AS kiro
COPY --from=builder /out/ /usr/local/lib/kiro/
LABEL agent=kiro
"""
SIZE = 60_000


def write_project(folder: Path, commit: str, base: str = "busybox:1") -> None:
    """Write the family as it is at a commit."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base=base))
    (folder / "source").write_text(f"the program of commit {commit}\n")
    (folder / "settings").write_text("answer = 42\n")


class PretendEngine:
    """An engine that compiles as fast as it can be asked, and tells each time what it compiles."""

    name = "pretend 1.0"

    def __init__(self, tell: Callable[[str], None], seconds: float = 0.0) -> None:
        self._tell = tell
        self._seconds = seconds

    def repeats(self, _: BuildJob, /) -> bool:
        """Say no: cores have nothing in common."""
        return False

    async def build(self, job: BuildJob) -> Built:
        """Build the image of a core."""
        self._tell(f"{job.node} {(job.context / 'source').read_text().strip()}")
        await asyncio.sleep(self._seconds)
        archive = _archive(job)
        layer = _keep(job.output, archive, OCI_LAYER)
        config = {
            "architecture": job.platform.architecture,
            "os": job.platform.os,
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        }
        manifest = Manifest(
            media_type=OCI_MANIFEST,
            config=_keep(job.output, json.dumps(config).encode(), OCI_CONFIG),
            layers=(layer,),
        )
        return Built(layout=job.output, manifest=_keep(job.output, encode_json(manifest), OCI_MANIFEST), seconds=0.1)

    async def export(self, job: BuildJob) -> Exported:
        """Build the files of a core."""
        self._tell(f"{job.node} {(job.context / 'source').read_text().strip()}")
        await asyncio.sleep(self._seconds)
        path = job.output / "files.tar"
        path.write_bytes(_archive(job))
        return Exported(archive=path, seconds=0.1)


def _archive(job: BuildJob) -> bytes:
    assert job.target == "buildonce-core", f"nothing but cores needs an engine here: {job.target}"
    seed = f"{(job.context / 'source').read_text()} for {job.platform}".encode()
    content = b"".join(hashlib.sha256(seed + bytes([n % 256, n // 256])).digest() for n in range(SIZE // 32))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        folder = tarfile.TarInfo("out/")
        folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o755, int(time.time())
        archive.addfile(folder)
        member = tarfile.TarInfo("out/tool")
        member.size, member.mode, member.mtime = len(content), 0o755, int(time.time())
        archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _keep(layout: Path, content: bytes, media_type: MediaType) -> Descriptor:
    digest = digest_of(content)
    path = layout / "blobs" / digest.replace(":", "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Descriptor(media_type=media_type, digest=digest, size=len(content))


def tell_file(path: Path) -> Callable[[str], None]:
    """Return what adds a line to a file, also while other processes do."""

    def tell(line: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(descriptor, f"{line}\n".encode())
        finally:
            os.close(descriptor)

    return tell
