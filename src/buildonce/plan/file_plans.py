"""One Dockerfile for one platform: evaluated stages, their keys, and the chains of targets."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

from buildonce.dockerfile.evaluation import BaseState, Evaluated, Step, evaluate_stage
from buildonce.dockerfile.runes import escape_invalid
from buildonce.dockerfile.stages import (
    ContextSource,
    ImageSource,
    Source,
    StageGraph,
    StageSource,
    TargetSource,
    chain,
    familiar_context_name,
    reachable,
)
from buildonce.dockerfile.syntax import Copy, Onbuild, Run
from buildonce.errors import ContextError
from buildonce.oci import Platform
from buildonce.plan.chains import Chain, make_chain
from buildonce.plan.images import ExternalImage
from buildonce.plan.recipes import Key, Recipe, StepRecipe, key_of
from buildonce.plan.secrecy import hide_credentials
from buildonce.plan.settings import foreign_frontend, label_settings, settings
from buildonce.plan.sources import ContextFiles, FolderContext, Home, NamedContext, TargetContext
from buildonce.plan.stage_recipes import Inputs, Reading, ReadKey, describe_step, unpinned_sources

Images = Mapping[tuple[str, Platform], ExternalImage]


def images_needed(graph: StageGraph, stage: int) -> frozenset[tuple[str, Platform]]:
    """Return the external images that building a stage takes: their names as written, and the platforms."""
    members = reachable(graph, graph.stages[stage])
    sources = [dependency.source for member in members for dependency in member.dependencies]
    sources += [member.base for member in members]
    return frozenset((source.name, source.platform) for source in sources if isinstance(source, ImageSource))


_ALL = Reading()
_NOTHING: Mapping[str, str] = MappingProxyType({})

FILES = "files:"
"""What stands in a recipe before the digest of the files that are taken from a named context."""


FindHome = Callable[[int, TargetSource], tuple["FilePlan", int, Platform]]
"""Finds where the target is planned that a source of a file is, with its stage and platform."""


class FilePlan:
    """What planning knows of one Dockerfile for one target platform; everything is computed once, when asked for."""

    def __init__(
        self,
        file: int,
        graph: StageGraph,
        context: ContextFiles,
        images: Images,
        named_contexts: Mapping[str, NamedContext] | None = None,
        given: Collection[str] = (),
        sandbox: Mapping[str, str] = _NOTHING,
        find_home: FindHome | None = None,
    ) -> None:
        self.file = file
        self.graph = graph
        self._context = context
        self._images = images
        self._named = named_contexts or {}
        self._given = frozenset(given)
        self._sandbox = sandbox
        self._find_home = find_home
        self._evaluated: dict[int, Evaluated] = {}
        self._keys: dict[int, Key] = {}
        self._chains: dict[int, Chain] = {}

    def label(self, stage: int) -> str:
        """The stage's name, or its number."""
        return self.graph.stages[stage].label

    def home(self, stage: int) -> tuple[FilePlan, int, Platform] | None:
        """Where a stage is planned that stands for the result of a target; None for any other stage."""
        linked = self.graph.stages[stage].linked
        return self._find_home(self.file, linked) if linked and self._find_home else None

    def built_on(self, stage: int) -> Home | None:
        """The target whose image a stage's chain starts from; None if it starts from anything else."""
        root = self.root(stage)
        source, home = self.graph.stages[root].linked, self.home(root)
        return Home(home[0].file, home[1], home[2], self.context_of(source).name) if source and home else None

    def context_of(self, source: TargetSource) -> TargetContext:
        """The named context that a source is."""
        named = self._named[source.name]
        assert isinstance(named, TargetContext)  # noqa: S101  only these make such sources
        return named

    def is_given(self, stage: int) -> bool:
        """Whether the user brings a stage's files."""
        return self.graph.stages[stage].name in self._given

    def is_out_of_reach(self, stage: int) -> bool:
        """Whether an engine cannot make a stage by itself: given files or the results of other targets are in it."""
        members = reachable(self.graph, self.graph.stages[stage])
        return any(member.linked or self.is_given(member.index) for member in members)

    def platform(self, stage: int) -> Platform:
        """The platform that a stage's instructions run on."""
        return self.graph.stages[stage].platform

    def external(self, stage: int) -> ExternalImage | None:
        """The external image a stage starts from; None for scratch and for another stage."""
        base = self.graph.stages[stage].base
        return self._images[(base.name, base.platform)] if isinstance(base, ImageSource) else None

    def root(self, stage: int) -> int:
        """The first stage of a stage's chain: the one that starts from an external image or scratch."""
        return chain(self.graph, self.graph.stages[stage])[0].index

    def epoch(self, stage: int) -> int:
        """When the external image was made that all is built on in the end, in seconds since 1970; 0 if none is."""
        root = self.root(stage)
        if home := self.home(root):
            return home[0].epoch(home[1])
        external = self.external(root)
        return external.created if external else 0

    def is_alias(self, stage: int) -> bool:
        """Whether a stage is an external image under another name: an engine has its files without building it."""
        return self.external(stage) is not None and not self.recipe(stage).steps

    def evaluated(self, stage: int) -> Evaluated:
        """A stage's steps with all words expanded."""
        if stage not in self._evaluated:
            resolved, state = self.graph.stages[stage], self._base_state(stage)
            is_linked = resolved.linked is not None
            self._evaluated[stage] = (
                Evaluated(steps=(), final=state) if is_linked else evaluate_stage(self.graph, resolved, state)
            )
        return self._evaluated[stage]

    def chain(self, stage: int) -> Chain:
        """The instruction chain of a target."""
        if stage not in self._chains:
            members = chain(self.graph, self.graph.stages[stage])
            self._chains[stage] = make_chain(
                tuple((member.index, self.evaluated(member.index).steps) for member in members)
            )
        return self._chains[stage]

    def reads(self, stage: int) -> Mapping[int, frozenset[str]]:
        """Return which other stages a chain takes files from while it is built, and which paths of them."""
        found: dict[int, set[str]] = {}
        inside = set(self.chain(stage).stages)
        for member in self.chain(stage).steps:
            named = _named_words(member.step)
            for dependency in member.step.dependencies:
                if isinstance(dependency.source, StageSource) and dependency.source.index not in inside:
                    paths = core_paths(named.get(dependency.name, ("/",)))
                    found.setdefault(dependency.source.index, set()).update(paths)
        return {source: frozenset(paths) for source, paths in found.items()}

    def reads_parents(self, stage: int) -> frozenset[int]:
        """Return the other stages that a chain copies from with ``--parents``: directories on the way count, too."""
        sources = (
            dependency.source
            for member in self.chain(stage).steps
            if isinstance(member.step.expanded, Copy) and member.step.expanded.parents
            for dependency in member.step.dependencies
        )
        return frozenset(source.index for source in sources if isinstance(source, StageSource))

    def key(self, stage: int) -> Key:
        """The key of all files of a stage."""
        if stage not in self._keys:
            self._keys[stage] = key_of(self.recipe(stage))
        return self._keys[stage]

    def recipe(self, stage: int) -> Recipe:
        """The recipe of all files of a stage."""
        if home := self.home(stage):
            return home[0].recipe(home[1])
        steps = self.describe(self.evaluated(stage).steps)
        return self.recipe_of("stage", self.platform(stage), self.origin(stage), steps)

    def whole_recipe(self, stage: int, labels: Mapping[str, str]) -> Recipe:
        """The recipe of the image that a stage is, with these labels: its files and its config."""
        chain = self.chain(stage)
        steps = self.describe((one.step for one in chain.steps), with_metadata=True)
        origin = self.origin(chain.stages[0])
        return self.recipe_of("image", self.platform(stage), origin, steps, label_settings(labels))

    def recipe_of(
        self,
        kind: str,
        platform: Platform,
        origin: str,
        steps: tuple[StepRecipe, ...],
        more: Mapping[str, str] = _NOTHING,
    ) -> Recipe:
        """Return a recipe of these steps, with what else decides how an engine carries them out, and ``more``."""
        return Recipe(
            kind=kind,
            platform=str(platform),
            origin=origin,
            steps=steps,
            frontend=foreign_frontend(self.graph) if steps else "",
            settings={**self.settings(steps), **more},
        )

    def settings(self, steps: Iterable[StepRecipe]) -> Mapping[str, str]:
        """Return what decides how these steps are carried out: what BuildKit acts upon, and what every RUN finds."""
        texts = [step.text for step in steps]
        runs = any(text.startswith("RUN") for text in texts)
        return {**(settings(self.graph) if texts else {}), **(self._sandbox if runs else {})}

    def origin(self, stage: int) -> str:
        """What a stage starts from: ``scratch``, an image's digest, or another stage's key."""
        return self.source_key(self.graph.stages[stage].base)

    def describe(
        self, steps: Iterable[Step], *, with_metadata: bool = False, read: ReadKey | None = None
    ) -> tuple[StepRecipe, ...]:
        """Return the recipes of these steps; ``read`` overrides what stands for a source's content."""
        inputs = Inputs(context=self._context.digest, read=read or self.source_key)
        described = (self._describe(step, inputs, with_metadata=with_metadata) for step in steps)
        return tuple(recipe for recipe in described if recipe is not None)

    def _describe(self, step: Step, inputs: Inputs, *, with_metadata: bool) -> StepRecipe | None:
        try:
            return describe_step(step, inputs, with_metadata=with_metadata)
        except ContextError as error:
            instruction = step.instruction.instruction
            place = f"{self.graph.dockerfile.path}:{instruction.span.start}"
            error.notes = error.notes or (f"{place} takes it: `{escape_invalid(instruction.original)}`",)
            raise

    def source_key(self, source: Source, reading: Reading = _ALL, /) -> str:
        """What stands in a recipe for the content of what is read: a stage's key, an image's digest, a folder's files.

        What an engine fetches by itself has only its address.
        """
        match source:
            case StageSource(index=index):
                return self.key(index)
            case ImageSource(name=name, platform=platform):
                return self._images[(name, platform)].digest
            case ContextSource(name=name):
                return self._named_key(self._named[familiar_context_name(name)], reading)
            case TargetSource() if self._find_home:
                plan, stage, _ = self._find_home(self.file, source)
                return key_of(plan.whole_recipe(stage, self.context_of(source).labels))
            case _:
                return "scratch"

    def _named_key(self, named: NamedContext, reading: Reading) -> str:
        assert not isinstance(named, TargetContext)  # noqa: S101  such a one has a stage of its own
        if not isinstance(named, FolderContext):
            return f"address:{hide_credentials(named.address)}"
        digest = named.files.digest(reading.sources or (".",), reading.exclude, parents=reading.parents)
        return f"{FILES}{digest}"

    def unpinned(self, stage: int) -> frozenset[str]:
        """Return the addresses that building a stage reads from, whose content no key covers."""
        members = reachable(self.graph, self.graph.stages[stage])
        steps = (step for member in members for step in self.evaluated(member.index).steps)
        own = frozenset(hide_credentials(source) for step in steps for source in unpinned_sources(step))
        homes = [home for member in members if (home := self.home(member.index))]
        return own.union(*(plan.unpinned(linked) for plan, linked, _ in homes))

    def onbuild(self, stage: int) -> tuple[str, ...]:
        """The triggers that what a chain's first stage is, an image, sets off in what is built on it."""
        return self._base_state(stage).onbuild

    def _base_state(self, stage: int) -> BaseState:
        base = self.graph.stages[stage].base
        if isinstance(base, StageSource):
            return self.evaluated(base.index).final
        if home := self.home(stage):
            return home[0].as_image(home[1])
        external = self.external(stage)
        return external_state(external) if external else BaseState()

    def as_image(self, stage: int) -> BaseState:
        """What another target inherits that is built on a stage: what the config of its image says."""
        final, typed = self.evaluated(stage).final, self.graph.stages[stage].instructions
        onbuild = tuple(one.expression for one in typed if isinstance(one, Onbuild))
        return BaseState(env=final.env, workdir=final.workdir, user=final.user, shell=final.shell, onbuild=onbuild)


