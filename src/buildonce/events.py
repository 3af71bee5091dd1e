"""What happens while buildonce works, as values; every renderer consumes the same ones."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from msgspec import Struct


class Activity(Enum):
    """The kinds of work; the first four run an engine."""

    COMPILE = "compile"
    BASE = "base"
    PROVE = "prove"
    BUILD = "build"
    WAIT = "wait"
    PULL = "pull"
    ASSEMBLE = "assemble"
    PUSH = "push"
    TAG = "tag"
    LOAD = "load"

    @property
    def runs_engine(self) -> bool:
        """Say whether this work is an engine's."""
        return self in (Activity.COMPILE, Activity.BASE, Activity.PROVE, Activity.BUILD)


class Started(Struct, frozen=True, kw_only=True):
    """Work on a node begins; ``reason`` says why it is needed."""

    activity: Activity
    node: str
    reason: str = ""


class Finished(Struct, frozen=True, kw_only=True):
    """Work on a node is done, in ``seconds``; ``result`` says what came out."""

    activity: Activity
    node: str
    seconds: float
    result: str = ""


class EngineLine(Struct, frozen=True, kw_only=True):
    """One line of an engine's output; a detail is neither a step of the Dockerfile nor said by its command."""

    node: str
    text: str
    is_detail: bool = False


class Warned(Struct, frozen=True, kw_only=True):
    """Something the user should know that does not stop the work."""

    message: str


Event = Started | Finished | EngineLine | Warned
Emit = Callable[[Event], None]
