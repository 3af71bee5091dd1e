"""[io] The images that the local Docker has, and how it gets more."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from buildonce.engines.process import run_process
from buildonce.errors import EngineFailed, EngineUnavailable
from buildonce.oci import Digest

_FAILED = "Error unpacking"
"""What containerd's image store says of an image with a layer that is nowhere, and then ends with status 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalImages:
    """The image store of the Docker that the environment leads to."""

    environment: Mapping[str, str] = field(repr=False)

    async def layers(self, name: str) -> frozenset[Digest]:
        """Return the diff IDs of the image of this name; none where there is no such image, or nobody answers."""
        status, lines = await self._docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", name)
        try:
            return frozenset(msgspec.json.decode(lines[0], type=tuple[Digest, ...])) if status == 0 else frozenset()
        except (IndexError, msgspec.DecodeError):
            return frozenset()

    async def load(self, archive: Path) -> bool:
        """Load an archive of images; say whether all of them can be run: layers that lack are found out here.

        Raises `EngineUnavailable` where no Docker answers, and `EngineFailed` when it takes no such archive.
        """
        status, lines = await self._docker("load", "--input", str(archive))
        if status != 0:
            raise EngineFailed(
                "docker load failed; it said:\n" + "\n".join(f"  | {line}" for line in lines[-5:]),
                lines=tuple(lines),
                help="start Docker, or point DOCKER_HOST at a running one; what was shipped is complete",
            )
        return not any(_FAILED in line for line in lines)

    async def _docker(self, *arguments: str) -> tuple[int, list[str]]:
        lines: list[str] = []
        program = shutil.which("docker", path=self.environment.get("PATH"))
        if program is None:
            raise EngineUnavailable(
                "images cannot be loaded: there is no `docker` command", help="install Docker, or leave out --load"
            )
        status = await run_process((program, *arguments), environment=self.environment, on_line=lines.append)
        return status, lines
