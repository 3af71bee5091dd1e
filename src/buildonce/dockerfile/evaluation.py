"""A stage, instruction by instruction: what each says once expanded, and the state in which it runs.

The rules are those of BuildKit, frontend/dockerfile/dockerfile2llb/convert.go. An ARG sets its variable like an ENV
does, so within a stage the later of the two wins; a stage built on it sees the ENV again.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct, field
from msgspec.structs import replace

from buildonce.dockerfile.expansion import Expander, expand_instruction
from buildonce.dockerfile.graph import Dependency, ResolvedStage, StageGraph, check_stage
from buildonce.dockerfile.parser import parse_trigger
from buildonce.dockerfile.paths import join_workdir
from buildonce.dockerfile.problems import Fault, SyntaxProblem, point
from buildonce.dockerfile.syntax import Arg, Env, Shell, TypedInstruction, User, Workdir

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOT_IN_ENV = frozenset(("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"))
_PROXIES = frozenset(("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"))
_NOTHING: Mapping[str, str] = MappingProxyType({})


class BaseState(Struct, frozen=True, kw_only=True):
    """What a stage inherits: of an external image its config, of a stage `Evaluated.final`.

    ``env`` is the config's environment; ``onbuild`` an external image's triggers. ``build_args`` and ``variables``
    (all that RUN sees) come from a parent stage only.
    """

    env: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    workdir: str = "/"
    user: str = ""
    shell: tuple[str, ...] | None = None
    onbuild: tuple[str, ...] = ()
    build_args: tuple[tuple[str, str | None], ...] = ()
    variables: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


class Step(Struct, frozen=True, kw_only=True):
    """One instruction in its place.

    ``env`` has all variables in force before it, from ENV and ARG, which its expansion and its RUN see; ``args`` those
    of them that are declared as build arguments, and ``history_args`` the same as a RUN's history lists them (an
    argument without value is empty there). ``used`` and ``unset`` are the names that its expansion looked up.
    ``workdir``, ``user`` and ``shell`` are those before it. ``is_trigger`` marks what an ONBUILD of the base inserts.
    """

    instruction: TypedInstruction
    expanded: TypedInstruction
    env: Mapping[str, str]
    args: Mapping[str, str]
    history_args: tuple[tuple[str, str], ...]
    used: frozenset[str]
    unset: frozenset[str]
    workdir: str
    user: str
    shell: tuple[str, ...] | None
    dependencies: tuple[Dependency, ...] = ()
    is_trigger: bool = False


class Evaluated(Struct, frozen=True, kw_only=True):
    """A stage's steps, and what a stage built on it inherits."""

    steps: tuple[Step, ...]
    final: BaseState


def evaluate_stage(graph: StageGraph, stage: ResolvedStage, base: BaseState) -> Evaluated:
    """Return the stage's steps on top of ``base``; raise `SyntaxProblem` for what BuildKit would refuse."""
    check_stage(graph, stage)
    walk = _Walk(graph, stage, base)
    try:
        inherited = tuple(parse_trigger(text, stage.stage.from_.span) for text in base.onbuild)
    except Fault as fault:
        raise SyntaxProblem([point(graph.dockerfile, stage.stage.from_.span, fault)]) from fault
    triggers = len(inherited) + stage.triggers
    steps = tuple(
        walk.step(typed, is_trigger=number < triggers) for number, typed in enumerate((*inherited, *stage.instructions))
    )
    return Evaluated(steps=steps, final=walk.final())


def unused_build_args(graph: StageGraph) -> frozenset[str]:
    """Return the build arguments that no ARG of the Dockerfile takes, and that BuildKit does not know by itself."""
    declared = {name for arg in graph.dockerfile.global_args for name, _ in arg.pairs}
    for stage in graph.stages:
        declared |= {name for typed in stage.instructions if isinstance(typed, Arg) for name, _ in typed.pairs}
    return frozenset(name for name in graph.build_args if name not in declared and not is_predefined(name))


def is_predefined(name: str) -> bool:
    """Say whether BuildKit takes this build argument without an ARG."""
    if name.lower() in _PROXIES or name == "SOURCE_DATE_EPOCH" or name.startswith("BUILDKIT_"):
        return True
    head = name.removeprefix("BUILD").removeprefix("TARGET")
    return head != name and head in ("PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT", "STAGE")


class _Walk:
    """The state between two instructions; ``config`` is the image's environment, ``variables`` what RUN sees."""

    def __init__(self, graph: StageGraph, stage: ResolvedStage, base: BaseState) -> None:
        self.graph = graph
        self.stage = stage
        self.config = dict(base.env)
        if stage.platform.os != "windows":
            self.config.setdefault("PATH", _DEFAULT_PATH)
        self.variables = {**base.variables, **self.config}
        self.build_args = list(base.build_args)
        self.workdir = join_workdir("/", base.workdir)
        self.user = base.user
        self.shell = base.shell

    def step(self, typed: TypedInstruction, *, is_trigger: bool) -> Step:
        before = Step(
            instruction=typed,
            expanded=typed,
            env=MappingProxyType(dict(self.variables)),
            args=MappingProxyType(self._args()),
            history_args=tuple(self._history_args().items()),
            used=frozenset(),
            unset=frozenset(),
            workdir=self.workdir,
            user=self.user,
            shell=self.shell,
            dependencies=tuple(one for one in self.stage.dependencies if one.instruction is typed),
            is_trigger=is_trigger,
        )
        expander = Expander(self.variables, self.graph.dockerfile.escape)
        try:
            expanded = self._declare(typed, expander) if isinstance(typed, Arg) else expand_instruction(typed, expander)
        except Fault as fault:
            raise SyntaxProblem([point(self.graph.dockerfile, typed.span, fault)]) from fault
        self._apply(expanded)
        return replace(before, expanded=expanded, used=frozenset(expander.used), unset=frozenset(expander.unset))

    def final(self) -> BaseState:
        return BaseState(
            env=MappingProxyType(dict(self.config)),
            workdir=self.workdir,
            user=self.user,
            shell=self.shell,
            build_args=tuple(self.build_args),
            variables=MappingProxyType(dict(self.variables)),
        )

    def _apply(self, expanded: TypedInstruction) -> None:
        match expanded:
            case Env():
                self.config.update(expanded.pairs)
                self.variables.update(expanded.pairs)
            case Workdir():
                self.workdir = join_workdir(self.workdir, expanded.path)
            case User():
                self.user = expanded.user
            case Shell():
                self.shell = expanded.shell

    def _declare(self, arg: Arg, expander: Expander) -> Arg:
        """Give each argument its value: that of the build, else its default, else the global one."""
        pairs = []
        for name, default in arg.pairs:
            value = self.graph.build_args.get(name)
            if value is None:
                value = self.graph.global_args.get(name) if default is None else expander.word(default)
            if value is not None and name not in _NOT_IN_ENV:
                self.variables[name] = value
            self.build_args.append((name, value))
            pairs.append((name, value))
        return replace(arg, pairs=tuple(pairs))

    def _history_args(self) -> dict[str, str]:
        return {name: self.variables.get(name, value or "") for name, value in self.build_args}

    def _args(self) -> dict[str, str]:
        valued = {name for name, value in self.build_args if value is not None}
        return {name: value for name, value in self._history_args().items() if name in valued or name in self.variables}
