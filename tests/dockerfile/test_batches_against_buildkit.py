"""Scopes, stages, ignore files and selections against a real BuildKit: many small cases in one build.

A case that BuildKit refuses would spoil its whole build. So those that we refuse are built alone, a few of them.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from buildonce.context import Words, open_context, select
from buildonce.dockerfile.evaluation import BaseState, Evaluated, evaluate_stage
from buildonce.dockerfile.graph import ScratchSource, StageGraph, check_stage
from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.problems import SyntaxProblem
from buildonce.dockerfile.stages import StageSource, chain, resolve_stages
from buildonce.dockerfile.syntax import Copy
from buildonce.errors import ContextError
from buildonce.oci import Platform
from tests.dockerfile.engine import build, place, read_tree

pytestmark = pytest.mark.host

AMD, ARM = Platform(os="linux", architecture="amd64"), Platform(os="linux", architecture="arm64")
BATCHES = range(int(os.environ.get("BUILDONCE_BATCHES", "1")))
"""Seeds of the builds of each kind; 20 is the long run."""

CASES = 60
ALONE = 3


def resolve(text: str, build_args: dict[str, str]) -> StageGraph:
    file = parse_dockerfile(text.encode(), "D")
    return resolve_stages(file, build_args=build_args, target_platform=ARM, build_platform=AMD)


def flags(build_args: dict[str, str]) -> list[str]:
    return ["--platform=linux/arm64", *(f"--build-arg={name}={value}" for name, value in build_args.items())]


def split(cases: Sequence[str], read: Callable[[str], object]) -> tuple[list[str], list[str]]:
    """Return the cases that can be read, and a few of those that cannot."""
    fine: list[str] = []
    refused: list[str] = []
    for case in cases:
        try:
            read(case)
            fine.append(case)
        except SyntaxProblem:
            refused.append(case)
    return fine, refused[:ALONE]


# Which value a name has at a place: of the build, the file, the stage, its parents, ENV, or BuildKit itself.

GIVEN = {"A": "given", "TARGETARCH": "mine", "http_proxy": "proxy", "BUILDKIT_X": "kit", "Z": ""}
NAMES = ("A", "B", "C", "TARGETARCH", "BUILDPLATFORM", "TARGETVARIANT", "http_proxy", "BUILDKIT_X", "Z", "PATH")
GLOBALS = "# check=skip=all\nARG A=ga\nARG B=gb-$A\nARG C\nARG Z=gz\nARG BASE_$A=x TARGETOS\n"
SEEN = "|".join(f"${{{name}-unset}}" for name in NAMES)


@pytest.mark.parametrize("seed", BATCHES)
def test_scopes(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)

    def whole(cases: Sequence[str]) -> str:
        stages = "".join(case.replace("@", str(number)) for number, case in enumerate(cases))
        taken = "".join(f"COPY --from=c{number} / /{number}/\n" for number in range(len(cases)))
        return f"{GLOBALS}{stages}FROM scratch\n{taken}"

    fine, refused = split(
        [_scoped(chance) for _ in range(CASES)], lambda case: written(resolve(whole([case]), GIVEN), 0)
    )
    text = whole(fine)
    graph = resolve(text, GIVEN)
    expected = {
        f"{number}/{name}": seen for number in range(len(fine)) for name, seen in written(graph, number).items()
    }
    assert build(tmp_path, text, f"type=local,dest={tmp_path}/o", *flags(GIVEN)) is None
    assert {path: (tmp_path / "o" / path).read_text() for path in expected} == expected
    for case in refused:
        assert build(tmp_path, whole([case]), "type=cacheonly", *flags(GIVEN)), case


def written(graph: StageGraph, number: int) -> dict[str, str]:
    """Return what the heredocs of a case's chain of stages write."""
    last = next(stage for stage in graph.stages if stage.stage.name == f"c{number}")
    done: dict[int, Evaluated] = {}
    found: dict[str, str] = {}
    for stage in chain(graph, last):
        base = done[stage.base.index].final if isinstance(stage.base, StageSource) else BaseState()
        done[stage.index] = evaluate_stage(graph, stage, base)
        for step in done[stage.index].steps:
            if isinstance(step.expanded, Copy) and step.expanded.heredocs:
                found[step.expanded.destination[1:]] = step.expanded.heredocs[0].content
    return found


def _scoped(chance: random.Random) -> str:
    """Return a chain of stages that end in ``c@``, each of which writes down what it sees, at several places."""
    lines: list[str] = []
    depth = chance.randint(1, 3)
    for level in range(depth):
        name = "c@" if level == depth - 1 else f"p@-{level}"
        lines.append(f"FROM {'scratch' if level == 0 else f'p@-{level - 1}'} AS {name}")
        for place_ in range(chance.randint(1, 3)):
            lines += [_setting(chance) for _ in range(chance.randint(0, 3))]
            lines.append(f"COPY <<E /f{level}{place_}\n{SEEN}\nE")
    return "\n".join(lines) + "\n"


