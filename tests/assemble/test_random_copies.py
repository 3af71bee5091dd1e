"""Random copies on random trees, against a real BuildKit: layers, trees, configs and history are the same.

`BUILDONCE_EXAMPLES` says how many lines are tried, `BUILDONCE_SEED` which ones. Many stages of several lines are built
in one call. A line that the assembly takes must be built, and come to the same; one that it calls wrong BuildKit must
refuse; what it leaves to the engine is counted, for a test that leaves everything to it shows nothing.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from buildonce.assemble.entries import NotExpressible
from buildonce.assemble.resolution import resolve_path
from buildonce.assemble.tree import Tree
from buildonce.dockerfile.problems import SyntaxProblem
from buildonce.errors import AssemblyError
from tests.assemble.buildkit import BuildKit, Built, Failed, assert_host
from tests.assemble.equality import NOW, assert_equal
from tests.assemble.foundations import Foundation, write_foundation
from tests.assemble.image_cases import Base
from tests.assemble.random_copies import Lines, random_layers
from tests.assemble.replay import Replay, replay

pytestmark = pytest.mark.host

EXAMPLES = int(os.environ.get("BUILDONCE_EXAMPLES") or 500)
SEED = int(os.environ.get("BUILDONCE_SEED") or 0)
STAGES, LINES = 24, 5
AT_ONCE = 2
REFUSALS = 3
"""How many of a batch's lines that are called wrong are tried; each is a build of its own."""

MALFORMED = "syntax error in pattern"
"""What a stage copies of its own base needs no content key, so BuildKit reads no pattern there: a malformed one takes
nothing (docs/deviations.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Stages on one random base, which copy from it and from one random source; ``wrong`` are stages that must fail."""

    seed: int
    buildkit: BuildKit
    base: Foundation
    replays: Mapping[str, Replay]
    stages: Mapping[str, str]
    wrong: tuple[str, ...]
    counts: Counter[str]

    def build(self) -> Mapping[str, Built] | Failed:
        built = self.buildkit.build_all("stages", self.stages)
        if not isinstance(built, Failed):
            for number, stage in enumerate(self.wrong):
                assert self.buildkit.refuses(f"wrong-{number}", stage), f"seed {self.seed}: BuildKit builds\n{stage}"
        return built


def test_random_copies_come_to_what_buildkit_makes_of_them(tmp_path: Path) -> None:
    assert_host()
    newer = _knows_parents(tmp_path / "probe")
    counts: Counter[str] = Counter()
    seed = SEED * 1_000_000
    waiting: list[tuple[Batch, Future[Mapping[str, Built] | Failed]]] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while counts["lines"] < EXAMPLES or waiting:
            while counts["lines"] < EXAMPLES and len(waiting) < 2 * AT_ONCE:
                batch = _batch(seed, tmp_path / f"{seed}", newer=newer)
                counts += batch.counts
                waiting.append((batch, pool.submit(batch.build)))
                seed += 1
            batch, future = waiting.pop(0)
            _check(batch, future.result(), tmp_path)
            shutil.rmtree(tmp_path / f"{batch.seed}")
    sys.stderr.write(f"random copies from seed {SEED * 1_000_000}: {dict(counts)}\n")
    assert counts["left to the engine"] < counts["lines"] * 0.05, counts
    assert counts["wrong"] < counts["lines"] * 0.4, counts


def _batch(seed: int, folder: Path, *, newer: bool) -> Batch:
    """Return random stages; of each, the lines are kept that the assembly takes."""
    rng = random.Random(seed)
    for name in ("context", "results", "scratch"):
        (folder / name).mkdir(parents=True)
    base_layers, base_paths = random_layers(rng, 40, rng.choice((1, 2, 3)))
    source_layers, source_paths = random_layers(rng, 50, 1)
    base = write_foundation(folder / "layout", Base(layers=base_layers))
    source = write_foundation(folder / "layout", Base(layers=source_layers))
    lines = Lines(
        rng=rng,
        base=base_paths,
        folders=[path for path in base_paths if path and base.tree[path].is_directory],
        source=[path for path in source_paths if rng.random() < 0.05 or _is_there(source.tree, path)],
        newer=newer,
    )
    contexts = {name: f"oci-layout://{folder}/layout@{one.digest}" for name, one in (("base", base), ("src", source))}
    stages: dict[str, str] = {}
    replays: dict[str, Replay] = {}
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    for number in range(STAGES):
        name = f"s{number}"
        for line in lines.lines(LINES):
            text = f"{stages.get(name, '')}{line}\n"
            counts["lines"] += 1
            try:
                replays[name] = replay(
                    text,
                    base.tree,
                    {"src": source.tree, "base": base.tree},
                    base.passwd,
                    folder / "scratch",
                    epoch=NOW,
                    state=base.state,
                )
                stages[name] = text
            except NotExpressible:
                counts["left to the engine"] += 1
            except (AssemblyError, SyntaxProblem) as error:
                counts["wrong"] += 1
                if not (MALFORMED in str(error) and "--from=base" in line):
                    wrong.append(text)
    return Batch(
        seed=seed,
        buildkit=BuildKit(context=folder / "context", results=folder / "results", head="", contexts=contexts),
        base=base,
        replays=replays,
        stages=stages,
        wrong=tuple(rng.sample(wrong, min(REFUSALS, len(wrong)))),
        counts=counts,
    )


def _is_there(tree: Tree, path: str) -> bool:
    try:
        real = resolve_path(tree.lstat, f"/{path}")
        return not real or tree.lstat(real) is not None
    except AssemblyError:
        return False


def _check(batch: Batch, built: Mapping[str, Built] | Failed, folder: Path) -> None:
    assert not isinstance(built, Failed), f"seed {batch.seed}: {built.text}"
    for name, stage in batch.stages.items():
        try:
            assert_equal(batch.base, batch.replays[name], built[name], folder, with_folder_times=False)
        except AssertionError as error:
            error.add_note(f"seed {batch.seed}, stage {name}\n{stage}")
            raise


def _knows_parents(folder: Path) -> bool:
    """Say whether the engine has the flag --parents."""
    (folder / "context").mkdir(parents=True)
    (folder / "context" / "file").touch()
    buildkit = BuildKit(context=folder / "context", results=folder, head="")
    return not buildkit.refuses("parents", "FROM scratch\nCOPY --parents file /\n")
