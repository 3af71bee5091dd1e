from __future__ import annotations

import pytest

from buildonce.dockerfile.evaluation import BaseState, Evaluated, evaluate_stage, unused_build_args
from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.problems import SyntaxProblem
from buildonce.dockerfile.stages import StageGraph, resolve_stages
from buildonce.dockerfile.syntax import Add, Arg, Copy, Env, Expose, Label, Run, Stopsignal, User, Volume, Workdir
from buildonce.oci import Platform

AMD = Platform(os="linux", architecture="amd64")


def resolve(text: str, **build_args: str) -> StageGraph:
    file = parse_dockerfile(text.encode(), "Dockerfile")
    return resolve_stages(file, build_args=build_args, target_platform=AMD, build_platform=AMD)


def evaluate(text: str, base: BaseState | None = None, **build_args: str) -> list[Evaluated]:
    """Evaluate every stage in order, each on the state of its predecessor."""
    graph = resolve(text, **build_args)
    state, found = base or BaseState(), []
    for stage in graph.stages:
        found.append(evaluate_stage(graph, stage, state))
        state = found[-1].final
    return found


def codes(text: str) -> list[str]:
    with pytest.raises(SyntaxProblem) as caught:
        evaluate(text)
    return [one.code for one in caught.value.diagnostics]


def test_args_take_the_build_then_the_default_then_the_global_value() -> None:
    (stage,) = evaluate(
        "ARG A=global\nARG B=global\nARG C=global\nFROM x\nARG A\nARG B=own\nARG C=own D E=$A-$TARGETARCH\nRUN x\n",
        C="build",
    )
    args = [step.expanded.pairs for step in stage.steps if isinstance(step.expanded, Arg)]
    assert args == [(("A", "global"),), (("B", "own"),), (("C", "build"), ("D", None), ("E", "global-"))]
    run = stage.steps[-1]
    assert dict(run.args) == {"A": "global", "B": "own", "C": "build", "E": "global-"}
    assert run.history_args == (("A", "global"), ("B", "own"), ("C", "build"), ("D", ""), ("E", "global-"))


def test_args_are_in_force_from_their_line_on() -> None:
    (stage,) = evaluate("FROM x\nLABEL a=$A\nARG A=1\nLABEL a=$A\n")
    labels = [step for step in stage.steps if isinstance(step.expanded, Label)]
    assert [step.expanded.pairs for step in labels if isinstance(step.expanded, Label)] == [(("a", ""),), (("a", "1"),)]
    assert [(step.used, step.unset) for step in labels] == [(frozenset(), {"A"}), ({"A"}, frozenset())]
    assert [dict(step.args) for step in labels] == [{}, {"A": "1"}]


def test_env_after_arg_wins_and_is_what_args_show() -> None:
    (stage,) = evaluate("FROM x\nARG A=1\nENV A=2\nRUN x\n")
    assert (stage.steps[-1].env["A"], dict(stage.steps[-1].args)) == ("2", {"A": "2"})


def test_arg_after_env_wins_in_its_stage_and_env_in_the_next() -> None:
    first, second = evaluate("FROM x AS a\nENV A=1\nARG A=2\nRUN x\nFROM a\nRUN y\n")
    assert first.steps[-1].env["A"] == "2"
    assert first.final.env["A"] == "1"
    assert second.steps[-1].env["A"] == "1"


def test_args_are_inherited_by_stages_built_on_the_stage() -> None:
    _, second = evaluate("FROM x AS a\nARG A=1\nFROM a\nRUN echo\n")
    assert dict(second.steps[0].args) == {"A": "1"}
    assert "A" not in second.final.env


def test_env_pairs_see_the_state_before_the_instruction() -> None:
    (stage,) = evaluate("FROM x\nENV A=1\nENV A=2 B=$A\nRUN x\n")
    assert (stage.steps[-1].env["A"], stage.steps[-1].env["B"]) == ("2", "1")


def test_state_before_each_step() -> None:
    base = BaseState(env={"PATH": "/bin"}, workdir="/w", user="u", shell=("/bin/bash", "-c"))
    (stage,) = evaluate('FROM x\nWORKDIR a\nUSER $PATH\nSHELL ["s"]\nRUN x\n', base)
    assert [(step.workdir, step.user, step.shell) for step in stage.steps] == [
        ("/w", "u", ("/bin/bash", "-c")),
        ("/w/a", "u", ("/bin/bash", "-c")),
        ("/w/a", "/bin", ("/bin/bash", "-c")),
        ("/w/a", "/bin", ("s",)),
    ]
    assert (stage.final.workdir, stage.final.user, stage.final.shell) == ("/w/a", "/bin", ("s",))


