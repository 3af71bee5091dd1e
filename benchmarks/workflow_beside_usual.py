"""The generated workflow beside the usual one, which has a job with an engine for each variant and platform.

`scripts/host run -- .venv/bin/python -m benchmarks.workflow_beside_usual`: the example family for linux/amd64. Every
job of both sides that wants an engine gets one that nothing ran on before. The usual job is `docker buildx build
--target` with a registry cache of its own (mode=max). All that goes to or comes from the registry passes a proxy, which
counts the bytes of bodies: those of engines, and those of buildonce.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.proxy import CountingProxy, counting_proxy
from tests.e2e.ci_stories import World, tell_toml
from tests.e2e.dockerds import dockerd
from tests.e2e.harness import AMD64, VARIANTS, Host, Project, copy_example, load_host
from tests.e2e.stories import FIRST_LINE, LONG_AGO


@contextmanager
def new_engine(host: Host) -> Iterator[Mapping[str, str]]:
    """Give the variables that lead to an engine that nothing ran on before."""
    with dockerd(host, keeps_in_containerd=True) as address:
        yield {"DOCKER_HOST": address}


def usual(host: Host, project: Project, repository: str) -> tuple[int, int]:
    """Run the usual jobs; return how many there were, and how often the builder stage was compiled."""
    compiles = 0
    for variant in VARIANTS:
        cache = f"type=registry,ref={repository}:cache-{variant}"
        with new_engine(host) as variables:
            other = replace(host, environment={**host.environment, **variables})
            ran = other.run(
                *("docker", "buildx", "build", "--progress=plain", "--provenance=false", f"--target={variant}"),
                *(f"--platform={AMD64}", f"--cache-from={cache}", f"--cache-to={cache},mode=max"),
                *("--output", f"type=registry,name={repository}:{variant}", project.folder),
                timeout=600,
            )
            assert ran.code == 0, ran.err
            compiles += any("RUN make OPTIMIZE" in line and "CACHED" not in line for line in _steps(ran.err))
    return len(VARIANTS), compiles


def _steps(log: str) -> Iterator[str]:
    """Yield a line for each step: its text, with CACHED where nothing ran."""
    texts: dict[str, str] = {}
    for line in log.splitlines():
        number, _, rest = line.partition(" ")
        if rest.startswith("["):
            texts[number] = rest
        elif rest.startswith("CACHED") and number in texts:
            texts[number] += " CACHED"
    yield from texts.values()


def main() -> None:
    """Print a table in Markdown."""
    own, run_id = load_host(), secrets.token_hex(4)
    print("| story | workflow | jobs | compiles | engines started | up | down | seconds, one after the other |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="buildonce-usual-") as name, counting_proxy(own.registry) as proxy:
        mirrors = {"BUILDONCE_MIRRORS": f"docker.io=http://{proxy.address}"}
        host = replace(own, registry=proxy.address, environment={**own.environment, **mirrors})
        project = copy_example(host, Path(name), time=LONG_AGO)
        push = host.repository(f"usual-{run_id}/generated")
        tell_toml(project, push, VARIANTS, (AMD64,))
        world = World(
            project=project, folder=Path(name), push=push, platforms=(AMD64,), engine=lambda _: new_engine(host)
        )
        version = f'FAMILY_VERSION "6.0.{int(run_id, 16)}"'
        project.edit("src/version.h", FIRST_LINE, version)
        _both(proxy, world, host, "first build", run_id)
        project.edit("src/version.h", version, f'{version[:-1]}1"')
        _both(proxy, world, host, "one core line changed", run_id)


def _both(proxy: CountingProxy, world: World, host: Host, story: str, run_id: str) -> None:
    proxy.take()
    one = world.story()
    assert not one.failed, one.failed
    jobs = ", ".join(f"{count} {job}" for job, count in one.jobs.items())
    _row(story, "generated", jobs, one.compiles, one.engine_starts, proxy, one.seconds)
    started = time.monotonic()
    count, compiles = usual(host, world.project, host.repository(f"usual-{run_id}/usual"))
    _row(story, "usual", count, compiles, count, proxy, time.monotonic() - started)


def _row(
    story: str, workflow: str, jobs: object, compiles: int, starts: int, proxy: CountingProxy, seconds: float
) -> None:
    traffic = proxy.take()
    megabytes = (f"{size / 1e6:.1f} MB" for size in (traffic.bytes_up, traffic.bytes_down))
    row = (story, workflow, jobs, compiles, starts, *megabytes, f"{seconds:.0f}")
    print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
