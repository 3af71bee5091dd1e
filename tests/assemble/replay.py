"""A Dockerfile stage assembled as the program would: each instruction on the tree that the one before left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from buildonce.assemble.compression import Compression
from buildonce.assemble.config import Config, MetadataInstruction, resolve_workdir
from buildonce.assemble.copying import CopySpec, copy_entries, workdir_entries
from buildonce.assemble.entries import Entry
from buildonce.assemble.image import AssembledImage, BaseImage, LayerStep, MetadataStep, assemble_image, copy_history
from buildonce.assemble.image import Step as ImageStep
from buildonce.assemble.owners import Passwd
from buildonce.assemble.tarball import write_layer
from buildonce.assemble.tree import Tree, apply_layer
from buildonce.dockerfile.evaluation import BaseState, Step, evaluate_stage
from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.stages import resolve_stages
from buildonce.dockerfile.syntax import Copy, Run, Workdir
from buildonce.oci import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came out: each layer's entries, and the steps to an image."""

    layers: tuple[tuple[Entry, ...], ...]
    steps: tuple[ImageStep, ...]

    def image(self, base: BaseImage, created: str) -> AssembledImage:
        return assemble_image(base, self.steps, created=created)


_STATE = BaseState(env={"PATH": "/bin"})


def evaluate(instructions: str, state: BaseState = _STATE) -> tuple[Step, ...]:
    """Return the steps of a stage that begins from a base in this state."""
    text = f"FROM scratch AS src\nFROM scratch AS base\nFROM base AS it\n{instructions}\n"
    platform = Platform(os="linux", architecture="amd64")
    graph = resolve_stages(
        parse_dockerfile(text.encode(), "Dockerfile"), build_args={}, target_platform=platform, build_platform=platform
    )
    return evaluate_stage(graph, graph.stages[-1], state).steps


def copy_spec(step: Step) -> CopySpec:
    copy = step.expanded
    assert isinstance(copy, Copy)
    return CopySpec(
        sources=copy.sources,
        destination=copy.destination,
        workdir=step.workdir,
        chown=copy.chown,
        chmod=copy.chmod,
        link=copy.link,
        parents=copy.parents,
        exclude=copy.exclude,
        from_context=copy.from_ is None,
    )


def replay(
    instructions: str,
    base: Tree,
    sources: Mapping[str, Tree],
    passwd: Passwd,
    folder: Path,
    *,
    epoch: int | None,
    state: BaseState = _STATE,
) -> Replay:
    """Return what the instructions make above ``base``; ``sources`` are by stage, the context under ""."""
    tree, layers, steps = base, list[tuple[Entry, ...]](), list[ImageStep]()
    config: Config = {"config": {"WorkingDir": "/"}}
    for number, step in enumerate(evaluate(instructions, state)):
        match step.expanded:
            case Copy() as copy:
                spec = copy_spec(step)
                entries = copy_entries(spec, sources[copy.from_ or ""], tree, epoch=epoch, passwd=passwd)
                text = copy_history(
                    copy.sources, copy.destination, chown=copy.chown, chmod=copy.chmod, parents=copy.parents
                )
                blob = write_layer(entries, folder / f"layer-{number}", compression=Compression.UNCOMPRESSED)
                steps.append(LayerStep(layer=blob, created_by=text))
            case Workdir(path=path) as workdir:
                directory = resolve_workdir(config | {"config": {"WorkingDir": step.workdir}}, path)
                if directory == "/":
                    steps.append(MetadataStep(instruction=workdir))
                    continue
                entries = workdir_entries(directory, tree, step.user, passwd, epoch)
                blob = write_layer(entries, folder / f"layer-{number}", compression=Compression.UNCOMPRESSED)
                steps.append(MetadataStep(instruction=workdir, layer=blob))
            case Run():
                raise AssertionError("RUN needs an engine")
            case _ as other:
                steps.append(MetadataStep(instruction=cast("MetadataInstruction", other)))
                continue
        layers.append(entries)
        tree = apply_layer(tree, entries)
    return Replay(layers=tuple(layers), steps=tuple(steps))
