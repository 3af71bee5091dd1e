"""Engine jobs: the derived Dockerfile, arguments and named contexts for each kind of node. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from buildonce.dockerfile.rewriting import append_stage, blank_instructions, insert_line
from buildonce.dockerfile.stages import StageGraph
from buildonce.oci import Digest, Platform
from buildonce.plan.images import ExternalImage, LayoutReference, parse_image_address
from buildonce.plan.nodes import BaseNode, CoreNode
from buildonce.plan.sources import FolderContext, ImageContext, NamedContext, RemoteContext, TargetContext
from buildonce.reference import DOCKER_HUB, Reference

CORE_STAGE = "buildonce-core"
_ROOT = '"/"'


class Derived(Struct, frozen=True, kw_only=True):
    """A Dockerfile that was derived from the user's, and the target to build in it."""

    text: str
    target: str


def derive_core(graph: StageGraph, node: CoreNode) -> Derived:
    """Return the Dockerfile with a last stage that holds just the core's files, at their original paths."""
    source = graph.stages[node.stage].label
    flags = f"--from={source} --parents" if node.with_parents else f"--from={source}"
    words = [_quote(path, graph.dockerfile.escape) for path in node.paths]
    copies = [f"COPY {flags} [{word}, {_ROOT if node.with_parents else word}]" for word in words]
    lines = [f"FROM scratch AS {CORE_STAGE}", *copies]
    return Derived(text=append_stage(_named(graph, node.needs, graph.dockerfile.text), lines), target=CORE_STAGE)


def derive_base(graph: StageGraph, node: BaseNode, *, again: str = "") -> Derived:
    """Return the Dockerfile without the late copies and without what follows the base; ``again`` is as below."""
    spans = (*node.hoisted, *node.after)
    return _with_target(graph, _anew(node, blank_instructions(graph.dockerfile, spans), again), node.stage)


def derive_proof(graph: StageGraph, node: BaseNode, cores: Iterable[int], *, again: str = "") -> Derived:
    """Return the Dockerfile up to the base's end with the late copies in their places.

    With ``again``, a name that no file has, what comes after the first late copy is sure to run anew.
    """
    text = blank_instructions(graph.dockerfile, node.after)
    return _with_target(graph, _anew(node, text, again), node.stage, cores)


def _anew(node: BaseNode, text: str, again: str) -> str:
    """Return the text with a COPY of nothing, by a name never seen, before the first late copy.

    It changes no file; an engine's cache has nothing of what follows it.
    """
    return insert_line(text, node.hoisted[0].start, f"COPY {again}* /") if again else text


def derive_faithful(graph: StageGraph, stage: int, cores: Iterable[int]) -> Derived:
    """Return the Dockerfile as it is; only nameless stages get names: the target, and those a core stands in for."""
    return _with_target(graph, graph.dockerfile.text, stage, cores)


def stage_context_name(graph: StageGraph, stage: int) -> str:
    """Return the name under which a named context replaces a stage."""
    return graph.stages[stage].name or f"buildonce-stage-{stage}"


def pinned_contexts(images: Iterable[ExternalImage]) -> Mapping[str, str]:
    """Return the named contexts that make an engine use exactly the images that the plan resolved.

    A name that is pinned by its digest already needs none. The name is Docker's familiar form, without ``:latest``,
    as BuildKit looks it up (frontend/dockerui/namedcontext.go).
    """
    return {
        familiar_name(image.reference): f"docker-image://{image.reference.repository}@{image.pinned}"
        for image in images
        if isinstance(image.reference, Reference) and image.reference.digest is None
    }


def given_contexts(contexts: Mapping[str, NamedContext], images: Iterable[ExternalImage]) -> Mapping[str, str]:
    """Return the user's named contexts for an engine, those that are ``images`` pinned to what the plan resolved."""
    pinned = {image.reference: image.pinned for image in images}
    found: dict[str, str] = {}
    for name, context in contexts.items():
        match context:
            case FolderContext(path=path):
                found[name] = path
            case RemoteContext(address=address):
                found[name] = address
            case ImageContext(address=address):
                found[name] = _pinned_address(parse_image_address(address), pinned)
            case TargetContext():
                pass  # cores stand for it, or its image; they are not the user's to give
    return found


def _pinned_address(
    reference: Reference | LayoutReference, pinned: Mapping[Reference | LayoutReference, Digest]
) -> str:
    digest = pinned.get(reference)
    if isinstance(reference, LayoutReference):
        return str(LayoutReference(reference.path, digest) if digest else reference)
    return f"docker-image://{replace(reference, tag=None, digest=digest) if digest else reference}"


def familiar_name(reference: Reference) -> str:
    """Return a reference as Docker shortens it."""
    name = str(reference.repository)
    if reference.repository.registry == DOCKER_HUB:
        name = reference.repository.name.removeprefix("library/")
    return name if reference.tag in (None, "latest") else f"{name}:{reference.tag}"


def platform_arguments(text: str, build_platform: Platform) -> Mapping[str, str]:
    """Return the build arguments that make the plan's build platform the engine's, if the Dockerfile asks for it."""
    values = {
        "BUILDPLATFORM": str(build_platform),
        "BUILDOS": build_platform.os,
        "BUILDARCH": build_platform.architecture,
        "BUILDVARIANT": build_platform.variant,
    }
    return {name: value for name, value in values.items() if re.search(rf"\b{name}\b", text)}


def _with_target(graph: StageGraph, text: str, target: int, cores: Iterable[int] = ()) -> Derived:
    """Return the text with a target, by its name: BuildKit takes no number for it."""
    return Derived(text=_named(graph, {target, *cores}, text), target=stage_context_name(graph, target))


def _named(graph: StageGraph, stages: Iterable[int], text: str) -> str:
    """Return the Dockerfile's text with names given to those of ``stages`` that have none."""
    nameless = [graph.stages[stage] for stage in stages if graph.stages[stage].name is None]
    lines = text.split("\n")
    for stage in nameless:
        number = stage.stage.from_.span.end - 1
        lines[number] = f"{lines[number].rstrip()} AS {stage_context_name(graph, stage.index)}"
    return "\n".join(lines)


def _quote(path: str, escape: str) -> str:
    return json.dumps(path.replace("$", f"{escape}$"))
