"""What a Dockerfile asks of an engine that not every engine has, and where it asks for it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from msgspec import Struct

from buildonce.dockerfile.mounts import split_fields
from buildonce.dockerfile.problems import locate, source_lines
from buildonce.dockerfile.syntax import Add, Copy, Dockerfile, Healthcheck, Mount, Place, Run, TypedInstruction
from buildonce.engines.job_stages import resolve_job
from buildonce.engines.protocol import BuildJob


class Feature(Enum):
    """Something that engines, or versions of one, differ in; the value is how messages call it."""

    HEREDOC = "heredocs"
    LINK = "`--link`"
    PARENTS = "`COPY --parents`"
    EXCLUDE = "`--exclude`"
    SYMBOLIC_MODE = "letters in `--chmod`"
    CHECKSUM = "`ADD --checksum`"
    NETWORK = "`RUN --network`"
    SECURITY = "`RUN --security`"
    DEVICE = "`RUN --device`"
    SECRET_ENV = "secrets as variables (`RUN --mount=type=secret,env=`)"  # noqa: S105
    START_INTERVAL = "`HEALTHCHECK --start-interval`"
    BIND_MOUNT = "`RUN --mount=type=bind`"


class Need(Struct, frozen=True, kw_only=True):
    """A use of a feature; ``text`` is what stands in the Dockerfile at ``place``."""

    feature: Feature
    place: Place
    text: str


def find_needs(job: BuildJob, dockerfile: Dockerfile) -> tuple[Need, ...]:
    """Return what the job's target, and the stages that it is built from, ask for, in the file's order."""
    _, stages = resolve_job(job, dockerfile)
    lines = source_lines(dockerfile.text)
    found = [
        Need(feature=feature, place=locate(lines, typed.span, needle), text=lines[typed.span.start - 1])
        for stage in stages
        for typed in stage.instructions
        for feature, needle in _features(typed)
    ]
    return tuple(sorted(found, key=lambda need: (need.place.line, need.place.column)))


def _features(typed: TypedInstruction) -> Iterator[tuple[Feature, str]]:
    """Yield what an instruction asks for, each with the words that ask for it."""
    if typed.instruction.heredocs:
        yield Feature.HEREDOC, "<<"
    match typed:
        case Copy() | Add():
            yield from _copied(typed)
        case Run():
            yield from _run(typed)
        case Healthcheck(start_interval=interval) if interval:
            yield Feature.START_INTERVAL, "--start-interval"
        case _:
            pass


def _copied(typed: Copy | Add) -> Iterator[tuple[Feature, str]]:
    if typed.link:
        yield Feature.LINK, "--link"
    if typed.exclude:
        yield Feature.EXCLUDE, "--exclude"
    if typed.chmod is not None and typed.chmod.strip("01234567") and "$" not in typed.chmod:
        yield Feature.SYMBOLIC_MODE, "--chmod"
    if isinstance(typed, Copy) and typed.parents:
        yield Feature.PARENTS, "--parents"
    if isinstance(typed, Add) and typed.checksum is not None:
        yield Feature.CHECKSUM, "--checksum"


def _run(typed: Run) -> Iterator[tuple[Feature, str]]:
    if typed.network != "default":
        yield Feature.NETWORK, "--network"
    if typed.security != "sandbox":
        yield Feature.SECURITY, "--security"
    if typed.devices:
        yield Feature.DEVICE, "--device"
    for mount in typed.mounts:
        yield from _mount(mount)


def _mount(mount: Mount) -> Iterator[tuple[Feature, str]]:
    if mount.type == "secret" and any(field.lower().startswith("env=") for field in split_fields(mount.text)):
        yield Feature.SECRET_ENV, f"--mount={mount.text}"
    if mount.type == "bind":
        yield Feature.BIND_MOUNT, f"--mount={mount.text}"
