"""Buildah, or Podman as its other face: an engine without a daemon, whose storage is the user's own.

Nothing gets a name there. What a build leaves are nameless images, one for each instruction, which are Buildah's
cache and go with ``buildah prune``.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from buildonce.build_options import BuildOptions
from buildonce.dockerfile.parser import parse_dockerfile
from buildonce.dockerfile.runes import encode
from buildonce.engines.buildah_contexts import spell, translate
from buildonce.engines.buildah_image import write_layout
from buildonce.engines.buildah_leftovers import find_containers, question
from buildonce.engines.buildah_losses import notes_on_losses
from buildonce.engines.failures import build_failed, command_alone
from buildonce.engines.features import Need, find_needs
from buildonce.engines.handing import check_handed, sandbox_arguments, spell_secrets
from buildonce.engines.listening import Listener, is_buildah_detail
from buildonce.engines.process import run_process
from buildonce.engines.protocol import BuildJob, Built, Exported
from buildonce.engines.stage_names import lower_stage_names
from buildonce.engines.traits import FOLDER_IGNORE, EngineTraits, cache_repositories, require, require_options, spelt
from buildonce.errors import EngineFailed, EngineUnavailable
from buildonce.events import Emit, Warned
from buildonce.tasks import to_the_end

_PATIENCE = 15.0
_NOT_PASSED_ON = ("SOURCE_DATE_EPOCH",)
"""Newer versions would give files other times by it; times are set by assembly, an engine's build must not vary."""
_NOISE = re.compile(r'level=error msg="write container stdin(?: pipe)?: broken pipe"')
"""Said of a command that ended before it read all of its standard input, over and over; see `buildah_losses`."""


class Inputs(Struct, frozen=True, kw_only=True):
    """Where a job's files are: what Buildah reads, and what it writes beside its results."""

    folder: Path

    @property
    def dockerfile(self) -> Path:
        return self.folder / "Dockerfile"

    @property
    def ignore(self) -> Path:
        return self.folder / "ignore"

    @property
    def image_id(self) -> Path:
        return self.folder / "image-id"

    @property
    def mark(self) -> Path:
        """A secret that nothing asks for: its name tells the containers of this build from all others."""
        return self.folder / "mark"

    @property
    def authfile(self) -> Path:
        """An empty one, for what needs no credentials: without, a missing one of the user's is an error."""
        return self.folder / "auth.json"


def build_arguments(
    job: BuildJob, inputs: Inputs, contexts: Mapping[str, str], *, archive: Path | None = None, anew: bool = False
) -> tuple[str, ...]:
    """Return the arguments that build ``job``, into ``archive`` if there is one; ``anew`` believes no earlier result.

    Each instruction gets a layer of its own, as in BuildKit. What is external was resolved to digests already, so what
    is there need not be pulled again.
    """
    argv = ["build", "--layers", "--force-rm", "--format=docker", "--identity-label=false", "--pull=missing"]
    argv += ["--platform", str(job.platform), "--file", str(inputs.dockerfile), "--ignorefile", str(inputs.ignore)]
    argv += ["--iidfile", str(inputs.image_id), "--secret", f"id=buildonce,src={inputs.mark}"]
    if anew and not (job.options.no_cache or job.options.no_cache_filter):
        argv += ["--no-cache"]
    if archive:
        argv += ["--output", f"type=tar,dest={archive}"]
    if job.target:
        argv += ["--target", job.target]
    for name, value in sorted(job.build_args.items()):
        argv += ["--build-arg", f"{name}={value}"]
    for name, value in sorted(contexts.items()):
        argv += ["--build-context", f"{name}={value}"]
    for name, value in sorted(job.labels.items()):
        argv += ["--label", f"{name}={value}"]
    return (*argv, *option_arguments(job.options), str(job.context))


def option_arguments(options: BuildOptions) -> tuple[str, ...]:
    """Return the arguments of Buildah for what a build is handed.

    A cache is a repository there, in which each entry has a tag of its own; what has no cache of one stage alone is
    built without any.
    """
    argv = [*sandbox_arguments(options, between=":")]
    several = {
        "--secret": options.secrets,
        "--ssh": options.ssh,
        "--cache-from": cache_repositories(options.cache_from),
        "--cache-to": cache_repositories(options.cache_to),
    }
    argv += [word for option, values in several.items() for value in values for word in (option, value)]
    return (*argv, *(("--no-cache",) if options.no_cache or options.no_cache_filter else ()))


