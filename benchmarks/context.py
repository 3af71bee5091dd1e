"""[io] A context of many files: hashed for the first time, beside `sha256sum`, and again; see README.md.

Run it from the repository's root: `python -m benchmarks.context --write benchmarks/results`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.facts import machine_facts

SCHEMA = "buildonce.benchmark.context/1"
_DOCKERFILE = "FROM scratch\nCOPY . /context/\n"
_CHILD = """
import json, resource, sys, time
started = time.monotonic()
from pathlib import Path
from buildonce.context import Memory, Words, digest_selection, open_context
root, folder = map(Path, sys.argv[1:])
digest, _ = digest_selection(open_context(root, None), Words(sources=(".",)), Memory(root, folder))
seconds = time.monotonic() - started
peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
print(json.dumps({"seconds": seconds, "peak_mib": peak, "digest": digest}))
"""
"""What is timed: imports, the memory, the walk, the hashes and the digest of the whole."""


def main(arguments: Sequence[str]) -> int:
    """Run the comparison, print the table, and write the results."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="buildonce-bench-") as name:
        folder = Path(name)
        if shutil.disk_usage(folder).free < 3 * options.megabytes * 1_000_000:
            print(f"{folder} has no room for {options.megabytes} MB", file=sys.stderr)
            return 1
        make_context(folder / "context", options.files, options.megabytes * 1_000_000)
        time.sleep(3)  # younger files are not remembered
        rounds = measure(folder, options.rounds)
    document = {
        "schema": SCHEMA,
        "machine": machine_facts(os.environ),
        "files": options.files,
        "megabytes": options.megabytes,
        "rounds": rounds,
    }
    page = render(document, rounds)
    print(page)
    if options.write:
        options.write.mkdir(parents=True, exist_ok=True)
        (options.write / "context.json").write_text(json.dumps(document, indent=1) + "\n")
        (options.write / "context.md").write_text(page)
    return 0


def make_context(root: Path, files: int, total: int) -> None:
    """Write files of very different sizes, ``total`` bytes together, into 2000 directories, and a Dockerfile."""
    chance = random.Random(1)
    weights = [chance.lognormvariate(0, 1.2) for _ in range(files)]
    unit = total / sum(weights)
    block = chance.randbytes(1 << 22)
    for number, weight in enumerate(weights):
        folder = root / f"package{number % 10}" / f"module{number // 10 % 40}" / f"part{number // 400 % 5}"
        folder.mkdir(parents=True, exist_ok=True)
        start, size = chance.randrange(len(block) // 2), int(weight * unit)
        with (folder / f"file{number}.txt").open("wb") as file:
            while size > 0:
                size -= file.write(block[start : start + size])
    (root / "Dockerfile").write_text(_DOCKERFILE)


def measure(folder: Path, rounds: int) -> list[Mapping[str, float]]:
    """Time all cases ``rounds`` times; who goes first alternates. Everything is read once before, and so in memory."""
    root = folder / "context"
    _sha256sum(root)
    measured: list[Mapping[str, float]] = []
    for number in range(rounds):
        load = os.getloadavg()[0]
        peer = _sha256sum(root) if number % 2 else 0.0
        shutil.rmtree(folder / "memory", ignore_errors=True)
        first = _ours(root, folder / "memory")
        peer = peer or _sha256sum(root)
        again = _ours(root, folder / "memory")
        if first["digest"] != again["digest"]:
            raise RuntimeError("the context has another digest the second time")
        shutil.rmtree(folder / "state", ignore_errors=True)
        measured.append(
            {
                "load": round(load, 2),
                "sha256sum_s": round(peer, 3),
                "first_s": round(float(first["seconds"]), 3),
                "first_peak_mib": round(float(first["peak_mib"])),
                "again_s": round(float(again["seconds"]), 3),
                "again_peak_mib": round(float(again["peak_mib"])),
                "plan_first_s": round(_plan(root, folder / "state"), 3),
                "plan_again_s": round(_plan(root, folder / "state"), 3),
            }
        )
        print(measured[-1], file=sys.stderr, flush=True)
    return measured


def render(document: Mapping[str, object], rounds: Sequence[Mapping[str, float]]) -> str:
    """Return the page with the facts and the table."""
    facts = document["machine"]
    assert isinstance(facts, Mapping)
    middle = {name: median(one[name] for one in rounds) for name in rounds[0]}
    loads = [one["load"] for one in rounds]
    speed = middle["sha256sum_s"] / middle["first_s"]
    by_round = ", ".join(f"{ratio:.2f}" for ratio in sorted(one["sha256sum_s"] / one["first_s"] for one in rounds))
    lines = [
        "# A large context",
        "",
        f"{document['files']} files, {document['megabytes']} MB; how to read this: [README](../README.md).",
        "",
        *(f"* {name}: {facts[name]}" for name in ("cores", "processor", "memory", "system", "Python", "buildonce")),
        f"* load average during the rounds: {min(loads):.1f} to {max(loads):.1f}",
        "",
        f"Medians of {len(rounds)} rounds.",
        "",
        "| what | seconds | peak memory |",
        "|---|--:|--:|",
        f"| `sha256sum`, a process for each core | {middle['sha256sum_s']:.2f} | |",
        f"| first hash | {middle['first_s']:.2f} | {middle['first_peak_mib']:.0f} MiB |",
        f"| again, nothing changed | {middle['again_s']:.2f} | {middle['again_peak_mib']:.0f} MiB |",
        f"| `buildonce plan`, first | {middle['plan_first_s']:.2f} | |",
        f"| `buildonce plan`, again | {middle['plan_again_s']:.2f} | |",
        "",
        f"The first hash has **{speed:.2f}** of the speed of `sha256sum` (by round: {by_round}).",
    ]
    return "\n".join(lines) + "\n"


def _sha256sum(root: Path) -> float:
    started = time.monotonic()
    command = 'find "$1" -type f -print0 | xargs -0 -n 500 -P "$2" sha256sum > "$3"'
    subprocess.run(["sh", "-c", command, "sh", str(root), str(os.cpu_count()), os.devnull], check=True)
    return time.monotonic() - started


def _ours(root: Path, memory: Path) -> dict[str, float | str]:
    done = subprocess.run([sys.executable, "-c", _CHILD, str(root), str(memory)], check=True, capture_output=True)
    said: dict[str, float | str] = json.loads(done.stdout)
    return said


def _plan(root: Path, state: Path) -> float:
    started = time.monotonic()
    environment = {**os.environ, "BUILDONCE_STATE": str(state)}
    command = [sys.executable, "-m", "buildonce", "plan", "--context", str(root)]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.monotonic() - started


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.context", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="timed rounds [default: 5]")
    parser.add_argument("--files", type=int, default=100_000, metavar="N", help="files to make [default: 100000]")
    parser.add_argument("--megabytes", type=int, default=1000, metavar="N", help="their size together [default: 1000]")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write context.json and context.md there")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
