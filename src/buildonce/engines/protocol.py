"""What an engine is asked for, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from buildonce.build_options import BuildOptions
from buildonce.events import Activity
from buildonce.oci import Descriptor, Platform


class BuildJob(Struct, frozen=True, kw_only=True):
    """One target of one Dockerfile for one platform.

    ``dockerfile`` and ``ignore`` are texts (of a derived Dockerfile and its ignore file), ``named_contexts`` maps a
    stage's or image's name to what replaces it (``docker-image://...``, ``oci-layout://...``). ``output`` is an empty
    folder for what is made; ``compress`` says whether an image's layers are compressed. ``options`` are what the
    engine is told besides, ``labels`` what the image's config gets.

    ``path`` is how messages name the Dockerfile, whose first ``own_lines`` lines stand where they do in the user's;
    ``stage`` is the stage of it that is wanted, by its name or else its number.
    ``known_layers`` are the diff IDs of layers that are at hand elsewhere: they may stay uncompressed.
    ``known_history`` says how many entries of the image's history are of the external image that it is built on.
    """

    activity: Activity
    node: str
    dockerfile: str
    ignore: str
    context: Path
    target: str
    platform: Platform
    output: Path
    build_args: Mapping[str, str] = field(default_factory=dict)
    named_contexts: Mapping[str, str] = field(default_factory=dict)
    options: BuildOptions = field(default_factory=BuildOptions)
    labels: Mapping[str, str] = field(default_factory=dict)
    compress: bool = True
    path: str = "Dockerfile"
    own_lines: int = 1_000_000
    stage: str = ""
    known_layers: frozenset[str] = frozenset()
    known_history: int = 0


class Built(Struct, frozen=True, kw_only=True):
    """What an engine made: the image's manifest in the layout at ``layout``, and how long it took."""

    layout: Path
    manifest: Descriptor
    seconds: float


class Exported(Struct, frozen=True, kw_only=True):
    """A target's files in one uncompressed archive, and how long it took.

    Their times are whole seconds, which may be rounded up.
    """

    archive: Path
    seconds: float


class Engine(Protocol):
    """Something that builds."""

    @property
    def name(self) -> str:
        """How messages call it, with its version."""
        ...

    def repeats(self, job: BuildJob, /) -> bool:
        """Say whether it runs again what another job is running just now, and would find its result later."""
        ...

    async def build(self, job: BuildJob) -> Built:
        """Build the job's target. Raises `EngineFailed` with the engine's last lines, or `EngineUnavailable`."""
        ...

    async def export(self, job: BuildJob) -> Exported:
        """Build the job's target for the sake of its files, which is quicker; raises the same."""
        ...
