"""[io] A project on disk as a declaration describes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from buildonce.oci import parse_platform
from buildonce.plan.sources import Declared, Marks, NamedContext
from buildonce.project.declaration import Declaration, VariantDeclaration
from buildonce.run.named_contexts import load_named_contexts
from buildonce.run.project import FileOrder, Project, load_files

_Place = tuple[str, str, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...], bytes]


def load_declared(
    declaration: Declaration, folder: Path, *, memory: Path | None = None
) -> tuple[Project, tuple[Declared, ...]]:
    """Return the project in ``folder`` and its variants; variants that differ in the target alone share a source file.

    ``memory`` is that of `load_files`, whose errors are raised too.
    """
    contexts = _Contexts(folder)
    orders: dict[_Place, FileOrder] = {}
    for variant in declaration.variants:
        if (place := _place(variant)) not in orders:
            orders[place] = FileOrder(
                dockerfile=folder / variant.dockerfile,
                context=folder / variant.context,
                build_args=variant.args,
                named_contexts=contexts.load(variant.contexts),
                options=variant.build.options,
            )
    numbers = {place: number for number, place in enumerate(orders)}
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
    return load_files(list(orders.values()), memory), declared


def _place(variant: VariantDeclaration) -> _Place:
    args, contexts = sorted(variant.args.items()), sorted(variant.contexts.items())
    options = msgspec.json.encode(variant.build.options, order="sorted")
    return variant.dockerfile, variant.context, tuple(args), tuple(contexts), options


class _Contexts:
    """Named contexts, each opened once for all variants that have it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[tuple[str, str], Mapping[str, NamedContext]] = {}

    def load(self, contexts: Mapping[str, str]) -> Mapping[str, NamedContext]:
        found: dict[str, NamedContext] = {}
        for pair in contexts.items():
            if pair not in self._known:
                self._known[pair] = load_named_contexts([f"{pair[0]}={pair[1]}"], self._folder)
            found.update(self._known[pair])
        return found