def push_arguments(image: str, inputs: Inputs, folder: Path, *, podman: bool = False) -> tuple[str, ...]:
    """Return the arguments that write an image into a folder, by its ID, its layers uncompressed."""
    plain = () if podman else ("--disable-compression",)
    return ("push", "--quiet", "--authfile", str(inputs.authfile), *plain, image, f"dir:{folder}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildah:
    """`Engine` over a program; ``command`` are the words that it is called with."""

    command: tuple[str, ...]
    traits: EngineTraits
    environment: Mapping[str, str] = field(repr=False)
    emit: Emit = field(repr=False)

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.traits.name

    def repeats(self, job: BuildJob, /) -> bool:
        """Say yes, but for what is built without a look at earlier results."""
        if job.options.no_cache or job.options.no_cache_filter:
            return False
        return not _is_distrusted(self.traits, find_needs(job, parse_dockerfile(encode(job.dockerfile), job.path)))

    async def build(self, job: BuildJob) -> Built:
        """Build the job's target as an image."""
        with tempfile.TemporaryDirectory(prefix="buildonce-") as folder:
            inputs, started = Inputs(folder=Path(folder)), time.monotonic()
            image = await self._run(job, inputs)
            pushed = job.output / "pushed"
            await self._demand(job, push_arguments(image, inputs, pushed, podman=self.traits.is_podman))
            manifest = await asyncio.to_thread(write_layout, pushed, job)
            await asyncio.to_thread(shutil.rmtree, pushed)
        return Built(layout=job.output, manifest=manifest, seconds=time.monotonic() - started)

    async def export(self, job: BuildJob) -> Exported:
        """Build the job's target for its files.

        Buildah forgets those of a COPY with ``--link`` that is the last instruction; no core ends in one.
        """
        archive = job.output / "files.tar"
        with tempfile.TemporaryDirectory(prefix="buildonce-") as folder:
            started = time.monotonic()
            await self._run(job, Inputs(folder=Path(folder)), archive=archive)
        return Exported(archive=archive, seconds=time.monotonic() - started)

    async def _run(self, job: BuildJob, inputs: Inputs, *, archive: Path | None = None) -> str:
        """Build; return the image's ID."""
        dockerfile = parse_dockerfile(encode(job.dockerfile), job.path)
        check_handed(job.options, self.environment)
        job = replace(job, options=spell_secrets(job.options, self.environment))
        needs = find_needs(job, dockerfile)
        require(self.traits, job, needs)
        require_options(self.traits, job)
        self._check_contexts(job)
        contexts = await asyncio.to_thread(_write_inputs, job, inputs, lower_stage_names(dockerfile))
        anew = _is_distrusted(self.traits, needs)
        arguments = build_arguments(job, inputs, contexts, archive=archive, anew=anew)
        program = "podman" if self.traits.is_podman else "buildah"
        try:
            await self._demand(job, arguments, command_alone(program, arguments, job, passing=str(inputs.folder)))
        except asyncio.CancelledError:
            await to_the_end(self._clear(inputs))
            raise
        try:
            image = (await asyncio.to_thread(inputs.image_id.read_text)).strip()
        except OSError as error:
            raise EngineFailed(f"{self.name} says that it built {job.node}, but names no image: {error}") from error
        return image.rpartition(":")[2]

    def _check_contexts(self, job: BuildJob) -> None:
        """Raise `EngineUnavailable` for a named context whose ignore rules would not be followed."""
        if not self.traits.ignores_ignoring:
            return
        for name, value in sorted(job.named_contexts.items()):
            if (Path(value) / ".dockerignore").exists():
                raise EngineUnavailable(
                    f"{self.name} does not follow the `.dockerignore` of the named context `{name}`",
                    notes=(f"it is the folder {value}, needed to {job.activity.value} {job.node}",),
                    help=f"take Buildah {spelt(FOLDER_IGNORE)} or newer, or BuildKit (--engine buildx)",
                )

    async def _demand(self, job: BuildJob, arguments: tuple[str, ...], alone: str = "") -> None:
        """Run to the end what must not fail; ``alone`` is how to repeat it. Raises `EngineFailed`."""
        listener = Listener(job, self.emit, is_buildah_detail, noise=_NOISE)
        status = await self._call(arguments, listener)
        if status != 0:
            notes = await asyncio.to_thread(notes_on_losses, listener.last)
            raise build_failed(self.name, job, status, listener.last, alone, notes=notes)

    async def _clear(self, inputs: Inputs) -> None:
        """Remove the containers of a build that was ended, as far as that can be done."""
        lines: list[str] = []
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._call(question(podman=self.traits.is_podman), lines.append)
                containers = await asyncio.to_thread(find_containers, "\n".join(lines[-1:]), inputs.mark)
                if containers:
                    force = ("--force",) if self.traits.is_podman else ()
                    await self._call(("rm", *force, *containers), lines.append)
        except (EngineUnavailable, TimeoutError):
            self.emit(Warned(message=f"{self.name} may have left containers; `buildah rm --all` removes them"))

    async def _call(self, arguments: tuple[str, ...], on_line: Callable[[str], None]) -> int:
        environment = {name: value for name, value in self.environment.items() if name not in _NOT_PASSED_ON}
        try:
            return await run_process((*self.command, *arguments), environment=environment, on_line=on_line)
        except OSError as error:
            raise EngineUnavailable(f"`{self.command[0]}` cannot be run: {error.strerror}") from error


def _is_distrusted(traits: EngineTraits, needs: Sequence[Need]) -> bool:
    return any(need.feature in traits.distrusts for need in needs)


def _write_inputs(job: BuildJob, inputs: Inputs, text: str) -> Mapping[str, str]:
    """Write what Buildah reads, the Dockerfile with ``text``; return the named contexts for it."""
    inputs.dockerfile.write_bytes(encode(text))
    inputs.ignore.write_bytes(encode(job.ignore))
    inputs.authfile.write_text("{}")
    inputs.mark.touch()
    return spell(translate(job.named_contexts, inputs.folder / "layouts"))
