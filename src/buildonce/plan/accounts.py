"""Accounts: everything that a node's key covers, by name, so that two keys can be compared by what made them.

A recipe names its inputs by digests and keys; an account follows them down to files, arguments, lines and images. It
decides nothing: no key is made from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from buildonce.dockerfile.evaluation import Step
from buildonce.dockerfile.runes import escape_invalid
from buildonce.dockerfile.stages import ContextSource, ImageSource, Source, StageGraph, StageSource, TargetSource
from buildonce.dockerfile.syntax import Arg, Copy, Env, Run
from buildonce.oci import Digest, Platform
from buildonce.plan.file_plans import FilePlan, Images
from buildonce.plan.given import given_folders
from buildonce.plan.linking import Graphs, home_finder
from buildonce.plan.nodes import BaseNode, CoreNode, ImageNode
from buildonce.plan.planning import CORE, describe_base_step, describe_image_step, describe_whole_step
from buildonce.plan.recipes import FORMAT, FileInput, StepRecipe, key_of
from buildonce.plan.secrecy import conceal, hide_credentials
from buildonce.plan.settings import foreign_frontend, label_settings
from buildonce.plan.sources import ContextFiles, FolderContext, NamedContext, Request, SourceFile

UNRESOLVED = "unresolved:"
"""How the digest of an image begins that nobody could be asked for: only its name is compared."""

_NOTHING: Mapping[str, str] = MappingProxyType({})
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Read(Struct, frozen=True, array_like=True):
    """A stage or image that a step takes files from: its name there, and the key or digest that stands for it."""

    name: str
    key: str


class StepAccount(Struct, frozen=True, omit_defaults=True):
    """An instruction: its line and text in the Dockerfile, its recipe, the ARG values in force, and what it reads."""

    line: int
    text: str
    recipe: StepRecipe
    args: Mapping[str, str] = {}
    reads: tuple[Read, ...] = ()


class StageAccount(Struct, frozen=True, omit_defaults=True):
    """A stage, or the whole chain of a base or an image.

    ``key`` is that of its recipe, ``origin`` what its first instruction starts from: a stage's key, an image's digest
    or ``scratch``; ``base`` that image's or stage's name, ``written`` the same as the Dockerfile has it. ``arguments``
    are the build arguments in it, of which ``given`` have their values from outside the Dockerfile. ``lines`` says
    where a variable is set (``ARG NAME`` and ``ENV NAME``), ``settings`` what else decides how its instructions are
    carried out.
    """

    name: str
    key: str
    dockerfile: str
    line: int
    platform: str
    base: str
    written: str
    origin: str
    arguments: Mapping[str, str] = {}
    given: tuple[str, ...] = ()
    lines: Mapping[str, int] = {}
    settings: Mapping[str, str] = {}
    steps: tuple[StepAccount, ...] = ()


class Account(Struct, frozen=True, omit_defaults=True):
    """What the key of a node covers.

    ``kind`` is ``core``, ``base`` or ``image``. ``root`` is the key under which ``stages`` has the node's own stage
    or chain; the others are those that it depends on. ``files`` has each selection of context files by its digest.
    ``paths`` are what a core takes from its stage, with the directories on the way or not; ``cores`` the names of the
    cores that an engine-built image takes, with the keys of their stages. ``commit`` is the Git commit it was made at,
    if there was one; it is no input.
    """

    kind: str
    name: str
    platform: str
    key: str
    root: str
    stages: Mapping[str, StageAccount]
    files: Mapping[str, tuple[FileInput, ...]] = {}
    paths: tuple[str, ...] = ()
    with_parents: bool = False
    cores: tuple[Read, ...] = ()
    commit: str = ""
    seconds: float = 0.0
    format: int = FORMAT

    @property
    def stage(self) -> StageAccount:
        """The node's own stage or chain."""
        return self.stages[self.root]

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.platform}"


