"""[io] The test host, buildonce run as its users run it, and projects to run it on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "examples" / "family"
AMD64, ARM64 = "linux/amd64", "linux/arm64"
PLATFORMS = (AMD64, ARM64)
VARIANTS = ("grok", "cursor", "copilot", "claude", "codex", "kiro", "hermes")

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Document:
        """What the command printed, as JSON; fails with its messages if it did not end well."""
        assert self.code == 0, self.err
        found: Document = json.loads(self.out)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A registry and an engine; ``environment`` is that of every command, with the variables that lead to them."""

    registry: str
    environment: Mapping[str, str] = field(repr=False)

    def run(
        self,
        *argv: str | Path,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = 240,
    ) -> Ran:
        """Run a command to its end."""
        done = subprocess.run(
            list(map(str, argv)),
            cwd=folder,
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    def demand(self, *argv: str | Path, folder: Path | None = None) -> str:
        """Run a command that must succeed; return what it printed."""
        ran = self.run(*argv, folder=folder)
        assert ran.code == 0, f"{argv} ended with {ran.code}\n{ran.out}\n{ran.err}"
        return ran.out

    def repository(self, name: str) -> str:
        """Return a repository in this host's registry."""
        return f"{self.registry}/{name}"


def load_host() -> Host:
    """Return the host that is up; fails, with the cure, where none is."""
    found = subprocess.run([CHECKOUT / "scripts" / "host", "env", "--json"], capture_output=True, text=True)
    assert found.returncode == 0, f"{found.stderr}\nrun `scripts/host up`"
    variables: dict[str, str] = json.loads(found.stdout)
    inherited = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    return Host(
        registry=variables["BUILDONCE_HOST_REGISTRY"],
        environment={**inherited, **variables, "PYTHONPATH": str(CHECKOUT / "src")},
    )


BUILDONCE = (sys.executable, "-m", "buildonce")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A folder with a Dockerfile, and the memory of the user who builds it."""

    host: Host
    folder: Path
    state: Path

    def buildonce(self, *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 240) -> Ran:
        """Run buildonce in the project's folder."""
        own = {"BUILDONCE_STATE": str(self.state), **(environment or {})}
        return self.host.run(*BUILDONCE, *arguments, folder=self.folder, environment=own, timeout=timeout)

    def build(self, *arguments: str, platforms: Sequence[str] = PLATFORMS, timeout: float = 240) -> Document:
        """Build and ship, and return the outcome; fails if buildonce does."""
        chosen = f"--platform={','.join(platforms)}"
        return self.buildonce("build", "--json", chosen, *arguments, timeout=timeout).document

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace the one place in a file that says ``old``."""
        path = self.folder / name
        text = path.read_text()
        assert text.count(old) == 1, f"{name} has `{old}` {text.count(old)} times"
        path.write_text(text.replace(old, new))


def copy_example(host: Host, folder: Path, *, time: int) -> Project:
    """Return a copy of the example project, all of whose files have the same time."""
    project = folder / "family"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns(".buildonce", "__pycache__", "build"))
    set_times(project, time)
    return Project(host=host, folder=project, state=folder / "state")


def set_times(folder: Path, seconds: int) -> None:
    """Give everything in a folder one time."""
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (seconds, seconds), follow_symlinks=False)


def new_project(host: Host, folder: Path, files: Mapping[str, str]) -> Project:
    """Return a project of these files."""
    root = folder / "project"
    root.mkdir(parents=True)
    project = Project(host=host, folder=root, state=folder / "state")
    for name, text in files.items():
        project.write(name, text)
    return project


def engine_nodes(outcome: Document, activity: str) -> list[str]:
    """Return what an engine ran for in an outcome: the nodes of one kind of work, sorted."""
    return sorted(run["node"] for run in outcome["engine_runs"] if run["activity"] == activity)


def digests_of(outcome: Document) -> dict[tuple[str, str], str]:
    """Return an outcome's image digests by variant and platform."""
    return {(image["variant"], image["platform"]): image["digest"] for image in outcome["images"]}


def tags_of(outcome: Document) -> dict[str, str]:
    """Return an outcome's index digests by tag."""
    return {tag["tag"]: tag["digest"] for tag in outcome["tags"]}


def moved_tags(outcome: Document) -> list[str]:
    """Return the tags that an outcome created or moved, sorted."""
    return sorted(tag["tag"] for tag in outcome["tags"] if tag["outcome"] != "unchanged")


def pushed_images(outcome: Document) -> list[tuple[str, str]]:
    """Return the images that had to be sent."""
    return sorted((image["variant"], image["platform"]) for image in outcome["images"] if image["pushed"])
