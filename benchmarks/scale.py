"""[io] A family of very many variants: does time grow as their number does, and is memory bounded? See README.md.

Run it from the root: `scripts/host run -- .venv/bin/python -m benchmarks.scale --write benchmarks/results`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.facts import machine_facts

SCHEMA = "buildonce.benchmark.scale/1"
PLATFORMS = "linux/amd64,linux/arm64"
_MEMORY_LIMIT = 250
_HEAD = """\
FROM busybox:1.36-glibc AS builder
COPY source /src
RUN mkdir /out && cp /src /out/tool && head -c 2000000 /dev/urandom >> /out/tool

"""
_STORIES = ("plan", "first", "core changed", "nothing changed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run: the whole process's seconds, those on a processor, its peak memory, and how many requests it sent."""

    story: str
    variants: int
    seconds: float
    cpu_seconds: float
    peak_mib: float
    requests: int
    load: float


def main(arguments: Sequence[str]) -> int:
    """Run the stories for each number of variants, print the table, and write the results."""
    options = _parser().parse_args(arguments)
    registry = os.environ["BUILDONCE_HOST_REGISTRY"]
    samples: list[Sample] = []
    for variants in options.variants:
        with tempfile.TemporaryDirectory(prefix="buildonce-bench-") as name:
            target = f"{registry}/bench-scale/{secrets.token_hex(4)}"
            for sample in measure(Path(name), variants, target):
                print(sample, file=sys.stderr, flush=True)
                samples.append(sample)
    document = {
        "schema": SCHEMA,
        "machine": machine_facts(os.environ),
        "platforms": PLATFORMS.split(","),
        "samples": [asdict(sample) for sample in samples],
    }
    page = render(document, samples)
    print(page)
    if options.write:
        options.write.mkdir(parents=True, exist_ok=True)
        (options.write / "scale.json").write_text(json.dumps(document, indent=1) + "\n")
        (options.write / "scale.md").write_text(page)
    return int(max(sample.peak_mib for sample in samples) > _MEMORY_LIMIT)


def write_family(folder: Path, variants: int) -> None:
    """Write a Dockerfile with that many targets, every tenth with a destination of its own."""
    stages = [
        f"FROM busybox:1.36-glibc AS v{number:04}\n"
        f"COPY --from=builder /out/tool /opt/{number // 10 if number % 10 else 'tools'}/bin/tool\n"
        f'ENV VARIANT=v{number:04}\nLABEL variant="v{number:04}"\nENTRYPOINT ["/opt/tool"]\n'
        for number in range(variants)
    ]
    (folder / "Dockerfile").write_text(_HEAD + "\n".join(stages))
    (folder / "source").write_text("1\n")


def measure(folder: Path, variants: int, target: str) -> Iterator[Sample]:
    """Yield a sample for each story; raises if a run does not do what its story says."""
    project = folder / "project"
    project.mkdir()
    write_family(project, variants)
    environment = {**os.environ, "BUILDONCE_STATE": str(folder / "state")}
    push = ("--push", target)
    for story in _STORIES:
        if story == "core changed":
            (project / "source").write_text("2\n")
        command = "plan" if story == "plan" else "build"
        arguments = (command, f"--platform={PLATFORMS}", "--json", *push)
        load = os.getloadavg()[0]
        seconds, usage, document = _run(arguments, project, environment)
        moved = sum(tag["outcome"] != "unchanged" for tag in document.get("tags", ()))
        expected = {"plan": 0, "nothing changed": 0}.get(story, variants)
        if moved != expected:
            raise RuntimeError(f"{story}: {moved} tags moved, not {expected}")
        yield Sample(
            story=story,
            variants=variants,
            seconds=round(seconds, 2),
            cpu_seconds=round(usage.ru_utime + usage.ru_stime, 2),
            peak_mib=round(usage.ru_maxrss / 1024, 1),
            requests=document.get("requests", 0),
            load=round(load, 2),
        )


def render(document: Mapping[str, object], samples: Sequence[Sample]) -> str:
    """Return the page with the facts and the table."""
    facts = document["machine"]
    assert isinstance(facts, Mapping)
    loads = [sample.load for sample in samples]
    lines = [
        "# Very many variants",
        "",
        "One program in that many variants for two platforms, shipped to a registry on the same machine; how to read",
        "this: [README](../README.md).",
        "",
        *(f"* {name}: {facts[name]}" for name in ("cores", "processor", "memory", "system", "Python", "buildonce")),
        f"* load average during the runs: {min(loads):.1f} to {max(loads):.1f}",
        "",
        "| story | variants | seconds | on a processor | for each image | requests | for each image | peak memory |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for sample in sorted(samples, key=lambda one: (_STORIES.index(one.story), one.variants)):
        images = 2 * sample.variants
        lines.append(
            f"| {sample.story} | {sample.variants} | {sample.seconds:.2f} | {sample.cpu_seconds:.2f} "
            f"| {1000 * sample.cpu_seconds / images:.1f} ms "
            f"| {sample.requests} | {sample.requests / images:.2f} | {sample.peak_mib:.0f} MiB |"
        )
    return "\n".join(lines) + "\n"


def _run(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> tuple[float, resource.struct_rusage, Any]:
    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        command = [sys.executable, "-m", "buildonce", *arguments]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        if process.returncode:
            said.seek(0)
            raise RuntimeError(said.read().decode(errors="replace")[-3000:])
        out.seek(0)
        return seconds, usage, json.load(out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--variants", type=int, nargs="+", default=[100, 300, 1000], metavar="N", help="[default: 100 300 1000]"
    )
    parser.add_argument("--write", type=Path, metavar="DIR", help="write scale.json and scale.md there")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