class Accountant:
    """Gives the account of any node of a plan that was made from the same request, graphs and images."""

    def __init__(self, request: Request, graphs: Graphs, images: Images) -> None:
        self._listed: dict[str, tuple[FileInput, ...]] = {}
        contexts = [_Listed(file.context, self._listed) for file in request.files]
        self._plans: dict[tuple[int, Platform], FilePlan] = {}
        for (number, platform), graph in graphs.items():
            file = request.files[number]
            self._plans[number, platform] = FilePlan(
                number,
                graph,
                contexts[number],
                images,
                self._named(file, graph),
                sandbox=file.options.sandbox,
                find_home=home_finder(request, self._plans),
            )

    def core(self, node: CoreNode) -> Account:
        """Return the account of a core."""
        stages = _Stages(self._plans[(node.file, node.target)])
        root = stages.add(node.stage)
        return Account(
            kind="core",
            name=node.name,
            platform=str(node.platform),
            key=node.key,
            root=root,
            stages=stages.found,
            files=self._files(stages),
            paths=node.paths,
            with_parents=node.with_parents,
        )

    def base(self, node: BaseNode) -> Account:
        """Return the account of a base."""
        stages = _Stages(self._plans[(node.file, node.platform)])
        chain = stages.plan.chain(node.stage)
        steps = [
            (one.step, recipe)
            for one in chain.steps[: chain.engine_end]
            for recipe in describe_base_step(one, stages.plan)
        ]
        root = stages.add_chain(node.name, chain.stages, node.key, steps)
        return Account(
            kind="base",
            name=node.name,
            platform=str(node.platform),
            key=node.key,
            root=root,
            stages=stages.found,
            files=self._files(stages),
        )

    def image(self, node: ImageNode, cores: Mapping[int, CoreNode]) -> Account:
        """Return the account of an image that an engine builds; ``cores`` are those it takes, by stage."""
        stages = _Stages(self._plans[(node.file, node.platform)])
        chain = stages.plan.chain(node.stage)
        steps = [(one.step, recipe) for one in chain.steps for recipe in describe_image_step(one, stages.plan, cores)]
        key = key_of(node.recipe)
        root = stages.add_chain(node.variant, chain.stages, key, steps, label_settings(node.marks.labels))
        reads = tuple(Read(core.name, stages.add(stage)) for stage, core in sorted(cores.items()))
        return Account(
            kind="image",
            name=node.variant,
            platform=str(node.platform),
            key=key,
            root=root,
            stages=stages.found,
            files=self._files(stages),
            cores=reads,
        )

    def _named(self, file: SourceFile, graph: StageGraph) -> Mapping[str, NamedContext]:
        contexts = {**file.named_contexts, **given_folders(file, graph)}
        return {name: self._listing(context) for name, context in contexts.items()}

    def _listing(self, named: NamedContext) -> NamedContext:
        return replace(named, files=_Listed(named.files, self._listed)) if isinstance(named, FolderContext) else named

    def _files(self, stages: _Stages) -> Mapping[str, tuple[FileInput, ...]]:
        recipes = [step.recipe for stage in stages.found.values() for step in stage.steps]
        texts = [text for recipe in recipes for text in (recipe.files, *recipe.reads)]
        texts += [stage.origin for stage in stages.found.values()]
        digests = {digest for text in texts for digest in _DIGEST.findall(text)}
        return {digest: self._listed[digest] for digest in sorted(digests) if digest in self._listed}


class _Listed:
    """A build context that lists, by digest, the files that it was asked for."""

    def __init__(self, context: ContextFiles, listed: dict[str, tuple[FileInput, ...]]) -> None:
        self._context = context
        self._listed = listed

    def digest(self, sources: tuple[str, ...], exclude: tuple[str, ...], *, parents: bool = False) -> Digest:
        digest = self._context.digest(sources, exclude, parents=parents)
        self._listed[digest] = self.files(sources, exclude, parents=parents)
        return digest

    def files(
        self, sources: tuple[str, ...], exclude: tuple[str, ...], *, parents: bool = False
    ) -> tuple[FileInput, ...]:
        return self._context.files(sources, exclude, parents=parents)


