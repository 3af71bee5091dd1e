"""Words, arguments and context selection against a real BuildKit, on random input with fixed seeds."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from buildonce.context import Selected, Words, open_context, select
from buildonce.dockerfile.evaluation import BaseState, Evaluated, evaluate_stage
from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.problems import SyntaxProblem
from buildonce.dockerfile.stages import StageSource, chain, resolve_stages
from buildonce.dockerfile.syntax import Label
from buildonce.errors import ContextError
from buildonce.oci import Platform, digest_of

pytestmark = pytest.mark.host

AMD = Platform(os="linux", architecture="amd64")
HEAD = "FROM scratch\nENV A=one P=/usr/lib/x.tar.gz E= STAR=a*b\n"
PIECES = re.split(
    r"\s+",
    r"""a b / . $A ${A} ${B:-x} ${B- ${A:+ ${P#*/} ${P##*/} ${P%.*} ${P%%.*} ${P//\//-} ${P/ ${P// } \ \\ ' " '$A'
"$A" * ? \* \? $ $1 < << ` $0 \$0 ${P# ${P% { ${E:-d} ${E-d} - + # % [a] ^""",
)
NAMES = ("A", "B", "C", "TARGETARCH", "PATH")
ALL_LABELS = "|".join(f"${name}" for name in NAMES[:4])


@dataclass(frozen=True)
class Outcome:
    """What a Dockerfile's last stage comes to; None when it is refused."""

    labels: Mapping[str, str]
    env: tuple[str, ...]
    workdir: str


def build(folder: Path, text: str, output: str, *flags: str, context: Path | None = None) -> bool:
    """Build with the engine that the environment leads to, and say whether it worked."""
    (folder / "D").write_text(text)
    argv = ["docker", "buildx", "build", "--file", f"{folder}/D", *flags, "--output", output, str(context or folder)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert "docker daemon" not in done.stderr, done.stderr
    return done.returncode == 0


def theirs(folder: Path, text: str, build_args: Mapping[str, str]) -> Outcome | None:
    folder.mkdir()
    flags = [f"--build-arg={name}={value}" for name, value in build_args.items()]
    if not build(folder, text, f"type=oci,tar=false,dest={folder}/out", "--platform=linux/amd64", *flags):
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
    text = HEAD + "".join(f"LABEL k{number}={word}x\n" for number, word in enumerate(readable))
    assert theirs(tmp_path / "readable", text, {}) == ours(text, {})
    for number, word in enumerate(broken[:15]):
        assert theirs(tmp_path / f"broken{number}", f"{HEAD}LABEL k={word}x\n", {}) is None, word


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
    is_built = build(tmp_path, f"FROM scratch\nCOPY {source} /out/\n", output, "--no-cache", context=context)
    try:
        selected = select(open_context(context, tmp_path / "D"), Words(sources=(source,)))
    except ContextError:
        assert not is_built
        return
    # without a match BuildKit does not even receive the directory; and matches that overwrite each other fail there
    if is_built:
        assert _placed(selected) == _tree(tmp_path / "o/out")
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


Found = dict[str, tuple[str, str, int]]


def _placed(selected: tuple[Selected, ...]) -> Found:
    found: Found = {}
    for one in selected:
        name = one.relative or ("" if one.type == "dir" else one.source.rpartition("/")[2])
        if name:
            found[name] = (one.type, one.target or one.digest or "", one.mode)
    return found


def _tree(root: Path) -> Found:
    found: Found = {}
    for path in root.rglob("*"):
        name, mode = str(path.relative_to(root)), path.lstat().st_mode & 0o7777
        if path.is_symlink():
            found[name] = ("symlink", os.readlink(path), 0o777)  # noqa: PTH115 - Path would tidy the target up
        elif path.is_dir():
            found[name] = ("dir", "", mode)
        else:
            found[name] = ("file", digest_of(path.read_bytes()), mode)
    return found