def test_path_is_always_set() -> None:
    (stage,) = evaluate("FROM x\nENV PATH=/own:$PATH\n")
    assert stage.final.env["PATH"].startswith("/own:/usr/local/sbin:")


def test_what_is_expanded() -> None:
    text = (
        "FROM x\nARG V=1\nCOPY --chown=$V --chmod=0${V}00 --exclude=$V $V <<E /$V/\n$V '$V' \\$V\nE\n"
        "ADD --checksum=$V http://x/$V /\n"
        "EXPOSE $V 2\nVOLUME /$V\nWORKDIR /$V\nUSER $V\nSTOPSIGNAL $V\nENV $V=$V\n"
    )
    (stage,) = evaluate(text)
    copy, add, expose, volume, workdir, user, stop, env = (step.expanded for step in stage.steps[1:])
    assert isinstance(copy, Copy)
    assert (copy.chown, copy.chmod, copy.exclude, copy.sources, copy.destination) == (
        "1",
        "0100",
        ("$V",),
        ("1",),
        "/1/",
    )
    assert copy.heredocs[0].content == "1 '1' $V\n"
    assert isinstance(add, Add)
    assert (add.checksum, add.sources) == ("1", ("http://x/1",))
    assert isinstance(expose, Expose)
    assert expose.ports == ("1/tcp", "2/tcp")
    assert isinstance(volume, Volume)
    assert volume.paths == ("/1",)
    assert isinstance(workdir, Workdir)
    assert workdir.path == "/1"
    assert isinstance(user, User)
    assert user.user == "1"
    assert isinstance(stop, Stopsignal)
    assert stop.signal == "1"
    assert isinstance(env, Env)
    assert env.pairs == (("1", "1"),)


def test_what_is_not_expanded() -> None:
    (stage,) = evaluate(
        'FROM x\nARG V=1\nRUN $V\nCMD $V\nENTRYPOINT ["$V"]\nHEALTHCHECK CMD $V\nSHELL ["$V"]\nONBUILD RUN $V\n'
    )
    assert all(step.expanded == step.instruction and not step.used for step in stage.steps[1:])


def test_mounts_are_expanded_and_checked() -> None:
    (stage,) = evaluate("FROM x\nARG T=cache\nRUN --mount=type=$T,target=/x y\n")
    run = stage.steps[1].expanded
    assert isinstance(run, Run)
    assert (run.mounts[0].type, run.mounts[0].read_only) == ("cache", False)
    assert stage.steps[1].used == {"T"}


def test_triggers_of_an_image_come_first() -> None:
    (stage,) = evaluate("FROM x\nRUN y\n", BaseState(onbuild=("ENV A=1", "RUN <<E\nx\nE")))
    assert [(step.expanded.keyword, step.is_trigger) for step in stage.steps] == [
        ("ENV", True),
        ("RUN", True),
        ("RUN", False),
    ]
    assert stage.steps[2].env["A"] == "1"


def test_steps_know_their_dependencies() -> None:
    graph = resolve("FROM x AS a\nFROM y\nCOPY --from=a / /\nCOPY b /\n")
    steps = evaluate_stage(graph, graph.stages[1], BaseState()).steps
    assert [[one.name for one in step.dependencies] for step in steps] == [["a"], []]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("COPY --chmod=9 a b", "DF032"),
        ("COPY --chmod=77777 a b", "DF032"),
        ("EXPOSE x", "DF029"),
        ("STOPSIGNAL SIGNO", "DF030"),
        ("VOLUME $X", "DF031"),
        ("ENV a=${X:?must}", "DF033"),
        ("ENV a='x", "DF013"),
        ("RUN --mount=type=x y", "DF024"),
    ],
)
def test_refused(line: str, code: str) -> None:
    assert codes(f"FROM x\n{line}\n") == [code]


@pytest.mark.parametrize("mode", ["0755", "u+x", "u=rwX,go-w", "+x", "00755"])
def test_modes(mode: str) -> None:
    assert evaluate(f"FROM x\nCOPY --chmod={mode} a b\n")


@pytest.mark.parametrize("signal", ["SIGTERM", "term", "9", "SIGRTMIN+3"])
def test_signals(signal: str) -> None:
    assert evaluate(f"FROM x\nSTOPSIGNAL {signal}\n")


def test_unused_build_args() -> None:
    graph = resolve(
        "ARG A\nFROM x\nARG B\n", A="", B="", C="", HTTP_PROXY="", TARGETARCH="", BUILDKIT_INLINE_CACHE="1", BUILD=""
    )
    assert unused_build_args(graph) == {"C", "BUILD"}