class _Stages:
    """The stages that an account needs, found one from the other."""

    def __init__(self, plan: FilePlan, found: dict[str, StageAccount] | None = None) -> None:
        self.plan = plan
        self.found: dict[str, StageAccount] = {} if found is None else found

    def add(self, stage: int) -> str:
        """Add a stage with all that it depends on; return its key."""
        if home := self.plan.home(stage):
            return _Stages(home[0], self.found).add(home[1])
        key = self.plan.key(stage)
        if key not in self.found:
            steps = [(one, recipe) for one in self.plan.evaluated(stage).steps for recipe in self.plan.describe((one,))]
            self.add_chain(self.plan.label(stage), (stage,), key, steps)
        return key

    def add_chain(
        self,
        name: str,
        stages: tuple[int, ...],
        key: str,
        steps: Sequence[tuple[Step, StepRecipe]],
        more: Mapping[str, str] = _NOTHING,
    ) -> str:
        """Add a chain of stages as one, with all that it depends on and ``more`` settings; return its key."""
        graph = self.plan.graph
        first = graph.stages[stages[0]]
        written_at = graph.stages[stages[1]] if first.linked else first
        written = escape_invalid(written_at.stage.from_.instruction.original)
        values = {**graph.global_args, **graph.build_args}
        frontend = foreign_frontend(graph)
        self.found[key] = StageAccount(
            name=name,
            key=key,
            dockerfile=graph.dockerfile.path,
            line=written_at.stage.from_.span.start,
            platform=str(self.plan.platform(stages[-1])),
            base=self._name(first.base),
            written=written,
            origin=self._depend(first.base),
            arguments={name: conceal(name, values.get(name, "")) for name in sorted(first.from_args)},
            given=tuple(sorted(name for name in first.from_args if name in graph.build_args)),
            lines={place: line for stage in stages for place, line in _lines(self.plan.evaluated(stage).steps)},
            settings={
                **self.plan.settings(recipe for _, recipe in steps),
                **({"the frontend": frontend} if frontend else {}),
                **more,
            },
            steps=tuple(self._step(step, recipe) for step, recipe in steps),
        )
        return key

    def _step(self, step: Step, recipe: StepRecipe) -> StepAccount:
        is_run = isinstance(step.expanded, Run)
        # What a late copy of a base reads is no input of the base.
        reads = tuple(Read(name, key) for name, key in zip(_read_names(step), recipe.reads, strict=False))
        for dependency in step.dependencies:
            if any(read.name == dependency.name and read.key != CORE for read in reads):
                self._depend(dependency.source)
        return StepAccount(
            line=step.instruction.span.start,
            text=escape_invalid(step.instruction.instruction.original),
            recipe=recipe,
            args={name: conceal(name, value) for name, value in step.args.items()} if is_run else {},
            reads=reads,
        )

    def _depend(self, source: Source) -> str:
        if isinstance(source, StageSource):
            return self.add(source.index)
        if isinstance(source, TargetSource):
            self._add_target(source)
        return self.plan.source_key(source)

    def _add_target(self, source: TargetSource) -> None:
        """Add the image of a target that something is built on."""
        root = next(stage.index for stage in self.plan.graph.stages if stage.base == source)
        if home := self.plan.home(root):
            inside, chain = _Stages(home[0], self.found), home[0].chain(home[1])
            steps = [(one.step, each) for one in chain.steps for each in describe_whole_step(one, home[0])]
            context, key = self.plan.context_of(source), self.plan.source_key(source)
            inside.add_chain(context.name, chain.stages, key, steps, label_settings(context.labels))

    def _name(self, source: Source) -> str:
        match source:
            case StageSource(index=index):
                return self.plan.label(index)
            case ImageSource(name=name) | ContextSource(name=name) | TargetSource(name=name):
                return hide_credentials(name)
            case _:
                return "scratch"


def _read_names(step: Step) -> tuple[str, ...]:
    """Return the names of what a step reads, in the order of its recipe."""
    match step.expanded:
        case Run(mounts=mounts):
            return tuple(mount.from_ for mount in mounts if mount.from_)
        case Copy(from_=str(name)):
            return (name,)
        case _:
            return ()


def _lines(steps: Iterable[Step]) -> Iterable[tuple[str, int]]:
    """Yield where variables are set: ``ARG NAME`` and ``ENV NAME``, the last place of each."""
    for step in steps:
        match step.expanded:
            case Arg(pairs=pairs):
                yield from ((f"ARG {name}", step.instruction.span.start) for name, _ in pairs)
            case Env(pairs=pairs):
                yield from ((f"ENV {name}", step.instruction.span.start) for name, _ in pairs)
