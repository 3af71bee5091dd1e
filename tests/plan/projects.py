"""Plans from Dockerfile texts, with external images and contexts that exist only in the test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from buildonce.build_options import BuildOptions
from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.oci import (
    OCI_CONFIG,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Manifest,
    Platform,
    digest_of,
    parse_platform,
)
from buildonce.plan.file_plans import Images
from buildonce.plan.images import ExternalImage, parse_image_address
from buildonce.plan.linking import Graphs
from buildonce.plan.nodes import BaseNode, CoreNode, ImageNode, Plan
from buildonce.plan.planning import make_graphs, make_plan, needed_images
from buildonce.plan.recipes import FileInput
from buildonce.plan.sources import NamedContext, Request, SourceFile

AMD64, ARM64 = parse_platform("linux/amd64"), parse_platform("linux/arm64")


@dataclass
class FakeContext:
    """A build context as a mapping of paths to contents; a source word selects what it names or what is below it."""

    contents: Mapping[str, str] = field(default_factory=dict)

    def digest(self, sources: tuple[str, ...], exclude: tuple[str, ...], *, parents: bool = False) -> Digest:
        return digest_of(repr((sorted(self._selected(sources).items()), exclude, parents)).encode())

    def files(
        self,
        sources: tuple[str, ...],
        exclude: tuple[str, ...],  # noqa: ARG002
        *,
        parents: bool = False,  # noqa: ARG002
    ) -> tuple[FileInput, ...]:
        return tuple(
            FileInput(path, "file", 0o644, digest_of(content.encode()))
            for path, content in sorted(self._selected(sources).items())
        )

    def _selected(self, sources: tuple[str, ...]) -> dict[str, str]:
        words = [source.strip("/").removeprefix("./") for source in sources]
        return {
            path: content
            for path, content in self.contents.items()
            if any(word in ("", ".", path) or path.startswith(f"{word}/") for word in words)
        }


@dataclass
class FakeImages:
    """External images by name; ``versions`` tells apart states of one tag, ``configs`` sets what an image's has."""

    versions: Mapping[str, str] = field(default_factory=dict)
    configs: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def image(self, name: str, platform: Platform) -> ExternalImage:
        text = f"{name} {platform} {self.versions.get(name, '1')}"
        config = {
            "architecture": platform.architecture,
            "os": platform.os,
            "created": "2024-01-02T03:04:05Z",
            "config": {"Env": ["PATH=/usr/bin"], **self.configs.get(name, {})},
            "rootfs": {"type": "layers", "diff_ids": []},
            "history": [],
        }
        content = msgspec.json.encode(config)
        descriptor = Descriptor(media_type=OCI_CONFIG, digest=digest_of(content), size=len(content))
        return ExternalImage(
            reference=parse_image_address(name),
            platform=platform,
            digest=Digest("sha256:" + hashlib.sha256(text.encode()).hexdigest()),
            pinned=Digest("sha256:" + hashlib.sha256(f"index {text}".encode()).hexdigest()),
            manifest=Manifest(media_type=OCI_MANIFEST, config=descriptor, layers=()),
            config=config,
            config_content=content,
        )


@dataclass(frozen=True, kw_only=True)
class Made:
    """A plan and what it was made from."""

    request: Request
    graphs: Graphs
    images: Images
    plan: Plan


def make(
    *texts: str,
    files: Mapping[str, str] | None = None,
    images: FakeImages | None = None,
    platforms: Sequence[Platform] = (AMD64,),
    variants: Sequence[str] = (),
    build_args: Mapping[str, str] | None = None,
    paths: Sequence[str] = (),
    folder: str = "",
    named_contexts: Mapping[str, NamedContext] | None = None,
    options: BuildOptions | None = None,
) -> Made:
    """Make the plan for these Dockerfiles, all with the same context."""
    names = list(paths) or ["Dockerfile", *(f"Dockerfile.{number}" for number in range(1, len(texts)))]
    context = FakeContext(files or {})
    request = Request(
        files=tuple(
            SourceFile(
                dockerfile=parse_dockerfile(text.encode(), name),
                context=context,
                folder=folder,
                build_args=dict(build_args or {}),
                named_contexts=dict(named_contexts or {}),
                options=options or BuildOptions(),
            )
            for text, name in zip(texts, names, strict=True)
        ),
        platforms=tuple(platforms),
        build_platform=AMD64,
        variants=tuple(variants),
    )
    graphs = make_graphs(request)
    found = images_of(request, graphs, images or FakeImages())
    return Made(request=request, graphs=graphs, images=found, plan=make_plan(request, graphs, found))


def images_of(request: Request, graphs: Graphs, known: FakeImages) -> Images:
    """Return the external images that a plan needs."""
    return {pair: known.image(*pair) for pair in needed_images(request, graphs)}


def plan_of(*texts: str, **options: Any) -> Plan:
    """Return the plan for these Dockerfiles; see `make` for the options."""
    return make(*texts, **options).plan


def only_core(plan: Plan) -> CoreNode:
    """Return the plan's one core."""
    (core,) = plan.cores.values()
    return core


def image_of(plan: Plan, variant: str, platform: Platform = AMD64) -> ImageNode:
    """Return the image of a variant."""
    return next(image for image in plan.images if (image.variant, image.platform) == (variant, platform))


def base_of(plan: Plan, variant: str, platform: Platform = AMD64) -> BaseNode:
    """Return the base of a variant's image."""
    return plan.bases[image_of(plan, variant, platform).base]
