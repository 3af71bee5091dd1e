"""BuildKit through ``docker buildx``, with any of its drivers.

Docker's own driver without containerd's image store can neither write OCI layouts nor read them: there images go
through Docker's store. Files need no such detour.
"""

from __future__ import annotations

import asyncio
import platform as machine
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from buildonce.build_options import BuildOptions
from buildonce.dockerfile.runes import encode
from buildonce.engines.builders import Builder, WritesNoLayouts, read_builder
from buildonce.engines.docker_store import TEMPORARY, DockerStore
from buildonce.engines.failures import build_failed, command_alone
from buildonce.engines.handing import check_handed, sandbox_arguments
from buildonce.engines.last_lines import LastLines
from buildonce.engines.listening import BuildkitDetails, Listener
from buildonce.engines.nodes import require_nodes
from buildonce.engines.process import run_process
from buildonce.engines.protocol import BuildJob, Built, Exported
from buildonce.errors import EngineFailed, EngineUnavailable
from buildonce.events import Emit
from buildonce.oci import Descriptor, Platform, decode_index, parse_platform
from buildonce.plan.images import LAYOUT_SCHEME
from buildonce.store.documents import LIMIT
from buildonce.store.streams import open_file
from buildonce.tasks import together

_PATIENCE = 30
_NOT_PASSED_ON = ("SOURCE_DATE_EPOCH",)
"""Variables that buildx turns into build arguments; times are set by assembly, an engine's build must not vary."""
_SETTINGS = {"BUILDX_GIT_INFO": "0"}
"""buildx would ask Git half a dozen questions before each build, for an attestation that is off."""


def image_output(job: BuildJob) -> str:
    """Return the option that has the target exported as an OCI layout, in the job's folder."""
    output = f"type=oci,tar=false,dest={job.output}"
    return output if job.compress else f"{output},compression=uncompressed,force-compression=true"


def files_output(job: BuildJob) -> str:
    """Return the option that has the target's files exported as one archive, in the job's folder."""
    return f"type=tar,dest={_archive(job)}"


def build_arguments(job: BuildJob, dockerfile: Path, output: str) -> tuple[str, ...]:
    """Return the arguments of buildx that build ``job``, whose Dockerfile was written to ``dockerfile``.

    Attestations are off: they carry times, and what is built here is an ingredient or is published under our index.
    """
    argv = ["build", "--progress=plain", "--provenance=false", "--sbom=false"]
    argv += ["--platform", str(job.platform), "--file", str(dockerfile), "--output", output]
    if job.target:
        argv += ["--target", job.target]
    for name, value in sorted(job.build_args.items()):
        argv += ["--build-arg", f"{name}={value}"]
    for name, value in sorted(job.named_contexts.items()):
        argv += ["--build-context", f"{name}={value}"]
    for name, value in sorted(job.labels.items()):
        argv += ["--label", f"{name}={value}"]
    return (*argv, *option_arguments(job.options), str(job.context))


def option_arguments(options: BuildOptions) -> tuple[str, ...]:
    """Return the arguments of buildx for what a build is handed."""
    argv = [*sandbox_arguments(options, between="=")]
    several = {
        "--allow": options.allow,
        "--secret": options.secrets,
        "--ssh": options.ssh,
        "--cache-from": options.cache_from,
        "--cache-to": options.cache_to,
        "--no-cache-filter": options.no_cache_filter,
    }
    argv += [word for option, values in several.items() for value in values for word in (option, value)]
    return (*argv, *(("--no-cache",) if options.no_cache else ()))


def _has_layouts(job: BuildJob, output: str) -> bool:
    """Say whether a build writes an OCI layout, or reads one."""
    contexts = job.named_contexts.values()
    return output.startswith("type=oci") or any(value.startswith(LAYOUT_SCHEME) for value in contexts)


def own_platform() -> Platform:
    """Return the platform that this machine's containers have."""
    return parse_platform(f"linux/{machine.machine()}")


