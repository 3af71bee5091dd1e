"""What happens while buildonce works, as values; every renderer consumes the same ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Activity(Enum):
    """The kinds of work; the first four run an engine."""

    COMPILE = "compile"
    BASE = "base"
    PROVE = "prove"
    BUILD = "build"
    PULL = "pull"
    ASSEMBLE = "assemble"
    PUSH = "push"
    TAG = "tag"

    @property
    def runs_engine(self) -> bool:
        """Say whether this work is an engine's."""
        return self in (Activity.COMPILE, Activity.BASE, Activity.PROVE, Activity.BUILD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Work on a node begins; ``reason`` says why it is needed."""

    activity: Activity
    node: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Work on a node is done, in ``seconds``; ``result`` says what came out."""

    activity: Activity
    node: str
    seconds: float
    result: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLine:
    """One line of an engine's output."""

    node: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something the user should know that does not stop the work."""

    message: str


Event = Started | Finished | EngineLine | Warned
Emit = Callable[[Event], None]
