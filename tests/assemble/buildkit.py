"""[io] A real BuildKit as the oracle: stages built through `docker buildx bake`, exported as OCI layouts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from buildonce.assemble.archive import Layer, Want, scan_layer
from buildonce.assemble.facts import wants_user_file
from buildonce.oci import Descriptor, Digest, Manifest, decode_index, decode_manifest

EPOCH = 1_000_000_000
CREATED = "2001-09-09T01:46:40Z"
AMD64 = "linux/amd64"

HEAD = """\
FROM scratch AS base
ADD base.tar /
FROM scratch AS src
ADD src.tar /
WORKDIR /core
"""

_TAKES_CONTEXT = re.compile(r"^(?:COPY|ADD) (?!.*--from=)", re.MULTILINE)


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
    """A build context, the engine that builds stages in it, and a folder for what comes out.

    ``head`` are the stages that others are built on and copy from, ``contexts`` named contexts.
    """

    context: Path
    results: Path
    head: str = HEAD
    contexts: Mapping[str, str] = field(default_factory=dict)
    _layers: dict[Digest, Layer] = field(default_factory=dict)

    def build(self, name: str, stage: str, *, platform: str = AMD64) -> Built | Failed:
        """Build one stage; see `build_all`."""
        built = self.build_all(name, {"it": stage}, platform=platform)
        return built if isinstance(built, Failed) else built["it"]

    def build_all(self, name: str, stages: Mapping[str, str], *, platform: str = AMD64) -> Mapping[str, Built] | Failed:
        """Build stages in one call, each an image; times in their config and history are `EPOCH`.

        A stage's text begins from ``base``, unless it has a FROM of its own. If one fails, all do.
        """
        dockerfile = self.results / f"{name}.Dockerfile"
        dockerfile.write_text(self.head + "".join(_stage(*item) for item in stages.items()), encoding="utf-8")
        folder = self.results / name
        shutil.rmtree(folder, ignore_errors=True)
        targets = {}
        for stage, text in stages.items():
            context = self._under_a_new_name() if _TAKES_CONTEXT.search(text) else self.context
            targets[stage] = self._target(dockerfile, stage, folder / stage, platform, context)
        file = self.results / f"{name}.json"
        file.write_text(json.dumps({"group": {"default": {"targets": list(stages)}}, "target": targets}))
        command = ["docker", "buildx", "bake", "--progress=plain", "--allow=fs=*", f"--file={file}"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=600)
        assert "Cannot connect to the Docker daemon" not in done.stderr, done.stderr
        if done.returncode:
            return Failed(text=done.stderr)
        built = {stage: self._read_layout(folder / stage) for stage in stages}
        shutil.rmtree(folder)
        return built

    def refuses(self, name: str, stage: str) -> bool:
        """Say whether a stage cannot be built; nothing is exported."""
        dockerfile = self.results / f"{name}.Dockerfile"
        dockerfile.write_text(self.head + _stage("it", stage), encoding="utf-8")
        command = ["docker", "buildx", "build", "--quiet", "--provenance=false", f"--platform={AMD64}", "--target=it"]
        command += [f"--build-context={name}={place}" for name, place in self.contexts.items()]
        command += ["--output=type=cacheonly", f"--file={dockerfile}", str(self.context)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=600)
        assert not done.returncode or "ERROR: fail" in done.stderr, done.stderr
        return bool(done.returncode)

    def _under_a_new_name(self) -> Path:
        """Return the context by a name that no build ever had.

        BuildKit keeps what it was sent by the name of the context's folder, across builds, and updates that. A folder
        in it of which a later build wants more or fewer files gets the time of the update and keeps it: no times of
        folders are compared (fsutil, diff_containerd.go).
        """
        link = self.results / f"context-{uuid.uuid4()}"
        link.symlink_to(self.context)
        return link

    def _target(self, dockerfile: Path, stage: str, output: Path, platform: str, context: Path) -> Mapping[str, object]:
        return {
            "context": str(context),
            "contexts": dict(self.contexts),
            "dockerfile": str(dockerfile),
            "target": stage,
            # BuildKit's cache takes trees for the same in which a file of the same name is in another place.
            "no-cache-filter": [stage],
            "platforms": [platform],
            "args": {"SOURCE_DATE_EPOCH": str(EPOCH)},
            "attest": ["type=provenance,disabled=true"],
            "output": [f"type=oci,tar=false,dest={output}"],
        }

    def _read_layout(self, layout: Path) -> Built:
        def path(descriptor: Descriptor) -> Path:
            return layout / "blobs" / descriptor.digest.replace(":", "/")

        index = decode_index((layout / "index.json").read_bytes())
        manifest_bytes = path(index.manifests[0]).read_bytes()
        manifest = decode_manifest(manifest_bytes)
        for descriptor in manifest.layers:
            if descriptor.digest not in self._layers:
                contents = self.results / f"{descriptor.digest.partition(':')[2]}.tar"
                with path(descriptor).open("rb") as file:
                    want = Want(contents_path=contents, keep=wants_user_file)
                    self._layers[descriptor.digest] = scan_layer(file, want, digest=descriptor.digest)
        return Built(
            manifest_bytes=manifest_bytes,
            manifest=manifest,
            config=path(manifest.config).read_bytes(),
            layers=tuple(self._layers[descriptor.digest] for descriptor in manifest.layers),
        )


def assert_host() -> None:
    """Fail, with the cure, where no engine is at hand."""
    assert os.environ.get("DOCKER_HOST"), 'no test host: run `scripts/host up` and `eval "$(scripts/host env)"`'


def split_stage(text: str) -> tuple[str, str]:
    """Return the name that a stage's FROM has, ``base`` if it has none, and its instructions."""
    if not text.startswith("FROM "):
        return "base", text
    name, _, instructions = text.removeprefix("FROM ").partition("\n")
    return name, instructions


def _stage(name: str, text: str) -> str:
    base, instructions = split_stage(text)
    return f"FROM {base} AS {name}\n{instructions}\n"
