"""Where an image's steps go: above which of the base's layers, and what must be known of the base there. Pure."""

from __future__ import annotations

import hashlib

from msgspec import Struct

from buildonce.assemble.config import decode_config, working_directory
from buildonce.assemble.copying import CopySpec, destination_path
from buildonce.assemble.entries import NotExpressible
from buildonce.assemble.image import BaseImage, layers_before
from buildonce.assemble.resolution import clean
from buildonce.dockerfile.syntax import Copy, Onbuild, Workdir
from buildonce.plan.chains import ChainStep, StepKind
from buildonce.plan.core_titles import Titles
from buildonce.plan.nodes import ImageNode
from buildonce.ship.late_copies import LateCopy


class Probe(Struct, frozen=True, kw_only=True):
    """What assembly asks of a base: facts for these destinations, above its first ``layers`` layers."""

    layers: int
    destinations: tuple[str, ...]

    @property
    def key(self) -> str:
        """A short name of the question, the same for the same question."""
        text = "\0".join((str(self.layers), *self.destinations))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]


class PlacedStep(Struct, frozen=True, kw_only=True):
    """A step of assembly in its place.

    ``history`` is the number of the base's history entries below it; None for what follows all of them. ``probe`` is
    None for a step that makes no layer. ``destination`` is absolute.
    """

    step: ChainStep
    history: int | None
    probe: Probe | None
    destination: str = ""


def place_steps(node: ImageNode, base: BaseImage) -> tuple[PlacedStep, ...]:
    """Return the steps that assembly carries out, in their order.

    A late copy goes where it stands in the Dockerfile, below the layers of the steps that follow it there: so layers
    and history have the order that a build gives them. Raises `NotExpressible` for a base whose working directory is
    relative, which BuildKit takes in more than one way.
    """
    if not working_directory(decode_config(base.config)).startswith("/"):
        raise NotExpressible("the base has a working directory that is not absolute")
    hoisted = tuple(_place_hoisted(node, base, number, step) for number, step in enumerate(node.hoisted))
    layers = len(base.manifest.layers)
    trailing = []
    for step in node.trailing:
        destination = _destination(step)
        probe = Probe(layers=layers, destinations=(destination,)) if destination else None
        trailing.append(PlacedStep(step=step, history=None, probe=probe, destination=destination or ""))
    return (*hoisted, *trailing)


def copy_spec(step: ChainStep) -> CopySpec:
    """Return the rules' view of a COPY."""
    copy = step.step.expanded
    assert isinstance(copy, Copy)  # noqa: S101  the caller looked
    return CopySpec(
        sources=copy.sources,
        destination=copy.destination,
        workdir=step.step.workdir,
        chown=copy.chown,
        chmod=copy.chmod,
        link=copy.link,
        parents=copy.parents,
        exclude=copy.exclude,
        from_context=step.kind is StepKind.CONTEXT_COPY,
    )


def _place_hoisted(node: ImageNode, base: BaseImage, number: int, step: ChainStep) -> PlacedStep:
    below = _history_below(node, base, step, number)
    destination = _destination(step) or "/"
    probe = Probe(layers=layers_before(base, below), destinations=(destination,))
    return PlacedStep(step=step, history=below, probe=probe, destination=destination)


def _history_below(node: ImageNode, base: BaseImage, copy: ChainStep, number: int) -> int:
    """Return how many entries of the base's history are older than the hoisted copy of this number."""
    if node.external is not None:
        return node.external.history_length + copy.history - number
    # What the image of another target has, only the base itself tells.
    younger = [step for step in node.tail if step.history > copy.history]
    own = sum(not isinstance(step.step.instruction, Onbuild) for step in younger)
    return len(decode_config(base.config).get("history") or ()) - own


def _destination(step: ChainStep) -> str | None:
    match step.step.expanded:
        case Copy():
            return destination_path(copy_spec(step))[0]
        case Workdir():
            path = workdir_path(step)
            return None if path == "/" else path
        case _:
            return None


def workdir_path(step: ChainStep) -> str:
    """Return the absolute path of a WORKDIR."""
    workdir = step.step.expanded
    assert isinstance(workdir, Workdir)  # noqa: S101  the caller looked
    return destination_path(CopySpec(sources=(), destination=workdir.path, workdir=step.step.workdir))[0]


def late_copies(node: ImageNode, titles: Titles, *, layers: int) -> tuple[LateCopy, ...]:
    """Return which of an image's ``layers`` layers are late copies; those whose core has no title are left out."""
    steps = (step for step in (*node.hoisted, *node.trailing) if step.kind is StepKind.LATE_COPY)
    return tuple(
        _late_copy(step, titles[(node.file, step.source, node.platform)], layers - step.layers)
        for step in steps
        if step.source is not None and (node.file, step.source, node.platform) in titles
    )


def _late_copy(step: ChainStep, core: str, layer: int) -> LateCopy:
    spec = copy_spec(step)
    path, is_directory = destination_path(spec)
    return LateCopy(
        core=core,
        layer=layer,
        sources=tuple(clean(source) for source in spec.sources),
        destination=f"{path.rstrip('/')}/" if is_directory else path,
        parents=spec.parents,
    )
