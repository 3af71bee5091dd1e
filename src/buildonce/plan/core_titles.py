"""What cores are called outside of a run: names that stay when keys and contents change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from buildonce.dockerfile.stages import StageGraph
from buildonce.oci import Platform
from buildonce.plan.linking import Graphs
from buildonce.plan.nodes import Plan
from buildonce.plan.recipes import Key

Titles = Mapping[tuple[int, int, Platform], str]
"""The title of the core of a stage, by Dockerfile, stage and platform."""


def core_titles(plan: Plan, graphs: Graphs, places: Sequence[str]) -> Titles:
    """Return a title for each core that an image of the plan takes files from; ``places`` name the Dockerfiles.

    Two images whose cores have one title, and that are for one platform, should hold the same files: so a stage that
    several Dockerfiles have alike has one title, and stages that only have their name in common have several. A stage
    that is several cores in one Dockerfile has none.
    """
    keys: dict[tuple[int, int, Platform], set[Key]] = {}
    of_name: dict[tuple[str, Platform], set[Key]] = {}
    for image in (*plan.linked, *plan.images):
        for stage, key in image.cores.items():
            keys.setdefault((image.file, stage, image.platform), set()).add(key)
            label = graphs[(image.file, image.platform)].stages[stage].label
            of_name.setdefault((label, image.platform), set()).add(key)
    titles = {}
    for (file, stage, platform), found in keys.items():
        label = graphs[(file, platform)].stages[stage].label
        alike = len(of_name[(label, platform)]) == 1 and _is_alike(graphs, label, platform)
        if len(found) == 1:
            titles[(file, stage, platform)] = label if alike else f"{label} ({places[file]})"
    return titles


def _is_alike(graphs: Graphs, label: str, platform: Platform) -> bool:
    """Say whether all Dockerfiles that have a stage of this name have the same one."""
    texts = (_text(graph, label) for (_, of), graph in graphs.items() if of == platform)
    return len({text for text in texts if text is not None}) <= 1


def _text(graph: StageGraph, label: str) -> tuple[str, ...] | None:
    stage = next((one.stage for one in graph.stages if one.label == label), None)
    if stage is None:
        return None
    return (stage.from_.image, *(one.instruction.original for one in stage.instructions))
