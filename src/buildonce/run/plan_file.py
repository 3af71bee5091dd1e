"""The plan file: everything that a plan decided, for jobs that carry it out on other machines. Pure."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from typing import NewType, TypeVar

import msgspec

from buildonce import __version__
from buildonce.assemble.compression import Compression
from buildonce.errors import UsageError
from buildonce.oci import Digest, digest_of
from buildonce.plan.accounts import Account
from buildonce.project.declaration import Declaration

PLAN_FILE_SCHEMA = "buildonce.plan-file/1"
MADE_SCHEMA = "buildonce.made/1"
SHIP = "ship"
"""The name of the last job, which every plan has."""

JobName = NewType("JobName", str)
"""Lower-case letters, digits and hyphens: safe in a shell, a file's name and a URL."""

_T = TypeVar("_T")
_JOB = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?")
_LARGEST = 512 * 1024 * 1024
"""The largest text of accounts, in bytes."""


class PinnedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An external image as the plan resolved it: its name in the Dockerfile, and digests.

    ``manifest`` and ``config`` are the platform's, whose texts are among the plan's documents; ``pinned`` is what the
    tag pointed to.
    """

    name: str
    platform: str
    pinned: Digest
    manifest: Digest
    config: Digest


class DecidedNode(msgspec.Struct, frozen=True, kw_only=True):
    """A core, a base or an image: its key, what is to be done for it, and why.

    ``kind`` is ``core``, ``base`` or ``image``; the key of an image covers its whole chain of instructions. ``action``
    is that of `buildonce plan`. ``seconds`` is how long an engine took, or will take as far as earlier results tell.
    ``job`` is the job that makes it, null where there is nothing to make.
    """

    kind: str
    name: str
    platform: str
    key: str
    action: str
    reason: str
    seconds: float | None = None
    job: str | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job: ``kind`` is ``compile`` or ``bases``; ``platform`` that of the machine it wants; ``seconds`` its length.

    ``cores`` are compiled; ``bases`` built or read, and proven where they need it; ``images`` (variant and platform)
    built by an engine. Cores and bases are keys. ``seconds`` is an estimate from earlier results.
    """

    name: JobName
    kind: str
    title: str
    platform: str
    cores: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    seconds: float = 0.0


class PlannedVariant(msgspec.Struct, frozen=True, kw_only=True):
    """A variant of the release: the store it goes to, and its tags."""

    name: str
    target: str
    tags: tuple[str, ...]


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A build argument whose value is not in the plan: of a variant, or of the whole project (null)."""

    variant: str | None
    name: str


class PlanFile(msgspec.Struct, frozen=True, kw_only=True):
    """What ``buildonce plan --write`` writes, and ``buildonce make`` carries out.

    ``version`` is that of buildonce, ``commit`` the Git commit (empty outside of Git). ``declaration`` is everything
    that is declared, with options and environment in it, but for the values of ``secrets``; ``selected`` are the
    variants that were asked for, none for all. ``images`` are the external images, ``documents`` their manifests and
    configs by digest. ``results`` are the digests of what was found in the ``cache``, by tag. ``accounts`` (compressed)
    has what every key covers. ``is_shipped`` says that the tags point already to what this plan would ship.
    """

    schema: str = PLAN_FILE_SCHEMA
    version: str = __version__
    commit: str
    declaration: Declaration
    secrets: tuple[Secret, ...] = ()
    file: str | None
    selected: tuple[str, ...] = ()
    cache: str
    cache_read_only: bool = False
    variants: tuple[PlannedVariant, ...]
    epoch: int | None = None
    compression: str = Compression.GZIP.value
    unchecked: tuple[str, ...] = ()
    images: tuple[PinnedImage, ...]
    documents: Mapping[Digest, str]
    nodes: tuple[DecidedNode, ...]
    results: Mapping[str, Digest]
    jobs: tuple[Job, ...]
    is_shipped: bool = False
    warnings: tuple[str, ...] = ()
    accounts: bytes = b""

    def job(self, name: str) -> Job:
        """Return a job by its name; raise `UsageError` if the plan has none of it."""
        for job in self.jobs:
            if job.name == name:
                return job
        names = ", ".join((*(job.name for job in self.jobs), SHIP))
        raise UsageError(f"the plan has no job `{name[:100]}`", help=f"its jobs are {names}")


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What a job leaves for later ones: ``results`` are digests by the tags in the cache.

    ``plan`` is the digest of the plan file. The rest is what it took, for those who count.
    """

    schema: str = MADE_SCHEMA
    job: str
    plan: Digest
    results: Mapping[str, Digest]
    compiles: int
    engine_runs: int
    requests: int
    bytes_up: int
    bytes_down: int
    seconds: float


def encode_plan(plan: PlanFile) -> bytes:
    """Return the plan as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n"


def decode_plan(content: bytes, where: str) -> PlanFile:
    """Return the plan in ``content``; raise `UsageError` for anything that `encode_plan` would not have written."""
    again = "make the plan again: `buildonce plan --write FILE`"
    plan = _decode(content, where, PlanFile, help=again)
    if plan.schema != PLAN_FILE_SCHEMA:
        raise UsageError(
            f"{where} has the form `{plan.schema[:60]}`; this version reads {PLAN_FILE_SCHEMA}", help=again
        )
    if plan.version != __version__:
        raise UsageError(
            f"{where} was made by buildonce {plan.version[:60]}, and this is {__version__}",
            help="run the same version in all jobs",
        )
    if problem := _problem(plan):
        raise UsageError(f"{where} was changed: {problem}", help=again)
    return plan


def decode_made(content: bytes, where: str, plan: Digest) -> Made:
    """Return what a job left, in ``content``; raise `UsageError` unless it was left for this plan."""
    made = _decode(content, where, Made, help="it is what `buildonce make --made DIR` writes")
    if made.schema != MADE_SCHEMA:
        raise UsageError(f"{where} has the form `{made.schema[:60]}`; this version reads {MADE_SCHEMA}")
    if made.plan != plan:
        raise UsageError(
            f"{where} is from a job of another plan", help="give the jobs of one plan a folder of their own (--made)"
        )
    return made


def pack_accounts(accounts: Iterable[Account]) -> bytes:
    """Return accounts as a plan file has them."""
    return zlib.compress(msgspec.json.encode(tuple(accounts)))


def unpack_accounts(packed: bytes) -> tuple[Account, ...]:
    """Return the accounts of a plan file. Raises `UsageError`."""
    try:
        text = zlib.decompressobj().decompress(packed, _LARGEST)
        return msgspec.json.decode(text, type=tuple[Account, ...])
    except (zlib.error, msgspec.DecodeError) as error:
        raise UsageError(f"the plan file's accounts cannot be read: {error}") from error


def is_job_name(text: str) -> bool:
    """Say whether a text can be the name of a job."""
    return _JOB.fullmatch(text) is not None


def _decode(content: bytes, where: str, kind: type[_T], *, help: str) -> _T:  # noqa: A002
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{where} cannot be read: {error}", help=help) from error


def _problem(plan: PlanFile) -> str | None:
    for digest, text in plan.documents.items():
        if digest_of(text.encode()) != digest:
            return f"the document {digest[:80]} has another digest"
    for image in plan.images:
        if not {image.manifest, image.config} <= plan.documents.keys():
            return f"the documents of the image `{image.name[:100]}` are not in it"
    names = [job.name for job in plan.jobs]
    for name in names:
        if not is_job_name(name) or name == SHIP or names.count(name) > 1:
            return f"`{name[:100]}` is no name of a job, or that of two"
    return None
