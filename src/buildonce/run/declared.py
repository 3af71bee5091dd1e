"""[io] A project on disk as a declaration describes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from buildonce.dockerfile.stages import familiar_context_name
from buildonce.oci import parse_platform
from buildonce.plan.sources import Declared, Marks, NamedContext, TargetContext
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.project.links import linked_name
from buildonce.run.named_contexts import load_named_contexts
from buildonce.run.project import FileOrder, Project, load_files

_Place = tuple[str, str, str, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...], bytes]


def load_declared(
    declaration: Declaration, folder: Path, *, memory: Path | None = None
) -> tuple[Project, tuple[Declared, ...]]:
    """Return the project in ``folder`` and its variants; variants that differ in the target alone share a source file.

    Targets that others are linked to have their source files, too.

    ``memory`` is that of `load_files`, whose errors are raised too.
    """
    targets: dict[_Place, VariantDeclaration] = {}
    for one in (*declaration.variants, *declaration.linked):
        targets.setdefault(_place(one), one)
    numbers = {place: number for number, place in enumerate(targets)}
    contexts = _Contexts(folder, _links(declaration, numbers))
    orders = [
        FileOrder(
            dockerfile=Path(one.dockerfile) if one.inline else folder / one.dockerfile,
            inline=one.inline,
            context=folder / one.context,
            build_args=one.args,
            named_contexts=contexts.load(one.contexts),
            options=one.build.options,
        )
        for one in targets.values()
    ]
    declared = tuple(
        Declared(
            name=variant.name,
            file=numbers[_place(variant)],
            target=variant.target,
            platforms=tuple(parse_platform(text) for text in variant.platforms),
            marks=Marks(labels=variant.build.labels, annotations=variant.build.annotations),
        )
        for variant in declaration.variants
    )
    return load_files(orders, memory), declared


def _links(declaration: Declaration, numbers: Mapping[_Place, int]) -> Mapping[str, TargetContext]:
    """Return the results of the targets that others are linked to, by their names."""
    return {
        one.name: TargetContext(
            name=one.name,
            file=numbers[_place(one)],
            target=one.target,
            platforms=tuple(parse_platform(text) for text in one.platforms),
            labels=one.build.labels,
        )
        for one in declaration.linked
    }


def _place(variant: VariantDeclaration) -> _Place:
    args, contexts = sorted(variant.args.items()), sorted(variant.contexts.items())
    options = msgspec.json.encode(variant.build.options, order="sorted")
    return variant.inline or "", variant.dockerfile, variant.context, tuple(args), tuple(contexts), options


class _Contexts:
    """Named contexts, each opened once for all variants that have it."""

    def __init__(self, folder: Path, links: Mapping[str, TargetContext]) -> None:
        self._folder = folder
        self._links = links
        self._known: dict[tuple[str, str], Mapping[str, NamedContext]] = {}

    def load(self, contexts: Mapping[str, str]) -> Mapping[str, NamedContext]:
        found: dict[str, NamedContext] = {}
        for pair in contexts.items():
            if (link := self._links.get(linked_name(pair[1]) or "")) is not None:
                found[familiar_context_name(pair[0])] = link
                continue
            if pair not in self._known:
                self._known[pair] = load_named_contexts([f"{pair[0]}={pair[1]}"], self._folder)
            found.update(self._known[pair])
        return found