def _setting(chance: random.Random) -> str:
    name, other = chance.choice(NAMES), chance.choice(NAMES)
    value = chance.choice(
        ["", "v", f"$${other}", f"${other}", f"${{{other}:-d}}", f"'{other} ${other}'", f"${{{other}:?}}"]
    )
    return chance.choice(
        [
            f"ARG {name}",
            f"ARG {name}={value}",
            f"ARG {name} {other}={value}",
            f"ENV {name}={value}",
            f"ENV {name} {value or 'w'}",
        ]
    )


# Which stage a name means.


@pytest.mark.parametrize("seed", BATCHES)
def test_stages(seed: int, tmp_path: Path) -> None:
    """By name in any case, by number, by the value of an argument; the last of several stages with one name."""
    chance = random.Random(seed)
    stages = _stages(chance)
    copies = [_reference(chance, number) for number in range(len(stages))]
    fine = [_with_copy(stages, number, copy) for number, copy in enumerate(copies)]
    chosen = [copy if is_fine else "" for copy, is_fine in zip(copies, fine, strict=True)]
    ids = [f"COPY <<E /id\n{number}\nE\n" for number in range(len(stages))]
    text = "".join(part for one in zip(stages, chosen, ids, strict=True) for part in one)
    graph = resolve(text, {})
    expected = {
        f"{stage.index}/from{stage.index}": f"{dependency.source.index}\n"
        for stage in graph.stages
        for dependency in stage.dependencies
        if dependency.kind == "copy" and isinstance(dependency.source, StageSource)
    }
    assert len(expected) > CASES / 6
    assert sum(isinstance(stage.base, StageSource) for stage in graph.stages) > CASES / 6
    everything = "".join(f"COPY --from={number} / /{number}/\n" for number in range(len(graph.stages)))
    assert build(tmp_path, f"{text}FROM scratch\n{everything}", f"type=local,dest={tmp_path}/o") is None
    assert {path: (tmp_path / "o" / path).read_text() for path in expected} == expected
    for stage in graph.stages:  # a stage has what the one has that it is built on
        if isinstance(stage.base, StageSource):
            below = {path.name for path in (tmp_path / "o" / str(stage.base.index)).iterdir()}
            assert below <= {path.name for path in (tmp_path / "o" / str(stage.index)).iterdir()}
    for number in [number for number, is_fine in enumerate(fine) if not is_fine][:ALONE]:
        parts = [
            *stages[: number + 1],
            copies[number],
            *stages[number + 1 :],
            f"FROM scratch\nCOPY --from={number} / /\n",
        ]
        assert build(tmp_path, "".join(parts), "type=cacheonly"), copies[number]


def _stages(chance: random.Random) -> list[str]:
    """Return FROM instructions whose bases are all stages or nothing, so that no registry is asked."""
    stages = ["ARG pick=b\nARG Empty\nFROM scratch AS first\n"]
    for number in range(1, CASES):
        name = chance.choice([" AS a", " AS b", " as C", f" AS n{number}", ""])
        base = chance.choice(["first", "first", "FIRST", "f${Empty:-irst}", "$pick", "A", "a", "b", "c"])
        try:
            last = resolve("".join([*stages, f"FROM {base}{name}\n"]), {}).stages[-1]
            base = base if isinstance(last.base, StageSource) else "scratch"
        except SyntaxProblem:
            base = "scratch"
        stages.append(f"FROM {base}{name}\n")
    return stages


def _reference(chance: random.Random, number: int) -> str:
    name = chance.choice(["first", "First", "a", "B", "c", "0", str(chance.randrange(CASES)), f"n{number - 1}", "N1"])
    return f"COPY --from={name} /id /from{number}\n"


def _with_copy(stages: Sequence[str], number: int, copy: str) -> bool:
    """Say whether a stage can copy so, which a stage of the name below it forbids."""
    try:
        graph = resolve("".join([*stages[: number + 1], copy, *stages[number + 1 :]]), {})
        check_stage(graph, graph.stages[number])
    except SyntaxProblem:
        return False
    sources = [dependency.source for dependency in graph.stages[number].dependencies]
    return all(isinstance(source, StageSource | ScratchSource) for source in sources)


# What is left out of a context, and what a COPY takes from it. Each named context has an ignore file of its own.

