"""What was found out about something that buildonce works with: questions with their answers, as values."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Answer(Enum):
    """How a question was answered."""

    YES = "yes"
    NO = "no"
    FAILED = "failed"
    UNTRIED = "not tried"


class Check(Struct, frozen=True, kw_only=True):
    """One question, its answer, what was seen, and what it means; without what ``is_needed`` nothing works."""

    subject: str
    answer: Answer
    seen: str = ""
    meaning: str = ""
    is_needed: bool = False


class Findings(Struct, frozen=True, kw_only=True):
    """What was found out. ``left`` is what was put somewhere and could not be removed again."""

    checks: tuple[Check, ...]
    left: tuple[str, ...] = ()

    @property
    def is_usable(self) -> bool:
        """Say whether everything is there that is needed."""
        return not any(check.is_needed and check.answer is not Answer.YES for check in self.checks)