@dataclass(slots=True)
class Learned:
    """What was learned of a builder: what it said when all of it was up, and the store if it can do without layouts."""

    builder: Builder | None = None
    store: DockerStore | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildx:
    """`Engine` over the program buildx; ``command`` are the words that it is called with, ``own`` is this machine."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    emit: Emit = field(repr=False)
    own: Platform = field(default_factory=own_platform)
    learned: Learned = field(default_factory=Learned, repr=False)

    @property
    def name(self) -> str:
        """What messages call it."""
        return "docker buildx"

    def repeats(self, _: BuildJob, /) -> bool:
        """Say no: builds that need the same step wait for it together."""
        return False

    async def build(self, job: BuildJob) -> Built:
        """Build the job's target as an image."""
        store = self.learned.store
        if store is None:
            try:
                return await self._build(job)
            except WritesNoLayouts as error:
                store = self._learn(error.builder)
        return await self._build_in(store, job)

    async def _build(self, job: BuildJob) -> Built:
        seconds = await self._run(job, image_output(job))
        manifest = await asyncio.to_thread(written_manifest, job.output, job.node)
        return Built(layout=job.output, manifest=manifest, seconds=seconds)

    async def _build_in(self, store: DockerStore, job: BuildJob) -> Built:
        """Build an image into Docker's own store, and take it out."""
        started = time.monotonic()
        async with store.loaded(job) as contexts, store.temporary_name() as name:
            await self._run(replace(job, named_contexts=contexts), f"type=docker,name={name}")
            manifest = await store.save(job, name)
        return Built(layout=job.output, manifest=manifest, seconds=time.monotonic() - started)

    async def export(self, job: BuildJob) -> Exported:
        """Build the job's target for its files: no layers, no image, and no round trips for either."""
        store = self.learned.store
        if store is None:
            try:
                return await self._export(job)
            except WritesNoLayouts as error:
                store = self._learn(error.builder)
        async with store.loaded(job) as contexts:
            return await self._export(replace(job, named_contexts=contexts))

    async def _export(self, job: BuildJob) -> Exported:
        seconds = await self._run(job, files_output(job))
        return Exported(archive=_archive(job), seconds=seconds)

    def _learn(self, builder: Builder) -> DockerStore:
        """Return the store that stands in for layouts from now on."""
        if self.learned.store is None:
            self.learned.store = DockerStore(context=builder.endpoint, environment=self.environment, emit=self.emit)
        return self.learned.store

    async def _run(self, job: BuildJob, output: str) -> float:
        """Run a build; return the seconds that it took. Raises `EngineFailed` with the engine's last lines."""
        check_handed(job.options, self.environment)
        listener = Listener(job, self.emit, BuildkitDetails())
        with tempfile.TemporaryDirectory(prefix="buildonce-") as folder:
            dockerfile = Path(folder) / "Dockerfile"
            await asyncio.to_thread(_write_inputs, job, dockerfile)
            started = time.monotonic()
            arguments = build_arguments(job, dockerfile, output)
            status = await self._while_asking(job, self._call(arguments, listener))
            seconds = time.monotonic() - started
        if status != 0:
            alone = command_alone("docker buildx", arguments, job, passing=TEMPORARY)
            raise await self._failure(job, output, status, listener.last, alone)
        return seconds

    async def _while_asking(self, job: BuildJob, building: Coroutine[Any, Any, int]) -> int:
        """Run a build; for another machine than this, ask meanwhile whether there is one, and end it if not.

        Asked before, it would delay every build by a tenth of a second. Raises `EngineUnavailable`.
        """
        if (job.platform.os, job.platform.architecture) == (self.own.os, self.own.architecture):
            return await building
        status, _ = await together((building, self._check_nodes(job)))
        return status or 0

    async def _check_nodes(self, job: BuildJob) -> None:
        """Raise `EngineUnavailable` if the builder has no node for what the job runs."""
        if self.learned.builder is None:
            try:
                builder = read_builder(await self._ask("inspect"))
            except EngineUnavailable:
                return  # the build finds out as well, and says more
            self.learned.builder = builder if builder.is_up else None
        if self.learned.builder:
            require_nodes(self.learned.builder, job)

    async def _failure(self, job: BuildJob, output: str, status: int, last: LastLines, alone: str) -> EngineFailed:
        """Return what a failed build is; raise `EngineUnavailable` if it failed since no engine answers.

        Only now is it asked whether one does, and whether it can write what it is to write: before every build, that
        would take as long as a small build. A builder that cannot write says so before it builds; for that it raises
        `WritesNoLayouts`.
        """
        version = await self._ask("version")
        await self._ask("du", "--filter", "id=none")
        builder = read_builder(await self._ask("inspect"))
        if not builder.writes_layouts and _has_layouts(job, output):
            raise WritesNoLayouts(builder)
        name = " ".join((self.name, *version.split()[1:2]))
        notes = () if builder.runs(job.platform) else (f"no node of `{builder.name}` lists {job.platform}",)
        return build_failed(name, job, status, last, alone, notes=notes)

    async def _ask(self, *arguments: str) -> str:
        lines: list[str] = []
        question = " ".join(("docker buildx", arguments[0]))
        try:
            async with asyncio.timeout(_PATIENCE):
                status = await self._call(arguments, lines.append)
        except TimeoutError as error:
            raise EngineUnavailable(f"`{question}` did not answer within {_PATIENCE} seconds") from error
        if status != 0:
            raise EngineUnavailable(
                f"the build engine does not answer: `{question}` ended with status {status}",
                notes=tuple(lines[-3:]),
                help="start Docker, or point DOCKER_HOST at a running one; `docker buildx ls` shows what there is",
            )
        return "\n".join(lines)

    async def _call(self, arguments: tuple[str, ...], on_line: Callable[[str], None]) -> int:
        environment = {k: v for k, v in self.environment.items() if k not in _NOT_PASSED_ON} | _SETTINGS
        return await run_process((*self.command, *arguments), environment=environment, on_line=on_line)


def _write_inputs(job: BuildJob, dockerfile: Path) -> None:
    dockerfile.write_bytes(encode(job.dockerfile))
    # BuildKit prefers <Dockerfile>.dockerignore beside the Dockerfile to the context's own ignore file.
    dockerfile.with_name("Dockerfile.dockerignore").write_bytes(encode(job.ignore))


def written_manifest(layout: Path, node: str) -> Descriptor:
    """Return what the layout that buildx wrote has in its index. Raises `EngineFailed` where it has not one image."""
    try:
        with open_file(layout / "index.json", within=layout) as file:
            (manifest,) = decode_index(file.read(LIMIT)).manifests
    except (OSError, ValueError) as error:
        raise EngineFailed(f"docker buildx says that it built {node}, but wrote no image: {error}") from error
    return manifest


def _archive(job: BuildJob) -> Path:
    return job.output / "files.tar"