FILES = ("a", "b", "c.txt", "d.md", ".e", "x y")
PARTS = (
    *("a", "b", "*", "**", "*.txt", "d.md", "x", "?", "[ab]", "[!a]", "[^a]", "a*", "**a", "a**", ".*", ".e", "*.*"),
    *("x y", "\\a", "..", ".", "", "c.t?t", "[a-c]*", "x\\ y", "{a,b}", "+", "$", "b**a", "**.md"),
)


@pytest.mark.parametrize("seed", BATCHES)
def test_ignore_files(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    folders = [_context(tmp_path / f"c{number}", chance) for number in range(CASES)]
    text = "FROM scratch\n" + "".join(f"COPY --from={folder.name} . /{folder.name}/\n" for folder in folders)
    named = [f"--build-context={folder.name}={folder}" for folder in folders]
    assert build(tmp_path, text, f"type=local,dest={tmp_path}/o", "--no-cache", *named) is None
    for folder in folders:
        selected = select(open_context(folder, None), Words(sources=(".",)))
        assert place(selected) == read_tree(tmp_path / "o" / folder.name), (folder / ".dockerignore").read_text()


@pytest.mark.parametrize("seed", BATCHES)
def test_selections(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    folders = [_context(tmp_path / f"c{number}", chance, rules=1) for number in range(2 * CASES)]
    found = {folder: [_words(folder, chance) for _ in range(4)] for folder in folders}
    asked = {folder: words for folder, tried in found.items() for words in tried if words is not None}
    text = "FROM scratch\n" + "".join(_copy(words, folder.name) for folder, words in asked.items())
    named = [f"--build-context={folder.name}={folder}" for folder in asked]
    assert len(asked) > CASES
    assert build(tmp_path, text, f"type=local,dest={tmp_path}/o", "--no-cache", *named) is None
    for folder, words in asked.items():
        selected = select(open_context(folder, None), words)
        assert place(selected) == read_tree(tmp_path / "o" / folder.name), (words, folder)


def _copy(words: Words, name: str) -> str:
    excluded = "".join(f" --exclude={one}" for one in words.exclude)
    return f"COPY --from={name}{excluded} {json.dumps([*words.sources, f'/{name}/'])}\n"


def _words(folder: Path, chance: random.Random) -> Words | None:
    """Return what to ask of a context, if it selects something, and from one source only."""
    some = chance.choice(sorted(folder.rglob("*"))).relative_to(folder).parts
    wild = {name: ["*", "?" * len(name), f"{name[0]}*", f"[{name[0]}-z]*", f"*{name[-1]}", "."] for name in some}
    source = "/".join(chance.choice([name, name, *wild[name]]) for name in some)
    exclude = (_pattern(chance) for _ in range(chance.choice([0, 0, 1, 2])))
    words = Words(
        sources=(chance.choice(["", "", "/", "./"]) + source + chance.choice(["", "", "/"]),),
        exclude=tuple(one for one in exclude if one.strip("/!.") and " " not in one),
    )
    try:
        selected = select(open_context(folder, None), words)
    except ContextError:
        return None
    # with --exclude BuildKit fails at a link that leads nowhere, which is for tests of the assembly
    is_certain = not any(one.is_uncertain or (words.exclude and one.type == "symlink") for one in selected)
    return words if is_certain and len({one.source for one in selected}) == 1 else None


def _context(folder: Path, chance: random.Random, rules: int = 4) -> Path:
    folder.mkdir()
    _grow(chance, folder, 0)
    while True:
        lines = [_line(chance) for _ in range(chance.randint(0, rules))]
        (folder / ".dockerignore").write_text(chance.choice(["\n", "\n", "\r\n"]).join(lines))
        try:
            open_context(folder, None)
        except ContextError:
            continue
        return folder


def _grow(chance: random.Random, folder: Path, depth: int) -> None:
    for name in chance.sample(FILES, chance.randint(2, 4)):
        path, kind = folder / name, chance.random()
        if depth < 3 and kind < 0.45:
            path.mkdir()
            _grow(chance, path, depth + 1)
        elif kind < 0.55:
            path.symlink_to(chance.choice(["a", "b", "../a", "/a", "x/a", "../..", "nowhere", "."]))
        else:
            path.write_text(name * depth)
            path.chmod(chance.choice([0o644, 0o755, 0o600]))


def _line(chance: random.Random) -> str:
    odd = chance.choice(["", "", "# a", "#", " ", "\ufeffa", "!# a", "\t"])
    return odd if chance.random() < 0.15 else _pattern(chance)


def _pattern(chance: random.Random) -> str:
    parts = [chance.choice(PARTS) for _ in range(chance.choice([1, 1, 2, 2, 3]))]
    before, after = (
        chance.choice(["", "", "", "", "!", "!", "/", "! ", " ", "./", "!/", "!!"]),
        chance.choice(["", "", "/", " "]),
    )
    return before + "/".join(parts) + after
