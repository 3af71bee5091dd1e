"""[io] Projects whose generated workflow is run job by job: a small family, and one of 60 variants for 3 platforms."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from buildonce.ci.github import Workflow, render_workflow
from buildonce.ci.trials import Engine, Event, Trial
from tests.e2e.harness import PLATFORMS, VARIANTS, Host, Project, copy_example, new_project
from tests.e2e.stories import LONG_AGO

LARGE_PLATFORMS = ("linux/amd64", "linux/amd64/v2", "linux/arm64")
KINDS = 6
_SMALL_BASE = "FROM busybox:1.36-glibc AS runtime-small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a story took: jobs by kind, and sums over them. Bytes are those that buildonce moved."""

    jobs: dict[str, int]
    failed: list[str]
    compiles: int
    engine_starts: int
    engine_runs: int
    bytes_up: int
    bytes_down: int
    ship_bytes_down: int
    moved: list[str]
    seconds: float


@dataclass(slots=True, kw_only=True)
class World:
    """A project, its workflow, and where it ships to; ``engine`` makes one ready for each job, else all share one."""

    project: Project
    folder: Path
    push: str
    platforms: Sequence[str]
    engine: Engine | None = None
    starts: int = 0
    number: int = 0
    lines: list[str] = field(default_factory=list)

    def story(self, event: str = "push", *, is_fork: bool = False) -> Counted:
        """Run the workflow once for the project as it is; every job that runs is on a machine of its own."""
        self.number += 1
        self.starts = 0
        here = self.folder / f"story-{self.number}"
        workflow = Workflow(
            install="buildonce",
            registries=(self.push.partition("/")[0],),
            cache=f"{self.push}-cache",
            platforms=tuple(sorted(self.platforms)),
        )
        trial = Trial(
            project=self.project.folder,
            folder=here,
            event=Event(name=event, is_fork=is_fork),
            say=self.lines.append,
            engine=self._start,
            environment=self.project.host.environment,
        )
        runs = trial.run(render_workflow(workflow))
        made = [json.loads(path.read_text()) for path in sorted(here.glob("artifacts/buildonce-made-*/*.json"))]
        shipped = here / "artifacts" / "buildonce-shipped" / "shipped.json"
        outcome = json.loads(shipped.read_text()) if shipped.is_file() else {}
        ran = [run for run in runs if run.result != "skipped"]
        return Counted(
            jobs={job: sum(run.job == job for run in ran) for job in dict.fromkeys(run.job for run in ran)},
            failed=[run.title for run in runs if run.result == "failure"],
            compiles=sum(one["compiles"] for one in made),
            engine_starts=self.starts,
            engine_runs=sum(one["engine_runs"] for one in made) + len(outcome.get("engine_runs", ())),
            bytes_up=sum(one["bytes_up"] for one in (*made, outcome) if one),
            bytes_down=sum(one["bytes_down"] for one in (*made, outcome) if one),
            ship_bytes_down=outcome.get("bytes_down", 0),
            moved=sorted(tag["tag"] for tag in outcome.get("tags", ()) if tag["outcome"] != "unchanged"),
            seconds=sum(run.seconds for run in runs),
        )

    @contextmanager
    def _start(self, job: str) -> Iterator[dict[str, str]]:
        self.starts += 1
        if self.engine is None:
            yield {}
            return
        with self.engine(job) as variables:
            yield dict(variables)


def push_base(host: Host, name: str, folder: Path, version: int, platforms: str = "linux/amd64,linux/arm64") -> None:
    """Put a base image under a tag, another one for each version."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text(f"FROM busybox:1.36-glibc\nENV BASE_VERSION={version}\n")
    options = ("--provenance=false", f"--platform={platforms}", f"--output=type=registry,name={name}")
    host.demand("docker", "buildx", "build", *options, folder)


def tell_toml(project: Project, push: str, variants: Sequence[str], platforms: Sequence[str]) -> None:
    """Declare the variants, each the stage of its name."""
    listed = ", ".join(f'"{platform}"' for platform in platforms)
    tables = "".join(f"[variants.{variant}]\n" for variant in variants)
    project.write("buildonce.toml", f'push = "{push}"\nplatforms = [{listed}]\n{tables}')


def small_family(host: Host, folder: Path, push: str, base: str) -> World:
    """The example family, whose smaller variants are based on ``base``."""
    project = copy_example(host, folder, time=LONG_AGO)
    project.edit("Dockerfile", _SMALL_BASE, _SMALL_BASE.replace("busybox:1.36-glibc", base))
    tell_toml(project, push, VARIANTS, PLATFORMS)
    return World(project=project, folder=folder, push=push, platforms=PLATFORMS)


def large_dockerfile(base: str, variants: int) -> str:
    """A Dockerfile of a core and so many variants: most configure something, some do so after the copy."""
    compile_ = "RUN mkdir /out && cp source.txt /out/app && chmod 755 /out/app\n"
    stages = [f"FROM busybox:1.36-glibc AS builder\nCOPY source.txt /\n{compile_}"]
    copy = "COPY --from=builder /out/app /usr/local/bin/app\n"
    for number in range(variants):
        image = base if number % 12 == 0 else "busybox:1.36-glibc"
        configure = f"RUN mkdir -p /etc/app && echo {number} > /etc/app/v{number}\n"
        begin = f"FROM {image} AS v{number}\n"
        if number % 6 == 5:
            stages.append(f"{begin}{copy}ENV VARIANT={number}\n")
        elif number % 6 == 4:
            stages.append(f"{begin}{copy}{configure}ENV VARIANT={number}\n")
        else:
            stages.append(f"{begin}{configure}{copy}ENV VARIANT={number}\n")
    return "\n".join(stages)


def shared_dockerfile(base: str, variants: int) -> str:
    """A Dockerfile of a core and so many variants on six stages that they share; every tenth does something more."""
    compile_ = "RUN mkdir /out && cp source.txt /out/app && chmod 755 /out/app\n"
    stages = [f"FROM busybox:1.36-glibc AS builder\nCOPY source.txt /\n{compile_}"]
    for kind in range(KINDS):
        image = base if kind == 0 else "busybox:1.36-glibc"
        stages.append(f"FROM {image} AS kind{kind}\nRUN mkdir -p /etc/app && echo kind{kind} > /etc/app/kind\n")
    for number in range(variants):
        more = f"RUN mkdir -p /etc/app/v{number}\n" if number % 10 == 9 else ""
        copy = "COPY --from=builder /out/app /usr/local/bin/app\n"
        stages.append(f"FROM kind{number % KINDS} AS v{number}\n{copy}{more}ENV VARIANT={number}\n")
    return "\n".join(stages)


def large_project(host: Host, folder: Path, push: str, dockerfile: str, run_id: str, variants: int = 60) -> World:
    """A project of 60 variants for 3 platforms, with this Dockerfile."""
    project = new_project(host, folder, {"Dockerfile": dockerfile, "source.txt": f"{run_id} 1\n"})
    tell_toml(project, push, [f"v{number}" for number in range(variants)], LARGE_PLATFORMS)
    return World(project=project, folder=folder, push=push, platforms=LARGE_PLATFORMS)
