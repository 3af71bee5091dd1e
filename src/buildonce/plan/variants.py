"""Which images the user wants: targets of Dockerfiles, and their names."""

from __future__ import annotations

import difflib
import posixpath
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from buildonce.dockerfile.stages import StageGraph, final_stages
from buildonce.errors import UsageError


class Variant(Struct, frozen=True, kw_only=True):
    """A target stage (``stage``, an index) of a Dockerfile (``file``, an index) and what the image is called."""

    name: str
    file: int
    stage: int


def default_variants(graphs: Sequence[StageGraph], folders: Sequence[str]) -> tuple[Variant, ...]:
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
        variants.append(Variant(name=name, file=number, stage=stage.index))
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
    for number, graph in enumerate(graphs):
        for stage in graph.dockerfile.stages:
            if stage.name:
                known.setdefault(stage.name, Variant(name=stage.name, file=number, stage=stage.index))
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
