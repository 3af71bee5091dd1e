"""[io] The family, built and shipped by buildonce and by `docker buildx bake`, side by side; see README.md.

Run it from the repository's root with the test host up: `make bench`, or `python -m benchmarks.family --help`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.facts import machine_facts
from benchmarks.proxy import CountingProxy, Traffic, counting_proxy
from benchmarks.results import Case, Result, Run, render_markdown, render_tables, to_document
from benchmarks.sides import PLATFORMS, VARIANTS, Bake, Buildonce, Project, Sample, Side, run_environment
from benchmarks.tags import index_digests

_WARM_UPS = 2


def main(arguments: Sequence[str]) -> int:
    """Run the comparison, print the tables, and write the results."""
    options = _parser().parse_args(arguments)
    registry = os.environ.get("BUILDONCE_HOST_REGISTRY")
    if not registry:
        print("BUILDONCE_HOST_REGISTRY names no registry: run `make bench`", file=sys.stderr)
        return 2
    results = tuple(measure(size, options, registry) for size in options.size or (0, 40))
    document = to_document(machine_facts(run_environment(Path())), results)
    print(f"\n{render_tables(results)}")
    if options.write:
        options.write.mkdir(parents=True, exist_ok=True)
        (options.write / "family.json").write_text(json.dumps(document, indent=1) + "\n")
        (options.write / "family.md").write_text(render_markdown(document, results))
    return 0


def measure(size: int, options: argparse.Namespace, registry: str) -> Result:
    """Measure both sides with a program that is ``size`` MB larger."""
    with tempfile.TemporaryDirectory(prefix="buildonce-bench-") as folder, counting_proxy(registry) as proxy:
        bench = _Bench(Path(folder), size, registry)
        try:
            bench.warm_up()
            cases = [bench.time_case(name, options.rounds) for name in ("changed", "unchanged")]
            bench.look_inside()
            cases = [bench.count_case(case, options.counted, proxy) for case in cases]
        finally:
            bench.clean_up((registry, proxy.address))
    return Result(size=size, cases=tuple(cases))


class _Bench:
    """Both sides, each on its own copy of the family."""

    def __init__(self, folder: Path, size: int, registry: str) -> None:
        self._size = size
        self._registry = registry
        self._name = f"bench-{os.getpid()}-{size}"
        self._environment = run_environment(folder)
        self._sides: tuple[Side, ...] = (
            Buildonce(Project(folder / "ours" / "family", size, self._environment)),
            Bake(Project(folder / "peer" / "family", size, self._environment)),
        )
        self._versions: dict[str, str] = {}
        self._changes = 0

    def warm_up(self) -> None:
        """Fill every cache of both sides; the second time everything but the changed line is known to them."""
        for number in range(_WARM_UPS):
            _say(f"{self._size} MB: warming up, {number + 1} of {_WARM_UPS}")
            for side in self._sides:
                self._change(side)
                side.run(self._repository(side, self._registry))

    def time_case(self, name: str, rounds: int) -> Case:
        """Time both sides ``rounds`` times; who goes first alternates."""
        runs = []
        for number in range(rounds):
            load = os.getloadavg()[0]
            order = self._sides if number % 2 == 0 else self._sides[::-1]
            samples = {side.name: self._run(side, name, self._registry) for side in order}
            runs.append(Run(load=load, first=order[0].name, samples=samples))
            said = ", ".join(f"{side} {one.total:.2f} s, {one.beyond:.2f} beyond" for side, one in samples.items())
            _say(f"{self._size} MB, {name}, round {number + 1}: {said}")
        return Case(name=name, runs=tuple(runs), traffic={})

    def count_case(self, case: Case, rounds: int, proxy: CountingProxy) -> Case:
        """Count both sides' requests: through the proxy, which costs time, so these runs are not timed."""
        traffic: dict[str, tuple[Traffic, ...]] = {}
        for side in self._sides:
            _say(f"{self._size} MB, {case.name}: counting {side.name}")
            # The proxy has another address, so to both sides it is another registry: the first run is a warm-up.
            self._run(side, "changed", proxy.address)
            proxy.take()
            counted = []
            for _ in range(rounds):
                self._run(side, case.name, proxy.address)
                counted.append(proxy.take())
            traffic[side.name] = tuple(counted)
        return Case(name=case.name, runs=case.runs, traffic=traffic)

    def look_inside(self) -> None:
        """Run an image of each side on each platform; raise if it has not the program of the last version in it."""
        for side in self._sides:
            for platform in PLATFORMS:
                image = f"{self._repository(side, self._registry)}:codex"
                command = ["docker", "run", "--rm", "--quiet", "--pull=always", f"--platform={platform}", image]
                done = subprocess.run(
                    [*command, "--version"], env=self._environment, capture_output=True, text=True, check=False
                )
                if self._versions[side.name] not in done.stdout:
                    raise RuntimeError(f"{image} on {platform} does not print its version: {done.stdout}{done.stderr}")

    def clean_up(self, addresses: Sequence[str]) -> None:
        """Remove the images that bake and `docker run` leave with the engine."""
        tags = [f"{self._repository(side, where)}:{v}" for side in self._sides for where in addresses for v in VARIANTS]
        subprocess.run(
            ["docker", "image", "rm", "--force", *tags], env=self._environment, capture_output=True, check=False
        )

    def _run(self, side: Side, case: str, address: str) -> Sample:
        """Run one side, and raise unless it did the whole work of the case."""
        repository = self._repository(side, self._registry)
        before = index_digests(repository, VARIANTS)
        if case == "changed":
            self._change(side)
        sample = side.run(self._repository(side, address))
        after = index_digests(repository, VARIANTS)
        moved = sum(before[tag] != after[tag] for tag in VARIANTS)
        expected = (len(PLATFORMS), len(VARIANTS)) if case == "changed" else (0, 0)
        if (sample.compiles, moved) != expected:
            found = f"{sample.compiles} compiles and {moved} moved tags"
            raise RuntimeError(f"{side.name}, {case}: {found} instead of {expected[0]} and {expected[1]}")
        return sample

    def _change(self, side: Side) -> None:
        """Change one line. Each side has versions of its own: neither finds the other's compile in the cache."""
        self._changes += 1
        self._versions[side.name] = f"1.{os.getpid()}.{self._changes:04}"
        side.edit(self._versions[side.name])

    def _repository(self, side: Side, address: str) -> str:
        return f"{address}/{self._name}/{side.name}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.family", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="timed rounds of each case [default: 5]")
    parser.add_argument("--counted", type=int, default=1, metavar="N", help="counted runs of each case [default: 1]")
    parser.add_argument(
        "--size",
        type=int,
        action="append",
        metavar="MB",
        help="megabytes that are added to the program; repeat it for several [default: 0 and 40]",
    )
    parser.add_argument("--write", type=Path, metavar="DIR", help="write family.json and family.md there")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
