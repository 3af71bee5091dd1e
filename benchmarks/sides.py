"""[io] The two sides: `buildonce build --push` and `docker buildx bake --push`, each on its own copy of the family."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.compiles import Records, time_covered

FAMILY = Path(__file__).resolve().parent.parent / "examples" / "family"
VARIANTS = ("grok", "cursor", "copilot", "claude", "codex", "kiro")
"""All of the family but `hermes`, which runs the program while it is built."""
PLATFORMS = ("linux/amd64", "linux/arm64")

_VERSION = re.compile(r'FAMILY_VERSION "[^"]*"')
_PAD_RULE = "\tbuild/pad {size} >> $@\n"
_PAD = """\
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The same bytes every time, and no compressor makes them fewer. */
int main(int count, char **words)
{
    static uint64_t block[8192];
    uint64_t state = 88172645463325252u;
    long blocks = count > 1 ? atol(words[1]) * 16 : 0;
    while (blocks-- > 0) {
        for (int i = 0; i < 8192; i++) {
            state ^= state << 13; state ^= state >> 7; state ^= state << 17;
            block[i] = state * 2685821657736338717u;
        }
        if (fwrite(block, sizeof block, 1, stdout) != 1) return 1;
    }
    return 0;
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run: wall-clock seconds from process start to exit, and those of them in which BuildKit was compiling.

    ``compiles`` is how often it compiled; ``said`` is what the program itself reports of the run, if it does.
    """

    total: float
    compile: float
    compiles: int
    said: Mapping[str, object]

    @property
    def beyond(self) -> float:
        """What the run took beyond the compile."""
        return self.total - self.compile


class Side(Protocol):
    """One of the two."""

    name: str

    def edit(self, version: str) -> None:
        """Change the one source line."""
        ...

    def run(self, repository: str) -> Sample:
        """Build the family as it is now and push it to ``repository``."""
        ...


class Project:
    """A copy of the family whose program has ``padding`` more megabytes."""

    def __init__(self, folder: Path, padding: int, environment: Mapping[str, str]) -> None:
        shutil.copytree(FAMILY, folder, ignore=shutil.ignore_patterns("demo.py", ".buildonce", "__pycache__", "build"))
        self.folder = folder
        self.environment = dict(environment)
        self.records = Records(folder, environment)
        if padding:
            _pad(folder / "src", padding)

    def edit(self, version: str) -> None:
        """Change the version in the source."""
        header = self.folder / "src" / "version.h"
        text, count = _VERSION.subn(f'FAMILY_VERSION "{version}"', header.read_text())
        if count != 1:
            raise RuntimeError(f"{header.name} has {count} versions instead of one")
        header.write_text(text)

    def run(self, command: list[str]) -> Sample:
        """Run the command; return what it took. Its standard output may be JSON of its own."""
        started = time.monotonic()
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, check=False)
        total = time.monotonic() - started
        if done.returncode:
            sys.stderr.buffer.write(done.stderr)
            raise RuntimeError(f"`{' '.join(command[:4])} ...` ended with status {done.returncode}")
        compiles = self.records.new_compiles()
        said = json.loads(done.stdout) if done.stdout.startswith(b"{") else {}
        return Sample(total=total, compile=time_covered(compiles), compiles=len(compiles), said=said)


class Buildonce:
    """`buildonce build --push`."""

    name = "buildonce"

    def __init__(self, project: Project) -> None:
        self._project = project

    def edit(self, version: str) -> None:
        """Change the one source line."""
        self._project.edit(version)

    def run(self, repository: str) -> Sample:
        """Build the family as it is now and push it."""
        command = [sys.executable, "-m", "buildonce", "build", "--json", "--push", repository]
        command += [f"--platform={','.join(PLATFORMS)}", f"--variant={','.join(VARIANTS)}"]
        return self._project.run(command)


class Bake:
    """`docker buildx bake --push`, without provenance, which would only cost it time."""

    name = "bake"

    def __init__(self, project: Project) -> None:
        self._project = project

    def edit(self, version: str) -> None:
        """Change the one source line."""
        self._project.edit(version)

    def run(self, repository: str) -> Sample:
        """Build the family as it is now and push it."""
        definition = self._project.folder.parent / "bake.json"
        definition.write_text(json.dumps(bake_definition(repository), indent=2))
        return self._project.run(
            ["docker", "buildx", "bake", "--file", str(definition), "--provenance=false", "--push"]
        )


def bake_definition(repository: str) -> Mapping[str, object]:
    """Return a bake file with one target for each variant, for all platforms."""
    targets = {
        variant: {
            "context": ".",
            "dockerfile": "Dockerfile",
            "target": variant,
            "platforms": PLATFORMS,
            "tags": [f"{repository}:{variant}"],
        }
        for variant in VARIANTS
    }
    return {"group": {"default": {"targets": VARIANTS}}, "target": targets}


def _pad(sources: Path, megabytes: int) -> None:
    """Have the compile append ``megabytes`` to the program: a loader does not read what lies behind a program."""
    (sources / "pad.c").write_text(_PAD)
    makefile = sources / "Makefile"
    rule = "build/family: $(objects)\n\t$(CC) $(LDFLAGS) -o $@ $^\n"
    text = makefile.read_text()
    if text.count(rule) != 1:
        raise RuntimeError("the family's Makefile has changed: its rule for the program is not the one to pad")
    padded = rule.replace("$(objects)", "$(objects) build/pad").replace("$^", "$(objects)")
    padded += _PAD_RULE.format(size=megabytes) + "\nbuild/pad: pad.c | build\n\t$(CC) -O2 -o $@ $<\n"
    makefile.write_text(text.replace(rule, padded))


def run_environment(folder: Path) -> dict[str, str]:
    """Return the environment in which both sides run."""
    # An installed package has its bytecode beside it; without, Python would compile buildonce at every start.
    dropped = ("PYTHONDONTWRITEBYTECODE", "PYTHONDEVMODE", "PYTHONPROFILEIMPORTTIME")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "BUILDONCE_STATE": str(folder / "state")}
