"""[io] One changed line, and one variant of eight ready to run here: by buildonce and by `docker buildx build`.

Run it from the root: `scripts/host run -- .venv/bin/python -m benchmarks.loading --write benchmarks/results`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.facts import machine_facts
from benchmarks.sides import Project, Sample, run_environment

SCHEMA = "buildonce.benchmark.loading/1"
VARIANT = "claude"
_EIGHTH = """
FROM claude AS eighth
ENV EIGHTH=1
"""
_WARM_UPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two: a command on a copy of the project, and the image that it loads."""

    name: str
    project: Project
    command: tuple[str, ...]
    image: str

    def run(self, version: str) -> Sample:
        """Change the one line, load the variant, and raise unless what runs then is the program of the new line."""
        self.project.edit(version)
        sample = self.project.run(list(self.command))
        said = subprocess.run(
            ["docker", "run", "--rm", self.image, "--version"],
            env=self.project.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if version not in said.stdout or sample.compiles != 1:
            raise RuntimeError(f"{self.name}: {sample.compiles} compiles, and {self.image} says {said.stdout}")
        return sample


def main(arguments: Sequence[str]) -> int:
    """Run the comparison, print the table, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="timed rounds [default: 7]")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write loading.json and loading.md there")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="buildonce-bench-") as folder:
        rounds = measure(Path(folder), options.rounds)
    document = {
        "schema": SCHEMA,
        "machine": machine_facts(os.environ),
        "rounds": [{name: asdict(one) for name, one in found.items()} for found in rounds],
    }
    page = render(rounds)
    print(page)
    if options.write:
        (options.write / "loading.json").write_text(json.dumps(document, indent=1) + "\n")
        (options.write / "loading.md").write_text(page)
    return 0


def measure(folder: Path, rounds: int) -> list[Mapping[str, Sample]]:
    """Return what both sides took in each round, taking turns; both are warm before the first."""
    sides = _sides(folder)
    found: list[Mapping[str, Sample]] = []
    try:
        for number in range(_WARM_UPS + rounds):
            order = sides if number % 2 == 0 else sides[::-1]
            # No side finds the other's compile in the engine's cache.
            samples = {side.name: side.run(f"1.{os.getpid()}.{number:03}-{side.name}") for side in order}
            if number >= _WARM_UPS:
                found.append(samples)
                print({name: round(one.beyond, 2) for name, one in samples.items()}, file=sys.stderr, flush=True)
    finally:
        images = [side.image for side in sides]
        subprocess.run(["docker", "image", "rm", "--force", *images], capture_output=True, check=False)
    return found


def _sides(folder: Path) -> tuple[Side, ...]:
    environment = run_environment(folder)
    ours = Project(folder / "ours" / "family", 0, environment)
    peers = Project(folder / "peer" / "family", 0, environment)
    for project in (ours, peers):
        dockerfile = project.folder / "Dockerfile"
        dockerfile.write_text(dockerfile.read_text() + _EIGHTH)
    build = (sys.executable, "-m", "buildonce", "build", VARIANT, "--load", "--json")
    peer = f"bench-loading-{os.getpid()}:{VARIANT}"
    plain = ("docker", "buildx", "build", "--provenance=false", "--load", f"--target={VARIANT}", f"--tag={peer}", ".")
    return (
        Side(name="buildonce", project=ours, command=build, image=f"family:{VARIANT}"),
        Side(name="buildx", project=peers, command=plain, image=peer),
    )


def render(rounds: Sequence[Mapping[str, Sample]]) -> str:
    """Return the table, in Markdown."""
    lines = ["| seconds beyond the compile | median | least | most |", "|---|---|---|---|"]
    for name in rounds[0]:
        beyond = [samples[name].beyond for samples in rounds]
        lines.append(f"| {name} | {statistics.median(beyond):.2f} | {min(beyond):.2f} | {max(beyond):.2f} |")
    ratios = [samples["buildonce"].beyond / samples["buildx"].beyond for samples in rounds]
    lines += ["", f"Ratio, median of {len(ratios)} rounds: {statistics.median(ratios):.2f}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
