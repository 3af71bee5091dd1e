"""What buildonce is for, shown on this folder's project: seven variants, two platforms, one compile for each platform.

`make demo` runs it with a registry and a build engine at hand. It works on a copy of the project, checks every number
that it prints, and ends with status 1 when one is not what it should be.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).resolve().parent
PLATFORMS = ("linux/amd64", "linux/arm64")
VARIANTS = ("grok", "cursor", "copilot", "claude", "codex", "kiro", "hermes")
RUNS_THE_PROGRAM = "hermes"


@dataclass(frozen=True)
class Expected:
    """What a build should take: compiles, bases, proofs and faithful builds by an engine; images and tags that move."""

    compiles: int
    bases: int
    proofs: int
    builds: int
    pushed: int
    moved: int


@dataclass
class Demo:
    """The copy of the project, where its images go, and what was not as expected."""

    project: Path
    repository: str
    environment: dict[str, str]
    failures: list[str] = field(default_factory=list)

    def build(self, title: str, expected: Expected) -> None:
        """Build and ship the family, print what it took, and hold it against ``expected``."""
        print(f"\n=== {title}", flush=True)
        command = [sys.executable, "-m", "buildonce", "build", "--json", "--push", self.repository]
        command += [f"--platform={','.join(PLATFORMS)}"]
        done = subprocess.run(command, cwd=self.project, env=self.environment, stdout=subprocess.PIPE, check=True)
        outcome = json.loads(done.stdout)
        found = _counts(outcome)
        print(
            f"--> {found.compiles} compiles, {found.bases} bases and {found.proofs} proofs, {found.builds} images built"
            f" by the engine; {found.pushed} images pushed, {found.moved} tags moved;"
            f" {outcome['requests']} requests, {outcome['bytes_up'] / 1e6:.2f} MB up;"
            f" {outcome['seconds']['total']:.1f} s",
            flush=True,
        )
        self.check(title, found == expected, f"expected {expected}, found {found}")
        by_engine = {run["node"].split()[0] for run in outcome["engine_runs"] if run["activity"] == "build"}
        self.check(title, by_engine <= {RUNS_THE_PROGRAM}, f"the engine built {', '.join(sorted(by_engine))}")

    def verify(self) -> None:
        """Read everything back from the registry, and see whether it is whole and belongs together."""
        print("\n=== what was shipped, read back and verified", flush=True)
        command = [sys.executable, "-m", "buildonce", "verify", "--json", self.repository]
        done = subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, check=False)
        found = json.loads(done.stdout)
        print(
            f"--> {len(found['references'])} tags, {len(found['images'])} images, {found['layers']} layers,"
            f" {found['bytes_read'] / 1e6:.2f} MB; {len(found['findings'])} findings; {found['requests']} requests",
            flush=True,
        )
        whole = (len(found["references"]), len(found["images"]), found["findings"]) == (7, 14, [])
        self.check("verify", whole, f"not all is there, or something is wrong: {found['findings']}")

    def edit(self, name: str, old: str, new: str) -> None:
        """Change one line of the project."""
        path = self.project / name
        text = path.read_text()
        if text.count(old) != 1:
            sys.exit(f"{name} has `{old}` {text.count(old)} times, and should have it once")
        path.write_text(text.replace(old, new))
        print(f"\n{name}: `{old.strip()}` is now `{new.strip()}`", flush=True)

    def run_all(self, version: str) -> None:
        """Run every image on its platform, and see that it has the program of this version in it."""
        print("\n=== every image runs", flush=True)
        for platform in PLATFORMS:
            for variant in VARIANTS:
                image = f"{self.repository}:{variant}"
                command = ["docker", "run", "--rm", "--quiet", f"--platform={platform}", "--entrypoint=family", image]
                done = subprocess.run(
                    [*command, "--version"], env=self.environment, capture_output=True, text=True, check=False
                )
                says = (done.stdout or done.stderr).strip()
                print(f"{variant:8} {platform:12} {says}", flush=True)
                self.check(image, done.returncode == 0 and version in says, f"it does not print {version}: {says}")

    def check(self, where: str, holds: bool, otherwise: str) -> None:
        """Remember what does not hold."""
        if not holds:
            self.failures.append(f"{where}: {otherwise}")
            print(f"!!! {otherwise}", flush=True)


def _counts(outcome: dict[str, Any]) -> Expected:
    runs = Counter(run["activity"] for run in outcome["engine_runs"])
    return Expected(
        compiles=runs["compile"],
        bases=runs["base"],
        proofs=runs["prove"],
        builds=runs["build"],
        pushed=sum(image["pushed"] for image in outcome["images"]),
        moved=sum(tag["outcome"] != "unchanged" for tag in outcome["tags"]),
    )


def main() -> int:
    """Run the whole story; return the exit status."""
    registry = os.environ.get("BUILDONCE_HOST_REGISTRY")
    if not registry:
        sys.exit("BUILDONCE_HOST_REGISTRY names no registry: run `make demo`")
    with tempfile.TemporaryDirectory(prefix="buildonce-demo-") as folder:
        project = Path(folder) / "family"
        shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("demo.py", ".buildonce", "__pycache__"))
        state = {"BUILDONCE_STATE": str(Path(folder) / "state")}
        repository = f"{registry}/demo-{os.getpid()}/family"
        demo = Demo(project=project, repository=repository, environment={**os.environ, **state})
        tell_story(demo)
    print()
    for failure in demo.failures:
        print(f"NOT AS IT SHOULD BE: {failure}")
    print("The demo failed." if demo.failures else "All numbers are as they should be.")
    return 1 if demo.failures else 0


def tell_story(demo: Demo) -> None:
    """Build, change something, build again, and count."""
    demo.build(
        "first build: 7 variants for 2 platforms",
        Expected(compiles=2, bases=10, proofs=6, builds=2, pushed=14, moved=7),
    )
    demo.edit("src/version.h", '"1.0.0"', '"1.1.0"')
    demo.build(
        "(a) one source line changed",
        Expected(compiles=2, bases=0, proofs=0, builds=2, pushed=14, moved=7),
    )
    demo.run_all("1.1.0")
    demo.edit("src/version.h", "#ifndef FAMILY_VERSION_H", "/* What a release changes. */\n#ifndef FAMILY_VERSION_H")
    demo.build(
        "(b) a change that compiles to the same bytes",
        Expected(compiles=2, bases=0, proofs=0, builds=0, pushed=0, moved=0),
    )
    demo.build(
        "(c) nothing changed",
        Expected(compiles=0, bases=0, proofs=0, builds=0, pushed=0, moved=0),
    )
    demo.edit("Dockerfile", "mkdir -p /home/agent/.claude &&", "mkdir -p /home/agent/.claude/agents &&")
    demo.build(
        "(d) one variant's RUN line changed",
        Expected(compiles=0, bases=2, proofs=2, builds=0, pushed=2, moved=1),
    )
    demo.verify()


if __name__ == "__main__":
    sys.exit(main())
