"""What a run did, as values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from buildonce.events import Activity
from buildonce.oci import Digest, Platform
from buildonce.plan.verdicts import VerdictKind
from buildonce.ship.publication import TagResult
from buildonce.ship.record import ReleaseRecord


class Made(Enum):
    """How an image came about in this run."""

    ASSEMBLED = "assembled"
    BUILT = "built by the engine"
    REUSED = "reused"


class Checked(Enum):
    """What was checked of an image's late files: whether they run in it."""

    FITS = "fits"
    MACHINE = "machine code only"
    NOTHING = "nothing to check"
    OFF = "not checked"


class ImageOutcome(Struct, frozen=True, kw_only=True):
    """One image: how it came about, and why so.

    ``compile_seconds`` is how long the cores that it takes were compiled, whenever that was.
    """

    variant: str
    platform: Platform
    made: Made
    verdict: VerdictKind
    reason: str
    digest: Digest
    pushed: bool
    checked: Checked = Checked.NOTHING
    compile_seconds: float = 0.0


class EngineRun(Struct, frozen=True, kw_only=True):
    """One time an engine ran, what for, and for how long."""

    activity: Activity
    node: str
    seconds: float


class ProofOutcome(Struct, frozen=True, kw_only=True):
    """A proof that was made: whether assembly on a base gives what a faithful build gives; if not, why."""

    base: str
    platform: Platform
    equal: bool
    reason: str


class Traffic(Struct, frozen=True, kw_only=True):
    """What went over the network: requests, and bytes of their bodies."""

    requests: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


class Outcome(Struct, frozen=True, kw_only=True):
    """A whole run; ``seconds`` are by phase, in the order in which they ended; ``record`` is a staged release's."""

    target: str
    images: tuple[ImageOutcome, ...]
    tags: tuple[TagResult, ...]
    engine_runs: tuple[EngineRun, ...]
    traffic: Traffic
    seconds: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    record: ReleaseRecord | None = None
    proofs: tuple[ProofOutcome, ...] = ()
    loaded: tuple[str, ...] = ()
