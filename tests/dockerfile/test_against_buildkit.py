"""Words, arguments and context selection against a real BuildKit, on random input with fixed seeds."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from buildonce.context import Words, open_context, select
from buildonce.dockerfile.evaluation import BaseState, Evaluated, evaluate_stage
from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.problems import SyntaxProblem
from buildonce.dockerfile.stages import StageSource, chain, resolve_stages
from buildonce.dockerfile.syntax import Copy, Label
from buildonce.errors import ContextError
from buildonce.oci import Platform
from tests.dockerfile.engine import build, place, read_tree

pytestmark = pytest.mark.host

AMD = Platform(os="linux", architecture="amd64")
HEAD = "FROM scratch\nENV A=one P=/usr/lib/x.tar.gz E= STAR=a*b\n"
PIECES = re.split(
    r"\s+",
    r"""a b / . $A ${A} ${B:-x} ${B- ${A:+ ${P#*/} ${P##*/} ${P%.*} ${P%%.*} ${P//\//-} ${P/ ${P// } \ \\ ' " '$A'
"$A" * ? \* \? $ $1 < << ` $0 \$0 ${P# ${P% { ${E:-d} ${E-d} - + # % [a] ^""",
)
OPERATORS = (*("", ":-", "-", ":+", "+", ":?", "?", "#", "##", "%", "%%", "/", "//"), *(":#", ":/", "=", "^", ":", "!"))
OPERANDS = (
    *("", "w", "*", "*/", "*.", "?", "a", "one", "e/E", "e/", "/", "*/*", "?*", "**", ".*", "$A", "${A}", "${U:-d}"),
    *("n/$A", "'q'", '"q"', "\\*", "\\?", "\\\\", "\\}", "\\/", "\\//u", "o/$0", "o/${0}", "o/$$", "/\\/", "'/'*"),
    *("[a]", "(o", "b/\\}", "\\a"),
)
NAMES = ("A", "B", "C", "TARGETARCH", "PATH")
ALL_LABELS = "|".join(f"${name}" for name in NAMES[:4])


@dataclass(frozen=True)
class Outcome:
    """What a Dockerfile's last stage comes to; None when it is refused."""

    labels: Mapping[str, str]
    env: tuple[str, ...]
    workdir: str


def theirs(folder: Path, text: str, build_args: Mapping[str, str]) -> Outcome | None:
    folder.mkdir()
    flags = [f"--build-arg={name}={value}" for name, value in build_args.items()]
    if build(folder, text, f"type=oci,tar=false,dest={folder}/out", "--platform=linux/amd64", *flags):
        return None
    document = json.loads((folder / "out/index.json").read_bytes())
    while "manifests" in document:
        document = _blob(folder, document["manifests"][0]["digest"])
    config = _blob(folder, document["config"]["digest"])["config"]
    return Outcome(config.get("Labels", {}), tuple(config.get("Env", ())), config.get("WorkingDir", "/"))


def _blob(folder: Path, digest: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "out/blobs/sha256" / digest.split(":")[1]).read_bytes())
    return content


def ours(text: str, build_args: Mapping[str, str]) -> Outcome | None:
    try:
        file = parse_dockerfile(text.encode(), "D")
        graph = resolve_stages(file, build_args=build_args, target_platform=AMD, build_platform=AMD)
        done: dict[int, Evaluated] = {}
        labels: dict[str, str] = {}
        for stage in chain(graph, graph.stages[-1]):
            base = done[stage.base.index].final if isinstance(stage.base, StageSource) else BaseState()
            done[stage.index] = evaluate_stage(graph, stage, base)
            for step in done[stage.index].steps:
                labels |= dict(step.expanded.pairs) if isinstance(step.expanded, Label) else {}
    except SyntaxProblem:
        return None
    final = done[graph.stages[-1].index].final
    return Outcome(labels, tuple(f"{name}={value}" for name, value in final.env.items()), final.workdir)


def test_words(tmp_path: Path) -> None:
    chance = random.Random(1)
    readable: list[str] = []
    broken: list[str] = []
    while len(readable) < 200 or len(broken) < 15:
        word = "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 6)))
        (broken if ours(f"{HEAD}LABEL k={word}x\n", {}) is None else readable).append(word)
    assert_labels(tmp_path, HEAD, readable, broken[:15])


@pytest.mark.parametrize("escape", ["\\", "`"])
def test_every_modifier_in_words(escape: str, tmp_path: Path) -> None:
    """Each modifier, with patterns and texts of every kind, of set, empty and unset variables, in quotes and not."""
    head = f"# escape={escape}\n{HEAD}"
    readable: list[str] = []
    broken: list[str] = []
    for written in _some(modified_words(), escape):
        word = written.replace("\\", escape)
        (broken if ours(f"{head}LABEL k={word}x\n", {}) is None else readable).append(word)
    assert len(readable) > 1000
    assert_labels(tmp_path, head, readable, broken[:8])


def test_every_modifier_in_heredocs(tmp_path: Path) -> None:
    """There quotes are characters, and the escape character is always a backslash."""
    lines = _some(modified_words(), "heredoc")
    texts = {line: heredoc_text(f"# escape=`\n{HEAD}COPY <<END /text\n{line}|\nEND\n") for line in lines}
    readable = [line for line, text in texts.items() if text is not None]
    assert len(readable) > 1000
    text = f"# escape=`\n{HEAD}COPY <<END /text\n" + "".join(f"{line}|\n" for line in readable) + "END\n"
    assert not build(tmp_path, text, f"type=local,dest={tmp_path}/o")
    assert (tmp_path / "o/text").read_text() == "".join(texts[line] or "" for line in readable)
    for line in [line for line, text in texts.items() if text is None][:8]:
        assert build(tmp_path, f"# escape=`\n{HEAD}COPY <<END /text\n{line}|\nEND\n", "type=cacheonly"), line


def _some(words: Iterable[str], seed: str) -> list[str]:
    """Return some of the words; all, if so many examples are asked for."""
    every = sorted(words)
    return random.Random(seed).sample(every, min(len(every), int(os.environ.get("BUILDONCE_EXAMPLES", "2500"))))


def modified_words() -> Iterator[str]:
    for name, operator, word in itertools.product("APESU", OPERATORS, OPERANDS):
        yield from (around.replace("@", f"${{{name}{operator}{word}}}") for around in ("@", '"@"', "'@'", 'x"@ y"@'))


def assert_labels(folder: Path, head: str, readable: Sequence[str], broken: Sequence[str]) -> None:
    pairs = [f"k{number}={word}x" for number, word in enumerate(readable)]
    text = head + "".join(f"LABEL {' '.join(pairs[start : start + 50])}\n" for start in range(0, len(pairs), 50))
    assert theirs(folder / "readable", text, {}) == ours(text, {})
    for number, word in enumerate(broken):
        assert theirs(folder / f"broken{number}", f"{head}LABEL k={word}x\n", {}) is None, word


def heredoc_text(text: str) -> str | None:
    """Return the content of the heredoc in the last instruction; None if that is refused."""
    try:
        graph = resolve_stages(
            parse_dockerfile(text.encode(), "D"), build_args={}, target_platform=AMD, build_platform=AMD
        )
        copy = evaluate_stage(graph, graph.stages[-1], BaseState()).steps[-1].expanded
    except SyntaxProblem:
        return None
    assert isinstance(copy, Copy)
    return copy.heredocs[0].content


@pytest.mark.parametrize("seed", range(15))
def test_arguments_and_stages(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    text = _random_stages(chance)
    build_args = {name: chance.choice(["", "x", "y"]) for name in NAMES[:4] if chance.random() < 0.25}
    assert ours(text, build_args) == theirs(tmp_path / "f", text, build_args), text


def _random_stages(chance: random.Random) -> str:
    lines = [f"ARG {chance.choice(NAMES)}={_value(chance)}" for _ in range(chance.randint(0, 3))]
    names: list[str] = []
    for number in range(chance.randint(1, 4)):
        lines.append(f"FROM {chance.choice(['scratch', *names, *names])} AS s{number}")
        names.append(f"s{number}")
        lines += [_instruction(chance, len(lines)) for _ in range(chance.randint(0, 6))]
        lines.append(f'LABEL l{len(lines)}="{ALL_LABELS}"')
    return "\n".join(lines) + "\n"


def _value(chance: random.Random) -> str:
    return chance.choice(["1", "2", "$A", "${B:-d}", "$C$A", "", "$TARGETOS-${TARGETVARIANT:+v}", "'q $A'"])


def _instruction(chance: random.Random, number: int) -> str:
    one, two = chance.choice(NAMES), chance.choice(NAMES)
    return chance.choice(
        [
            f"ARG {one}={_value(chance)}",
            f"ARG {one} {two}",
            f"ENV {one}={_value(chance)} {two}={_value(chance)}",
            f"WORKDIR {chance.choice(['/a', 'b', '../c', '$A', '/d/', '.', '/e/../f'])}",
            f"ONBUILD LABEL ob{number}=$A-$B",
            f"LABEL l{number}='{ALL_LABELS}' m{number}=$A",
        ]
    )


@pytest.mark.parametrize("seed", range(25))
def test_selection(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    context = tmp_path / "context"
    context.mkdir()
    _grow(chance, context, 0)
    (tmp_path / "D.dockerignore").write_text("\n".join(_pattern(chance) for _ in range(chance.randint(0, 3))))
    source = "/".join(chance.choice(["a", "b", "x", "*", "c.txt", "*.md", ".", "?", "[a-c]*"]) for _ in range(2))
    output = f"type=local,dest={tmp_path}/o"
    is_built = not build(tmp_path, f"FROM scratch\nCOPY {source} /out/\n", output, "--no-cache", context=context)
    try:
        selected = select(open_context(context, tmp_path / "D"), Words(sources=(source,)))
    except ContextError:
        assert not is_built
        return
    # without a match BuildKit does not even receive the directory; and matches that overwrite each other fail there
    if is_built:
        assert place(selected) == read_tree(tmp_path / "o/out")
    else:
        assert not selected or len({one.source for one in selected}) > 1


def _grow(chance: random.Random, folder: Path, depth: int) -> None:
    for name in chance.sample(["a", "b", "c.txt", "d.md", "x"], chance.randint(1, 4)):
        path, kind = folder / name, chance.random()
        if depth < 3 and kind < 0.45:
            path.mkdir()
            _grow(chance, path, depth + 1)
        elif kind < 0.55:
            path.symlink_to(chance.choice(["a", "b", "../a", "/a", "x/a", "../..", "nowhere", "."]))
        else:
            path.write_text(name * depth)
            path.chmod(chance.choice([0o644, 0o755, 0o600]))


def _pattern(chance: random.Random) -> str:
    parts = [
        chance.choice(["a", "b", "*", "**", "*.txt", "d.md", "x", "?", "[ab]"]) for _ in range(chance.randint(1, 3))
    ]
    return chance.choice(["", "", "", "!", "/"]) + "/".join(parts)
