"""What a run did, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from buildonce.events import Activity
from buildonce.oci import Digest, Platform
from buildonce.plan.verdicts import VerdictKind
from buildonce.ship.publication import TagResult


class Made(Enum):
    """How an image came about in this run."""

    ASSEMBLED = "assembled"
    BUILT = "built by the engine"
    REUSED = "reused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutcome:
    """One image: how it came about, and why so."""

    variant: str
    platform: Platform
    made: Made
    verdict: VerdictKind
    reason: str
    digest: Digest
    pushed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRun:
    """One time an engine ran, what for, and for how long."""

    activity: Activity
    node: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What went over the network: requests, and bytes of their bodies."""

    requests: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A whole run; ``seconds`` are by phase, in the order in which they ended."""

    target: str
    images: tuple[ImageOutcome, ...]
    tags: tuple[TagResult, ...]
    engine_runs: tuple[EngineRun, ...]
    traffic: Traffic
    seconds: Mapping[str, float]
    warnings: tuple[str, ...] = ()
