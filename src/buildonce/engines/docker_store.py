"""[io] Docker's own image store, as the way into and out of a builder that reads and writes no OCI layouts.

What is handed over and what is built has a name there that nobody else uses, for as long as a job takes.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from buildonce.engines.process import run_process
from buildonce.engines.protocol import BuildJob
from buildonce.engines.saved_image import read_saved, write_loadable
from buildonce.errors import EngineUnavailable
from buildonce.events import Emit, Warned
from buildonce.oci import Descriptor, Platform
from buildonce.plan.images import LAYOUT_SCHEME, LayoutReference, parse_image_address
from buildonce.tasks import to_the_end

TEMPORARY = "buildonce.invalid/temporary"
"""The repository of temporary names; of no registry, and never of one (RFC 2606, section 2)."""

_PATIENCE = 30.0
"""Seconds for what must not keep a run from ending."""


@dataclass(slots=True)
class _Lent:
    """An image that stands for one of a layout, what holds it, and how many jobs use it."""

    name: str
    held: AsyncExitStack
    jobs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerStore:
    """The store of the Docker that the Docker context ``context`` leads to.

    Raises `EngineUnavailable` when it does not do what is asked, and `EngineFailed` for images that are none.
    """

    context: str
    environment: Mapping[str, str] = field(repr=False)
    emit: Emit = field(repr=False)
    _lent: dict[tuple[str, Platform], _Lent] = field(default_factory=dict, repr=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @asynccontextmanager
    async def temporary_name(self) -> AsyncIterator[str]:
        """Give a name for an image; whatever has it at the end loses it."""
        self._program()
        name = f"{TEMPORARY}:{secrets.token_hex(16)}"
        try:
            yield name
        finally:
            await to_the_end(self._remove(name))

    @asynccontextmanager
    async def loaded(self, job: BuildJob) -> AsyncIterator[Mapping[str, str]]:
        """Give the job's named contexts, in which images of this store stand for those of layouts."""
        contexts = dict(job.named_contexts)
        async with AsyncExitStack() as stack:
            for context, value in sorted(contexts.items()):
                if value.startswith(LAYOUT_SCHEME):
                    name = await stack.enter_async_context(self._borrowed(job, value))
                    contexts[context] = f"docker-image://{name}"
            yield contexts

    @asynccontextmanager
    async def _borrowed(self, job: BuildJob, address: str) -> AsyncIterator[str]:
        """Give the name of an image of a layout; jobs at the same time share it.

        Docker gives equal images one ID, and forgets it with the last name: one that is just being loaded must not lose
        the only name that it has so far.
        """
        key = (address, job.platform)
        lent = await self._borrow(job, key)
        try:
            yield lent.name
        finally:
            await to_the_end(self._give_back(key))

    async def _borrow(self, job: BuildJob, key: tuple[str, Platform]) -> _Lent:
        async with self._lock:
            if key not in self._lent:
                async with AsyncExitStack() as stack:
                    name = await stack.enter_async_context(self.temporary_name())
                    await self._load(job, key[0], name)
                    self._lent[key] = _Lent(name, stack.pop_all())
            self._lent[key].jobs += 1
            return self._lent[key]

    async def _give_back(self, key: tuple[str, Platform]) -> None:
        async with self._lock:
            lent = self._lent[key]
            lent.jobs -= 1
            if lent.jobs == 0:
                del self._lent[key]
                await lent.held.aclose()

    async def _load(self, job: BuildJob, address: str, name: str) -> None:
        given = parse_image_address(address)
        assert isinstance(given, LayoutReference)  # noqa: S101  it has the scheme of one
        archive = job.output / "loaded.tar"
        await asyncio.to_thread(write_loadable, given, job.platform, name, archive)
        await self._demand(job, "image", "load", "--quiet", "--input", str(archive))
        archive.unlink()

    async def save(self, job: BuildJob, name: str) -> Descriptor:
        """Write an image into the job's layout; return its manifest."""
        archive = job.output / "saved.tar"
        await self._demand(job, "image", "save", "--output", str(archive), name)
        manifest = await asyncio.to_thread(read_saved, archive, job)
        archive.unlink()
        return manifest

    async def _remove(self, name: str) -> None:
        """Remove an image that may not be there."""
        try:
            async with asyncio.timeout(_PATIENCE):
                status, _ = await self._docker("image", "rm", name)
                is_left = status != 0 and (await self._docker("image", "inspect", "--format", "{{.Id}}", name))[0] == 0
        except TimeoutError:
            is_left = True
        if is_left:
            self.emit(Warned(message=f"an image was left in Docker's store: `docker image rm {name}` removes it"))

    async def _demand(self, job: BuildJob, *arguments: str) -> None:
        status, lines = await self._docker(*arguments)
        if status != 0:
            raise EngineUnavailable(
                f"`docker {' '.join(arguments[:2])}` failed ({job.activity.value} {job.node}, exit status {status}); "
                "it said:\n" + "\n".join(f"  | {line}" for line in lines[-5:]),
                help="nothing was tagged; a builder that writes OCI layouts needs no such detour "
                "(`docker buildx create --use`)",
            )

    async def _docker(self, *arguments: str) -> tuple[int, list[str]]:
        lines: list[str] = []
        argv = (self._program(), "--context", self.context, *arguments)
        status = await run_process(argv, environment=self.environment, on_line=lines.append)
        return status, lines

    def _program(self) -> str:
        program = shutil.which("docker", path=self.environment.get("PATH"))
        if program is None:
            raise EngineUnavailable(
                "this builder keeps images in Docker's own store, and there is no `docker` command to take them out",
                help="install it, switch on containerd's image store, or make a builder with "
                "`docker buildx create --use`",
            )
        return program