def core_paths(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return absolute paths that hold all that these source words select in a stage.

    Relative words start at the root, not at the stage's working directory (observed). A wildcard is widened to the
    directory in front of it: what it matches is known only once the stage is built.
    """
    return tuple(_literal_prefix(posixpath.normpath(posixpath.join("/", word))) for word in words)


def external_state(image: ExternalImage) -> BaseState:
    """Return what an image's config sets for the first instruction after it."""
    section = image.config.get("config")
    values: Mapping[str, object] = section if isinstance(section, Mapping) else {}
    env = values.get("Env")
    pairs = [str(one).partition("=") for one in env] if isinstance(env, list) else []
    shell = values.get("Shell")
    return BaseState(
        env={name: value for name, _, value in pairs},
        workdir=str(values.get("WorkingDir") or "/"),
        user=str(values.get("User") or ""),
        shell=tuple(str(word) for word in shell) if isinstance(shell, list) and shell else None,
        onbuild=image.onbuild,
    )


def _named_words(step: Step) -> Mapping[str, tuple[str, ...]]:
    """Return what a step reads from elsewhere: the name of a stage or image, and source words in it."""
    match step.expanded:
        case Copy(from_=str(name), sources=sources):
            return {name: sources}
        case Run(mounts=mounts):
            found: dict[str, tuple[str, ...]] = {}
            for mount in mounts:
                if mount.from_:
                    found[mount.from_] = (*found.get(mount.from_, ()), mount.source or "/")
            return found
        case _:
            return {}


def _literal_prefix(path: str) -> str:
    literal = []
    for part in path.split("/"):
        if any(character in part for character in "*?[\\"):
            break
        literal.append(part)
    return "/".join(literal) or "/"
