"""Which images the user wants: targets of Dockerfiles, and their names."""

from __future__ import annotations

import difflib
import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from buildonce.dockerfile.problems import did_you_mean
from buildonce.dockerfile.stages import StageGraph, final_stages
from buildonce.dockerfile.syntax import Dockerfile
from buildonce.errors import UsageError
from buildonce.oci import Platform
from buildonce.plan.sources import Marks, Request


class Variant(Struct, frozen=True, kw_only=True):
    """A target stage (an index) of a source file (an index), what the image is called, its platforms and its marks."""

    name: str
    file: int
    stage: int
    platforms: tuple[Platform, ...]
    marks: Marks = field(default_factory=Marks)


def default_variants(
    graphs: Sequence[StageGraph], folders: Sequence[str], platforms: tuple[Platform, ...]
) -> tuple[Variant, ...]:
    """Return every final stage that no other stage uses, over all Dockerfiles.

    A stage without a name, and one whose name several Dockerfiles have, is called after its Dockerfile: the part after
    the dot (``Dockerfile.claude``), else the folder it is in, else that of its context, which ``folders`` has. Raises
    `UsageError` when two variants still share a name.
    """
    found = [(number, graph, stage) for number, graph in enumerate(graphs) for stage in final_stages(graph)]
    counts = Counter(stage.name for _, _, stage in found)
    variants = []
    for number, graph, stage in found:
        name = (
            stage.name if stage.name and counts[stage.name] == 1 else _file_name(graph.dockerfile.path, folders[number])
        )
        variants.append(Variant(name=name, file=number, stage=stage.index, platforms=platforms))
    doubled = [name for name, count in Counter(variant.name for variant in variants).items() if count > 1]
    if doubled:
        paths = sorted({graphs[variant.file].dockerfile.path for variant in variants if variant.name == doubled[0]})
        raise UsageError(
            f"two variants are called `{doubled[0]}`",
            notes=(f"they come from {', '.join(paths)}",),
            help="give their final stages different names (`FROM ... AS name`)",
        )
    return tuple(variants)


def select_variants(
    wanted: Sequence[str], defaults: tuple[Variant, ...], graphs: Sequence[StageGraph]
) -> tuple[Variant, ...]:
    """Return the variants of these names: default ones, or any other named stage.

    Raises `UsageError` for a name that neither has, with the nearest one that exists.
    """
    known = {variant.name: variant for variant in defaults}
    platforms = defaults[0].platforms
    for number, graph in enumerate(graphs):
        for stage in graph.dockerfile.stages:
            if stage.name:
                found = Variant(name=stage.name, file=number, stage=stage.index, platforms=platforms)
                known.setdefault(stage.name, found)
    return _chosen(wanted, defaults, known)


def declared_variants(request: Request) -> tuple[Variant, ...]:
    """Return the variants that a project declares. Raises `UsageError` for all targets that are no stage."""
    dockerfiles = [file.dockerfile for file in request.files]
    stages = [(one, find_target(dockerfiles[one.file], one.target)) for one in request.declared]
    missing = [one for one, stage in stages if stage is None]
    if missing:
        known = {name for one in missing for name in stage_names(dockerfiles[one.file])}
        raise UsageError(
            "; ".join(
                f"the target `{one.target}` of variant `{one.name}` is no stage of {dockerfiles[one.file].path}"
                for one in missing
            ),
            help=did_you_mean(str(missing[0].target), known, "{}") or f"the stages are {', '.join(sorted(known))}",
        )
    return tuple(
        Variant(
            name=one.name, file=one.file, stage=stage, platforms=one.platforms or request.platforms, marks=one.marks
        )
        for one, stage in stages
        if stage is not None
    )


def find_target(dockerfile: Dockerfile, target: str | None) -> int | None:
    """Return the stage that a target means, as BuildKit finds it: the last of its name, its number, else the last."""
    if target is None:
        return len(dockerfile.stages) - 1
    if found := dockerfile.find_stage(target):
        return found.index
    number = int(target) if target.isascii() and target.isdecimal() else len(dockerfile.stages)
    return number if number < len(dockerfile.stages) else None


def stage_names(dockerfile: Dockerfile) -> list[str]:
    """Return the names of a Dockerfile's stages."""
    return [stage.name for stage in dockerfile.stages if stage.name]


def select_declared(wanted: Sequence[str], declared: tuple[Variant, ...]) -> tuple[Variant, ...]:
    """Return the declared variants of these names; raises `UsageError` for a name that none has."""
    return _chosen(wanted, declared, {variant.name: variant for variant in declared})


def _chosen(wanted: Sequence[str], defaults: tuple[Variant, ...], known: Mapping[str, Variant]) -> tuple[Variant, ...]:
    chosen = []
    for name in dict.fromkeys(wanted):
        variant = known.get(name) or known.get(name.lower())
        if variant is None:
            raise _unknown(name, defaults, list(known))
        chosen.append(variant)
    return tuple(chosen)


def _unknown(name: str, defaults: tuple[Variant, ...], known: list[str]) -> UsageError:
    near = difflib.get_close_matches(name, known, n=1)
    names = ", ".join(variant.name for variant in defaults) or "none"
    return UsageError(
        f"there is no variant `{name}`",
        notes=(f"the variants are: {names}",),
        help=f"did you mean `--variant {near[0]}`?" if near else None,
    )


def _file_name(path: str, folder: str) -> str:
    name = posixpath.basename(path)
    for prefix in ("Dockerfile.", "Containerfile."):
        if name.startswith(prefix):
            return name.removeprefix(prefix).lower()
    if name.lower().endswith((".dockerfile", ".containerfile")):
        return name.rpartition(".")[0].lower()
    return (posixpath.basename(posixpath.dirname(path)) or folder).lower() or "image"
