"""[io] A real BuildKit as the oracle: stages built through `docker buildx`, exported as OCI layouts."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from buildonce.assemble.archive import Layer, scan_layer
from buildonce.assemble.facts import wants_user_file
from buildonce.oci import Descriptor, Manifest, decode_index, decode_manifest

EPOCH = 1_000_000_000
CREATED = "2001-09-09T01:46:40Z"

_HEAD = """\
FROM scratch AS base
ADD base.tar /
FROM scratch AS src
ADD src.tar /
WORKDIR /core
FROM base AS it
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An image that BuildKit exported; each layer's files can be read."""

    manifest_bytes: bytes
    manifest: Manifest
    config: bytes
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """What BuildKit said when it refused."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildKit:
    """A build context with a base and a source, and the engine that builds stages on them."""

    context: Path
    results: Path

    def build(self, name: str, instructions: str, *, target: str = "it") -> Built | Failed:
        """Build a stage of these instructions on the base; its times in config and history are `EPOCH`."""
        dockerfile = self.results / f"{name}.Dockerfile"
        dockerfile.write_text(f"{_HEAD}{instructions}\n", encoding="utf-8")
        layout = self.results / name
        shutil.rmtree(layout, ignore_errors=True)
        command = [
            "docker",
            "buildx",
            "build",
            "--quiet",
            "--provenance=false",
            "--platform=linux/amd64",
            f"--build-arg=SOURCE_DATE_EPOCH={EPOCH}",
            f"--file={dockerfile}",
            f"--target={target}",
            f"--output=type=oci,tar=false,dest={layout}",
            str(self.context),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode:
            return Failed(text=done.stderr)
        return _read_layout(layout)


def assert_host() -> None:
    """Fail, with the cure, where no engine is at hand."""
    assert os.environ.get("DOCKER_HOST"), 'no test host: run `scripts/host up` and `eval "$(scripts/host env)"`'


def _read_layout(layout: Path) -> Built:
    def path(descriptor: Descriptor) -> Path:
        return layout / "blobs" / descriptor.digest.replace(":", "/")

    index = decode_index((layout / "index.json").read_bytes())
    manifest_bytes = path(index.manifests[0]).read_bytes()
    manifest = decode_manifest(manifest_bytes)
    layers: list[Layer] = []
    for descriptor in manifest.layers:
        blob = path(descriptor)
        with blob.open("rb") as file:
            layers.append(
                scan_layer(
                    file,
                    contents_path=blob.with_name(f"{blob.name}.tar"),
                    keep=wants_user_file,
                    digest=descriptor.digest,
                )
            )
    return Built(
        manifest_bytes=manifest_bytes,
        manifest=manifest,
        config=path(manifest.config).read_bytes(),
        layers=tuple(layers),
    )
